"""publish, resolve, fetch, verify: what goes in comes out."""

import json
from pathlib import Path

import pytest

from mmm_repository import (
    FetchOptions,
    InvalidDirectory,
    Progress,
    UnsafeArtifact,
    VersionExists,
    fetch,
    list_versions,
    publish,
    rehearse,
    resolve,
    verify_directory,
    verify_version,
)
from tests.repository.conftest import Repository
from tests.repository.samples import MIB, contents_of


async def test_what_is_published_is_fetched_unchanged(repository: Repository, root: Path) -> None:
    directory = repository.model(weights=20 * MIB)
    published = await publish(
        directory, repository.uri, "2", repository.storage, {"task": "ZeroShot", "accuracy": 0.93}
    )
    resolved = await resolve(repository.uri, "2", repository.storage)
    fetched = await fetch(repository.uri, "2", resolved.digest, root, repository.storage)

    assert resolved.digest == published.digest
    assert resolved.total_bytes == sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    assert resolved.metadata["accuracy"] == 0.93
    assert str(resolved.metadata["created"]).startswith("20")
    assert fetched == root / resolved.digest.removeprefix("sha256:")
    arrived = contents_of(fetched)
    assert arrived.pop("manifest.json") == fetched.name, "the manifest's own hash is the directory's name"
    assert arrived.pop(".complete")
    assert arrived == contents_of(directory)


async def test_a_directory_is_a_repository_as_well(tmp_path: Path, root: Path, repository: Repository) -> None:
    uri = f"file://{tmp_path}/mounted/clip"
    directory = repository.model(weights=20 * MIB)
    published = await publish(directory, uri, "2", repository.storage)
    fetched = await fetch(uri, "2", published.digest, root, repository.storage)
    assert contents_of(directory).items() <= contents_of(fetched).items()
    with pytest.raises(VersionExists):
        await publish(directory, uri, "2", repository.storage)
    entries = await list_versions(uri, repository.storage)
    assert [(entry.version, entry.digest) for entry in entries] == [("2", published.digest)]


async def test_a_version_is_never_replaced(repository: Repository) -> None:
    first = await repository.published("1")
    with pytest.raises(VersionExists, match="with exactly these files"):
        await repository.published("1")
    with pytest.raises(VersionExists, match="with other files"):
        await publish(repository.model(seed=7), repository.uri, "1", repository.storage)
    assert (await resolve(repository.uri, "1", repository.storage)).digest == first.digest
    await verify_version(repository.uri, "1", repository.storage)


async def test_a_rehearsal_writes_nothing(repository: Repository) -> None:
    rehearsed = await rehearse(repository.model(), repository.uri, "1", repository.storage)
    assert rehearsed.digest.startswith("sha256:")
    assert not repository.disk.exists()


async def test_versions_come_in_natural_order(repository: Repository) -> None:
    for version in ("10", "9", "1.10.0", "1.9.0"):
        await repository.published(version)
    (repository.disk / "11").mkdir()
    (repository.disk / "11" / "config.json").write_text("{}")
    entries = await list_versions(repository.uri, repository.storage)
    assert [(entry.version, entry.complete) for entry in entries] == [
        ("1.9.0", True),
        ("1.10.0", True),
        ("9", True),
        ("10", True),
        ("11", False),
    ]
    newest = await list_versions(repository.uri, repository.storage, newest=2)
    assert [entry.version for entry in newest] == ["10", "11"]


async def test_a_refused_file_stops_the_publish_before_anything_is_sent(repository: Repository) -> None:
    directory = repository.model()
    (directory / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UnsafeArtifact, match="Save the weights as safetensors"):
        await publish(directory, repository.uri, "1", repository.storage)
    assert not repository.disk.exists()


async def test_a_directory_without_a_model_is_not_published(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(InvalidDirectory, match="There is no directory"):
        await publish(tmp_path / "nowhere", repository.uri, "1", repository.storage)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidDirectory, match=r"no config\.json"):
        await publish(tmp_path / "empty", repository.uri, "1", repository.storage)


async def test_an_index_needs_all_its_shards(repository: Repository) -> None:
    directory = repository.model()
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InvalidDirectory, match=r"model-2\.safetensors"):
        await publish(directory, repository.uri, "1", repository.storage)


async def test_hidden_files_are_left_out_and_links_to_files_followed(repository: Repository, tmp_path: Path) -> None:
    directory = repository.model()
    (directory / ".gitattributes").write_text("*")
    (tmp_path / "blob").write_text("{}")
    (directory / "vocab.json").symlink_to(tmp_path / "blob")
    published = await publish(directory, repository.uri, "1", repository.storage)
    paths = [entry.path for entry in published.manifest.files]
    assert published.skipped == (".gitattributes",)
    assert "vocab.json" in paths
    assert ".gitattributes" not in paths


async def test_progress_ends_at_the_total(repository: Repository, root: Path) -> None:
    seen: list[Progress] = []
    directory = repository.model(weights=20 * MIB)
    published = await publish(directory, repository.uri, "1", repository.storage, progress=seen.append)
    await repository.fetch(published, root, FetchOptions(progress=seen.append))
    last = {progress.phase: progress for progress in seen}
    total = published.manifest.total_bytes
    assert {phase: (end.done_bytes, end.total_bytes) for phase, end in last.items()} == dict.fromkeys(
        ("Hash", "Upload", "Download"), (total, total)
    )


async def test_a_fetched_directory_verifies(repository: Repository, root: Path) -> None:
    published = await repository.published()
    fetched = await repository.fetch(published, root)
    assert verify_directory(fetched, published.digest).digest == published.digest
    assert (await verify_version(repository.uri, "1", repository.storage)).digest == published.digest
