"""A version that is served where it lies: believed only when every byte was hashed and nothing else is there."""

import asyncio
import shutil
from pathlib import Path

import pytest

from mmm_repository import (
    DigestMismatch,
    IncompleteUpload,
    InvalidAddress,
    Progress,
    RepositoryError,
    StorageOptions,
    UnsafeArtifact,
    publish,
    verify_in_place,
)
from tests.repository.samples import flip_byte, make_model


@pytest.fixture
def mounted(tmp_path: Path) -> tuple[Path, str]:
    """A model root with one version, and its digest."""
    store, root = tmp_path / "store", tmp_path / "models"
    found = asyncio.run(publish(make_model(tmp_path / "model"), str(store), "1", StorageOptions()))
    shutil.copytree(store / "1", root / found.digest.removeprefix("sha256:"))
    return root, found.digest


def place(mounted: tuple[Path, str]) -> Path:
    root, digest = mounted
    return root / digest.removeprefix("sha256:")


def test_what_is_right_is_found_without_a_write(mounted: tuple[Path, str]) -> None:
    heard: list[Progress] = []
    before = sorted(place(mounted).rglob("*"))
    assert verify_in_place(*mounted, heard.append) == place(mounted)
    assert sorted(place(mounted).rglob("*")) == before
    assert heard[-1].done_bytes == heard[-1].total_bytes > 0


def test_one_wrong_bit_is_found(mounted: tuple[Path, str]) -> None:
    flip_byte(place(mounted) / "model.safetensors", 100)
    with pytest.raises(DigestMismatch, match=r"model\.safetensors"):
        verify_in_place(*mounted)


def test_a_missing_file_is_found(mounted: tuple[Path, str]) -> None:
    (place(mounted) / "model.safetensors").unlink()
    with pytest.raises(DigestMismatch, match="is missing"):
        verify_in_place(*mounted)


def test_another_manifest_is_another_version(mounted: tuple[Path, str]) -> None:
    manifest = place(mounted) / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"format":1', b'"format": 1'))
    with pytest.raises(DigestMismatch):
        verify_in_place(*mounted)


@pytest.mark.parametrize("name", ["extra.json", "deep/pytorch_model.bin", ".hidden"])
def test_what_the_manifest_does_not_name_is_refused(mounted: tuple[Path, str], name: str) -> None:
    location = place(mounted) / name
    location.parent.mkdir(exist_ok=True)
    location.write_text("{}")
    with pytest.raises(UnsafeArtifact, match="not in the manifest"):
        verify_in_place(*mounted)


@pytest.mark.parametrize("target", ["/etc", "/etc/passwd", "config.json", "nowhere"])
def test_links_are_refused(mounted: tuple[Path, str], target: str) -> None:
    (place(mounted) / "link").symlink_to(target)
    with pytest.raises(UnsafeArtifact, match="is a link"):
        verify_in_place(*mounted)


def test_without_a_manifest_it_says_how_to_make_one(mounted: tuple[Path, str]) -> None:
    (place(mounted) / "manifest.json").unlink()
    with pytest.raises(IncompleteUpload, match="mmm publish"):
        verify_in_place(*mounted)


def test_an_empty_root_and_no_digest_are_errors_of_ours(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError):
        verify_in_place(tmp_path, f"sha256:{'0' * 64}")
    with pytest.raises(InvalidAddress):
        verify_in_place(tmp_path, "sha256:../../etc")
