"""Whether a directory is the wanted version: by its manifest, or by the listing that it was fetched as."""

from pathlib import Path

import pytest

from mmm_repository import ListedFile, Listing
from mmm_server.backends.directory import check_digest, check_files
from mmm_server.errors import DigestMismatch, UnsafeArtifact

LISTING = Listing((ListedFile("config.json", 2, "tag"),))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """What the fetch makes of the listing."""
    (tmp_path / "config.json").write_bytes(b"{}")
    (tmp_path / "manifest.json").write_bytes(LISTING.manifest({"config.json": "a" * 64}).canonical_bytes())
    return tmp_path


def test_a_version_that_was_fetched_without_a_manifest_is_the_wanted_one(directory: Path) -> None:
    check_digest(directory, LISTING.digest)
    (directory / "config.json").write_bytes(b"{ }")
    with pytest.raises(DigestMismatch, match="is not the one that the manifest lists"):
        check_digest(directory, LISTING.digest)


@pytest.mark.parametrize("change", [(b'"tag"', b'"tog"'), (b'"size":2', b'"size":3'), (b'{"files"', b'["files"')])
def test_another_listing_is_refused(directory: Path, change: tuple[bytes, bytes]) -> None:
    manifest = directory / "manifest.json"
    content = manifest.read_bytes()
    assert change[0] in content
    manifest.write_bytes(content.replace(*change))
    with pytest.raises(DigestMismatch, match="wanted is"):
        check_digest(directory, LISTING.digest)


DEEP = 600  # levels: more than half of what the parser reads


@pytest.mark.parametrize(
    "text",
    [
        '{"auto_map": {}}',
        r'{"\u0061uto_map": {}}',
        r'{"auto\u005fmap": {}}',
        r'{"auto\u005Fmap": {}}',
        r'{"x": [{"\u0061\u0075to_ma\u0070": 1}]}',
        '{"x": ' + "[" * DEEP + '{"auto_map": 1}' + "]" * DEEP + "}",
    ],
)
def test_code_that_a_file_asks_for_is_found_however_the_key_is_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UnsafeArtifact, match="auto_map"):
        check_files(tmp_path, needs_weights=False)


def test_words_with_escapes_ask_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(r'{"\u0120auto": 1, "\u00e9": 2, "\u0061": 3, "auto\\u005fmap": 4}')
    check_files(tmp_path, needs_weights=False)
