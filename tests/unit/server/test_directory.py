"""Whether a directory is the wanted version: by its manifest, or by the listing that it was fetched as."""

from pathlib import Path

import pytest

from mmm_repository import ListedFile, Listing
from mmm_server.backends.directory import check_digest
from mmm_server.errors import DigestMismatch

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
