"""What is kept of old versions, what is told of a fetch under way, and how a start looks at what is there."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from mmm_repository import (
    FetchOptions,
    NoSpace,
    Phase,
    Progress,
    PublishedVersion,
    Retention,
    StorageOptions,
    VersionNotFound,
    fetch,
    publish,
)
from mmm_repository import room as room_module
from mmm_repository.progress import PROGRESS_NAME, read_progress
from mmm_repository.retention import STALE_SECONDS
from mmm_repository.volume import try_lock
from tests.repository.conftest import Repository
from tests.repository.faults import StallingProxy
from tests.repository.samples import MIB, make_model

NOBODY = StorageOptions(endpoint="http://127.0.0.1:1")


async def versions(repository: Repository, count: int) -> list[PublishedVersion]:
    """So many versions of different bytes."""
    published = []
    for number in range(count):
        directory = make_model(repository.scratch / f"v{number}", weights=1000, seed=number)
        published.append(await publish(directory, repository.uri, str(number), repository.storage))
    return published


def hexes(root: Path) -> set[str]:
    """The versions in a root."""
    return {path.name for path in root.iterdir() if not path.name.startswith(".")}


def hex_of(version: PublishedVersion) -> str:
    return version.digest.removeprefix("sha256:")


def used(root: Path, version: PublishedVersion, ago: float) -> None:
    """Let the version have been asked for so many seconds ago."""
    then = time.time() - ago
    os.utime(root / hex_of(version) / ".complete", (then, then))


async def test_without_a_limit_every_version_stays(repository: Repository, root: Path) -> None:
    published = await versions(repository, 4)
    for version in published:
        await repository.fetch(version, root)
    assert hexes(root) == {hex_of(version) for version in published}


async def test_the_versions_that_were_asked_for_last_stay(repository: Repository, root: Path) -> None:
    published = await versions(repository, 4)
    for ago, version in zip((100, 300, 200), published, strict=False):
        await repository.fetch(version, root)
        used(root, version, ago)
    await repository.fetch(published[3], root, FetchOptions(retention=Retention(3)))
    assert hexes(root) == {hex_of(published[number]) for number in (0, 2, 3)}
    assert not (root / f".lock-{hex_of(published[1])}").exists()


async def test_a_version_that_is_asked_for_again_counts_as_used(repository: Repository, root: Path) -> None:
    published = await versions(repository, 3)
    for ago, version in zip((300, 100), published, strict=False):
        await repository.fetch(version, root)
        used(root, version, ago)
    await fetch(repository.uri, "0", published[0].digest, root, NOBODY)
    await repository.fetch(published[2], root, FetchOptions(retention=Retention(2)))
    assert hexes(root) == {hex_of(published[number]) for number in (0, 2)}


async def test_a_version_in_use_stays_whatever_its_age(repository: Repository, root: Path) -> None:
    published = await versions(repository, 4)
    for ago, version in zip((900, 300, 200), published, strict=False):
        await repository.fetch(version, root)
        used(root, version, ago)
    keep = frozenset({published[0].digest})
    await repository.fetch(published[3], root, FetchOptions(retention=Retention(1, keep)))
    assert hexes(root) == {hex_of(published[number]) for number in (0, 3)}


async def test_a_version_on_which_somebody_works_stays(repository: Repository, root: Path) -> None:
    old, new = await versions(repository, 2)
    await repository.fetch(old, root)
    descriptor = try_lock(root / f".lock-{hex_of(old)}")
    assert descriptor is not None
    try:
        await repository.fetch(new, root, FetchOptions(retention=Retention(1)))
        assert hexes(root) == {hex_of(old), hex_of(new)}
    finally:
        os.close(descriptor)
    await repository.fetch(new, root, FetchOptions(retention=Retention(1)))
    assert hexes(root) == {hex_of(new)}


async def test_a_fetch_that_fails_removes_nothing(repository: Repository, root: Path) -> None:
    old, new = await versions(repository, 2)
    await repository.fetch(old, root)
    with pytest.raises(VersionNotFound):
        await fetch(repository.uri, "7", new.digest, root, repository.storage, FetchOptions(retention=Retention(1)))
    assert hexes(root) == {hex_of(old)}


async def test_what_does_not_fit_makes_room_first_but_never_takes_the_version_before(
    repository: Repository, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = await versions(repository, 3)
    for ago, version in zip((300, 100), published, strict=False):
        await repository.fetch(version, root)
        used(root, version, ago)
    # Stands for a small volume: it can hold two of these versions.
    monkeypatch.setattr(room_module, "free_bytes", lambda root: (2 - len(hexes(root))) * 5000)
    await repository.fetch(published[2], root, FetchOptions(retention=Retention(2)))
    assert hexes(root) == {hex_of(published[number]) for number in (1, 2)}
    monkeypatch.setattr(room_module, "free_bytes", lambda root: 0)
    with pytest.raises(NoSpace):
        await repository.fetch(published[0], root, FetchOptions(retention=Retention(1)))
    assert hexes(root) == {hex_of(published[2])}


@pytest.mark.parametrize("retain", [0, 1])
async def test_what_another_fetch_has_begun_makes_room_first(
    repository: Repository, root: Path, monkeypatch: pytest.MonkeyPatch, retain: int
) -> None:
    (version,) = await versions(repository, 1)
    begun, at_work = (root / f".partial-{digit * 64}" for digit in "01")
    for partial in (begun, at_work):
        partial.mkdir(parents=True)
        (partial / "weights").write_bytes(b"x")
    descriptor = try_lock(root / f".lock-{'1' * 64}")
    assert descriptor is not None
    monkeypatch.setattr(room_module, "free_bytes", lambda root: 0 if begun.exists() else 5000)
    try:
        await repository.fetch(version, root, FetchOptions(retention=Retention(retain)))
    finally:
        os.close(descriptor)
    assert (begun.exists(), at_work.exists()) == (False, True)


async def test_a_volume_that_has_no_room_for_names_is_told_apart(
    repository: Repository, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (version,) = await versions(repository, 1)
    monkeypatch.setattr(room_module, "free_files", lambda root: 2)
    with pytest.raises(NoSpace, match=r"has 5 files, the volume at .* can hold 2 more"):
        await repository.fetch(version, root)


async def test_old_remains_of_other_fetches_go_and_new_ones_stay(repository: Repository, root: Path) -> None:
    (version,) = await versions(repository, 1)
    old, new, other = (root / f".partial-{digit * 64}" for digit in "012")
    for partial in (old, new, other):
        (partial / "sub").mkdir(parents=True)
        (partial / "sub" / "weights").write_bytes(b"x")
    then = time.time() - STALE_SECONDS - 60
    for path in (old, *old.rglob("*"), other, *other.rglob("*")):
        os.utime(path, (then, then))
    descriptor = try_lock(root / f".lock-{'2' * 64}")
    assert descriptor is not None
    try:
        await repository.fetch(version, root, FetchOptions(retention=Retention(1)))
    finally:
        os.close(descriptor)
    assert (old.exists(), new.exists(), other.exists()) == (False, True, True)


async def test_a_lock_whose_file_was_removed_excludes_nobody_twice(tmp_path: Path) -> None:
    location = tmp_path / ".lock"
    first = try_lock(location)
    assert first is not None
    waiting = os.open(location, os.O_RDWR)
    location.unlink()
    os.close(first)
    second = try_lock(location)
    assert second is not None, "a new file is locked, not the one that somebody may still wait for"
    assert try_lock(location) is None
    os.close(waiting)
    os.close(second)


async def test_how_far_a_fetch_has_come_can_be_read_and_goes_when_it_is_done(
    repository: Repository, root: Path
) -> None:
    published = await repository.published(weights=20 * MIB)
    told = root / f".partial-{hex_of(published)}" / PROGRESS_NAME
    heard: asyncio.Queue[Progress] = asyncio.Queue()
    options = FetchOptions(part_bytes=MIB, parallel_parts=2)
    async with StallingProxy(repository.server.endpoint, 10 * MIB) as proxy:
        storage = repository.at(proxy.endpoint).model_copy(update={"read_timeout_seconds": 60.0})
        task = asyncio.ensure_future(fetch(repository.uri, "1", published.digest, root, storage, options))
        await proxy.stalled.wait()
        assert json.loads(told.read_text())["totalBytes"] == published.manifest.total_bytes
        waiter = FetchOptions(progress=heard.put_nowait)
        second = asyncio.ensure_future(fetch(repository.uri, "1", published.digest, root, storage, waiter))
        first = await asyncio.wait_for(heard.get(), 30)
        for waiting in (second, task):
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
    assert first.phase is Phase.WAIT
    assert first.total_bytes == published.manifest.total_bytes
    await repository.fetch(published, root, options)
    assert not told.exists()
    assert not list((root / hex_of(published)).rglob(f"{PROGRESS_NAME}*"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"downloadedBytes": "x"}', b'{"downloadedBytes": 1}', b"\xff"])
def test_progress_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PROGRESS_NAME).write_bytes(content)
    assert read_progress(tmp_path / PROGRESS_NAME, Phase.WAIT) == Progress(phase=Phase.WAIT)
