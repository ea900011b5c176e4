"""The canonical form of a manifest, and what untrusted bytes can do to its reader: raise InvalidManifest."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_repository import DigestMismatch, FileEntry, InvalidManifest, Manifest, digest_of, parse_manifest
from mmm_repository.manifest import MAX_MANIFEST_BYTES, build_manifest, check_digest

ZEROS = "0" * 64
names = st.text(alphabet="abcdefgh0123456789_-", min_size=1, max_size=12)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    scalars | words, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3)
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Manifests of files that do not lie inside each other."""
    found = draw(st.lists(paths, min_size=1, max_size=8, unique=True))
    apart = [path for path in found if not any(other.startswith(path + "/") for other in found)]
    size, sha256 = st.integers(0, 2**40), st.text("0123456789abcdef", min_size=64, max_size=64)
    entries = [FileEntry(path=path, size=draw(size), sha256=draw(sha256)) for path in apart]
    return build_manifest(entries, draw(st.dictionaries(words, values, max_size=4)))


@given(manifests())
def test_what_is_written_is_read_back(manifest: Manifest) -> None:
    content = manifest.canonical_bytes()
    again = parse_manifest(content)
    assert again == manifest
    assert again.canonical_bytes() == content
    assert again.digest == digest_of(content)


@given(manifests(), st.randoms(use_true_random=False))
def test_the_order_of_files_and_keys_does_not_change_the_bytes(manifest: Manifest, source: random.Random) -> None:
    files = list(manifest.files)
    source.shuffle(files)
    keys = list(manifest.metadata)
    source.shuffle(keys)
    shuffled = build_manifest(files, {key: manifest.metadata[key] for key in keys})
    assert shuffled.canonical_bytes() == manifest.canonical_bytes()


@given(manifests())
def test_canonical_bytes_are_the_shortest_json(manifest: Manifest) -> None:
    content = manifest.canonical_bytes()
    document = json.loads(content)
    assert content == json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert [entry["path"] for entry in document["files"]] == sorted(entry["path"] for entry in document["files"])
    assert not content.endswith(b"\n")


@given(manifests(), st.data())
def test_one_changed_byte_is_another_digest_or_no_manifest(manifest: Manifest, data: st.DataObject) -> None:
    content = bytearray(manifest.canonical_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DigestMismatch):
        check_digest(bytes(content), manifest.digest)


@given(st.binary(max_size=200) | words.map(str.encode) | values.map(lambda value: json.dumps(value).encode()))
def test_bytes_that_are_no_manifest_raise_nothing_else(content: bytes) -> None:
    with pytest.raises(InvalidManifest):
        parse_manifest(content)


def test_a_manifest_that_another_tool_wrote_with_spaces_is_a_manifest() -> None:
    manifest = build_manifest([FileEntry(path="a.json", size=1, sha256=ZEROS)], {"task": "ü"})
    pretty = json.dumps(json.loads(manifest.canonical_bytes()), indent=2).encode() + b"\n"
    assert parse_manifest(pretty) == manifest


def entry(**changes: object) -> dict[str, object]:
    return {"path": "a.json", "size": 1, "sha256": ZEROS, **changes}


def document(*files: object, **changes: object) -> bytes:
    return json.dumps({"format": 1, "files": files, "metadata": {}, **changes}).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (document(), "at least 1 item"),
        (document(entry(), format=2), "not of format 1"),
        (document(entry(), format="1"), "not of format 1"),
        (document(entry(), format=True), "valid integer|Input should be 1|not of format 1"),
        (document(entry(), extra=1), "Extra inputs"),
        (document(entry(mode=1)), "Extra inputs"),
        (document(entry(size=-1)), "greater than or equal to 0"),
        (document(entry(size=2**53)), "less than or equal"),
        (document(entry(size=1.5)), "valid integer"),
        (document(entry(size="1")), "valid integer"),
        (document(entry(size=True)), "valid integer"),
        (document(entry(sha256="0")), "pattern"),
        (document(entry(sha256="A" * 64)), "pattern"),
        (document(entry(sha256=ZEROS + "\n")), "pattern"),
        (document(entry(path=3)), "valid string"),
        (document({"path": "a.json"}), "required"),
        (document("a.json"), "files.0"),
        (document(entry(), entry()), "mean the same file"),
        (document(entry(path="A.json"), entry(path="a.json")), "mean the same file"),
        (document(entry(path="ß.json"), entry(path="SS.json")), "mean the same file"),
        (document(entry(path="a"), entry(path="a/b")), "lies inside another file"),
        (document(entry(path="A"), entry(path="a/b")), "lies inside another file"),
        (document(entry(path="a", size=2**52), entry(path="b", size=2**52)), "add up"),
        (document(entry(path="manifest.json")), "manifest's own name"),
        (document(entry(), metadata=[]), "metadata"),
        (b'{"format":1,"format":1}', "comes twice"),
        (document(entry(), metadata={"a": 1}).replace(b'"a": 1', b'"a": NaN'), "NaN"),
        (document(entry(), metadata={"a": 1}).replace(b'"a": 1', b'"a": 1e999'), "JSON compliant"),
        (document(entry(), metadata={"a": "\ud800"}), "UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"format":1,"files":' + b"[" * 100_000, "nested too deeply"),
        (b'{"format":' + b"1" * 5_000 + b"}", "not a valid manifest|not of format 1"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "larger than"),
        (document(*(entry(path=f"f{number}") for number in range(10_001))), "at most 10000"),
    ],
)
def test_every_breach_of_the_format_is_named(content: bytes, words: str) -> None:
    with pytest.raises(InvalidManifest, match=words):
        parse_manifest(content)


def test_a_message_does_not_repeat_what_an_attacker_wrote() -> None:
    with pytest.raises(InvalidManifest) as failure:
        parse_manifest(document(entry(path="../\x1b[31m\n" + "x" * 5000)))
    assert "\x1b" not in failure.value.message
    assert "\n" not in failure.value.message
    assert len(failure.value.message) < 300


def test_a_manifest_that_would_be_too_large_is_not_built() -> None:
    with pytest.raises(InvalidManifest, match="larger than"):
        build_manifest([FileEntry(path="a", size=1, sha256=ZEROS)], {"note": "x" * MAX_MANIFEST_BYTES})
