"""What a listing says of a version without a manifest: its digest, whether it looks whole, and what is kept of it."""

import json
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_repository import DigestMismatch, IncompleteUpload, InvalidManifest, UnsafeArtifact, digest_of
from mmm_repository.configs import MAX_CONFIG_BYTES
from mmm_repository.listing import (
    MAX_INDEXES,
    ListedFile,
    Listing,
    check_identity,
    check_listing,
    check_shards,
    identity_of,
    kept_listing,
    listing_of,
)
from mmm_repository.manifest import MAX_FILES, FileEntry, build_manifest, canonical_json

INDEX = "model.safetensors.index.json"
words = st.text("abcdefgh-", min_size=1, max_size=8)
rows = st.lists(st.builds(ListedFile, words, st.integers(1, 2**40), words), min_size=1, max_size=6, unique_by=hash)


def files(*paths: str, size: int = 5) -> list[ListedFile]:
    return [ListedFile(path, size, f"tag-of-{path}") for path in paths]


def whole(*more: str) -> Listing:
    return listing_of(files("config.json", "model.safetensors", *more))


def index(*shards: str) -> bytes:
    return json.dumps({"weight_map": {str(number): shard for number, shard in enumerate(shards)}}).encode()


def test_the_digest_is_that_of_the_documented_text() -> None:
    listing = listing_of([ListedFile("b.txt", 2, "t2"), ListedFile("a.txt", 1, "t1")])
    assert listing.digest == digest_of(b'{"files":[["a.txt",1,"t1"],["b.txt",2,"t2"]],"format":"listing/1"}')


@given(rows, st.randoms(use_true_random=False))
def test_order_and_the_manifest_do_not_change_the_digest(found: list[ListedFile], source: random.Random) -> None:
    shuffled = [*found, ListedFile("manifest.json", 7, "x")]
    source.shuffle(shuffled)
    unique = {file.path: file for file in shuffled}.values()
    assert listing_of(unique).digest == listing_of(reversed(list(unique))).digest
    assert all(file.path != "manifest.json" for file in listing_of(unique).files)


@pytest.mark.parametrize(
    "other",
    [
        files("config.json", "model.safetensors", "more.txt"),
        files("config.json"),
        files("config.json", "model.safetensors", size=6),
        [*files("config.json"), ListedFile("model.safetensors", 5, "another")],
    ],
)
def test_every_change_is_another_digest(other: Sequence[ListedFile]) -> None:
    assert listing_of(other).digest != whole().digest


def test_no_manifest_has_the_digest_of_a_listing() -> None:
    """Not even the very bytes of the listing, written as manifest.json."""
    listing = whole()
    rows = [[file.path, file.size, file.tag] for file in listing.files]
    content = canonical_json({"format": "listing/1", "files": rows})
    assert digest_of(content) == listing.digest
    with pytest.raises(InvalidManifest):
        check_identity(content, listing.digest)


def test_what_tools_put_in_place_of_directories_is_left_out() -> None:
    marked = listing_of([*files("config.json", "model.safetensors", "sub/a.txt"), ListedFile("sub", 0, "marker")])
    assert marked == whole("sub/a.txt")


@pytest.mark.parametrize(
    ("paths", "error", "said"),
    [
        ([], IncompleteUpload, "no files"),
        (["model.safetensors"], IncompleteUpload, "config.json is missing"),
        (["sub/config.json", "model.safetensors"], IncompleteUpload, "config.json is missing"),
        (["config.json", "model.gguf.txt"], IncompleteUpload, "no file of weights"),
        (["config.json", "model.safetensors", "pytorch_model.bin"], UnsafeArtifact, "is a pickle"),
        (["config.json", "model.safetensors", "modeling.py"], UnsafeArtifact, "is code"),
        (["config.json", "model.safetensors", ".gitattributes"], InvalidManifest, "hidden component"),
        (["config.json", "model.safetensors", "../a.txt"], InvalidManifest, "is refused"),
        (["config.json", "model.safetensors", "CONFIG.json"], InvalidManifest, "mean the same file"),
        (["config.json", "model.safetensors", "Manifest.json"], InvalidManifest, "manifest's own name"),
        (["config.json", "model.safetensors", "a", "a/b"], InvalidManifest, "inside another file"),
        (["config.json", "m.safetensors", *(f"{n}/{INDEX}" for n in range(MAX_INDEXES + 1))], InvalidManifest, "more"),
        (["config.json", "m.safetensors", *(f"{n}.txt" for n in range(MAX_FILES))], InvalidManifest, "cannot be"),
    ],
)
def test_what_does_not_look_whole_or_may_not_be_served(paths: list[str], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        check_listing(listing_of(files(*paths)))


def test_what_looks_whole_passes() -> None:
    check_listing(whole("tokenizer.json", "sub/1.safetensors", INDEX))
    with pytest.raises(InvalidManifest, match="add up to more"):
        check_listing(listing_of(files("config.json", "model.safetensors", size=2**53 - 1)))


@pytest.mark.parametrize(
    ("path", "content", "error", "said"),
    [
        (
            INDEX,
            index("model.safetensors", "gone.safetensors"),
            IncompleteUpload,
            '"gone.safetensors", which is missing',
        ),
        (f"sub/{INDEX}", index("model.safetensors"), IncompleteUpload, '"sub/model.safetensors"'),
        (INDEX, index("../model.safetensors"), IncompleteUpload, "missing"),
        (INDEX, b"{", UnsafeArtifact, "is not JSON"),
        (INDEX, b"[" * 100_000, UnsafeArtifact, "is not JSON"),
        (INDEX, b"[]", UnsafeArtifact, "no weight_map"),
        (INDEX, b'{"weight_map": ["model.safetensors"]}', UnsafeArtifact, "no weight_map"),
        (INDEX, None, UnsafeArtifact, f"larger than {MAX_CONFIG_BYTES}"),
    ],
)
def test_an_index_that_names_what_is_not_there(
    path: str, content: bytes | None, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        check_shards(whole(), path, content)


def test_an_index_whose_shards_are_all_there_passes() -> None:
    check_shards(whole(), INDEX, index("model.safetensors", "model.safetensors"))
    check_shards(whole("sub/1.safetensors"), f"sub/{INDEX}", index("1.safetensors"))


def test_the_manifest_of_what_arrived_is_known_by_the_listing() -> None:
    listing = whole()
    content = listing.manifest({"config.json": "a" * 64, "model.safetensors": "b" * 64}).canonical_bytes()
    manifest = check_identity(content, listing.digest)
    assert [entry.sha256[0] for entry in manifest.files] == ["a", "b"]
    assert kept_listing(manifest) == listing
    assert identity_of(content) == listing.digest
    assert check_identity(content, digest_of(content)) == manifest, "and by its own bytes"


@pytest.mark.parametrize("changed", [b'"size":6', b'"config.jsom"', b"tag-of-config.jsoN", b'"listing/2"'])
def test_a_manifest_of_what_arrived_that_was_changed_is_known_no_more(changed: bytes) -> None:
    listing = whole()
    content = listing.manifest({}).canonical_bytes()
    same = {b'"size":6': b'"size":5', b'"config.jsom"': b'"config.json"', b"tag-of-config.jsoN": b"tag-of-config.json"}
    altered = content.replace(same.get(changed, b'"listing/1"'), changed, 1)
    assert altered != content
    with pytest.raises(DigestMismatch):
        check_identity(altered, listing.digest)


@pytest.mark.parametrize("kept", [None, [], {}, {"format": "listing/1"}, {"format": "listing/1", "etags": ["a", "b"]}])
def test_a_manifest_of_a_publisher_keeps_no_listing(kept: object) -> None:
    manifest = build_manifest([FileEntry(path="a.txt", size=1, sha256="0" * 64)], {"listing": kept})  # type: ignore[dict-item]
    assert kept_listing(manifest) is None
    assert identity_of(manifest.canonical_bytes()) == manifest.digest
