"""Processes that are killed at random bytes, which a proxy counts; a test's id shows the seed that replays it."""

import asyncio
import collections
import contextlib
import hashlib
import os
import random
import re
import sys
from pathlib import Path

import pytest

from mmm_repository import IncompleteUpload, VersionNotFound, publish, resolve, verify_version
from tests.repository.conftest import Repository
from tests.repository.faults import StallingProxy
from tests.repository.samples import MIB, contents_of

# Replay with MMM_TEST_SEED=<the number in the test's id>. The workers of one run draw the same.
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID")
SEED = int(os.environ.get("MMM_TEST_SEED") or random.Random(RUN).randrange(2**32))
KILLS = 3
PART = 8 * MIB


async def killed_when_stalled(proxy: StallingProxy, command: list[str], environment: dict[str, str]) -> None:
    """Run the command and kill it once the proxy has passed its budget.

    What the server was told before may take effect after this, so `at_rest` comes before a look at its disk.
    """
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await asyncio.wait_for(proxy.stalled.wait(), 30)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("seed", [SEED])
async def test_a_fetch_killed_at_any_byte_leaves_nothing_that_looks_complete(
    repository: Repository, root: Path, tmp_path: Path, seed: int
) -> None:
    published = await repository.published(weights=48 * MIB, shards=3)
    total = published.manifest.total_bytes
    environment = {
        **repository.environment(),
        "MMM_MODEL_ROOT": str(root),
        "MMM_MODEL_VERSION": "1",
        "MMM_MODEL_DIGEST": published.digest,
        "MMM_SOURCE_URI": repository.uri,
        "MMM_TERMINATION_LOG": str(tmp_path / "termination"),
    }
    source = random.Random(seed)
    for _ in range(KILLS):
        # What arrived before is not asked for again, so the budgets are small: kills happen all over the files.
        async with StallingProxy(repository.server.endpoint, source.randrange(total // KILLS)) as proxy:
            environment["MMM_S3_ENDPOINT"] = proxy.endpoint
            await killed_when_stalled(proxy, [sys.executable, "-m", "mmm_server", "fetch"], environment)
        assert not (root / published.digest.removeprefix("sha256:")).exists()
    fetched = await repository.fetch(published, root)
    assert contents_of(repository.model(weights=48 * MIB, shards=3)).items() <= contents_of(fetched).items()


@pytest.mark.parametrize("seed", [SEED])
async def test_a_killed_publish_is_never_a_version_and_goes_on_where_it_was(repository: Repository, seed: int) -> None:
    directory = repository.model(weights=48 * MIB, shards=12)
    total = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    source = random.Random(seed)
    for _ in range(KILLS):
        await at_rest(repository)
        whole = objects_in(repository)
        async with StallingProxy(repository.server.endpoint, source.randrange(total // 4)) as proxy:
            command = [sys.executable, "-m", "mmm_cli", "publish", str(directory), repository.uri, "--version", "1"]
            await killed_when_stalled(proxy, command, repository.environment(proxy.endpoint))
        assert not puts(proxy).keys() & whole, "nothing that was whole is sent again"
        with pytest.raises((IncompleteUpload, VersionNotFound)):
            await resolve_or_missing(repository)
    await publish_the_rest(repository, directory)


@pytest.mark.parametrize("seed", [SEED])
async def test_a_kill_cuts_few_large_files(repository: Repository, seed: int) -> None:
    """Large files go two at a time, so at most as many have to be sent again."""
    directory = repository.model(weights=60 * MIB, shards=6)
    budget = random.Random(seed).randrange(20 * MIB, 55 * MIB)
    async with StallingProxy(repository.server.endpoint, budget) as proxy:
        command = [sys.executable, "-m", "mmm_cli", "publish", str(directory), repository.uri, "--version", "1"]
        await killed_when_stalled(proxy, command, repository.environment(proxy.endpoint))
    assert len(objects_in(repository)) >= 4 + (budget - MIB) // (10 * MIB) - 2
    await publish_the_rest(repository, directory)


@pytest.mark.parametrize("seed", [SEED])
async def test_a_large_file_goes_on_with_its_parts(repository: Repository, seed: int) -> None:
    directory = repository.model(weights=70 * MIB)
    command = [sys.executable, "-m", "mmm_cli", "publish", str(directory), repository.uri, "--version", "1"]
    # Six parts of 8 MiB are on their way at any time, so some of the nine are there by then, and not all.
    budget = random.Random(seed).randrange(54 * MIB, 62 * MIB)
    async with StallingProxy(repository.server.endpoint, budget) as proxy:
        await killed_when_stalled(proxy, command, repository.environment(proxy.endpoint))
    await at_rest(repository)
    there = parts_in(repository)
    assert there
    async with StallingProxy(repository.server.endpoint) as proxy:
        published = await publish(directory, repository.uri, "1", repository.at(proxy.endpoint))
    assert parts_sent(proxy) == {str(number): 1 for number in range(1, 10) if str(number) not in there}
    assert published.sent_bytes <= published.manifest.total_bytes - (len(there) - 1) * 8 * MIB
    await verify_version(repository.uri, "1", repository.storage)
    assert not parts_in(repository), "nothing is left that nobody sees"


async def at_rest(repository: Repository, quiet_seconds: float = 1.0) -> None:
    """Return once nothing on the server's disk has changed for a while: it may still be putting parts together."""
    async with asyncio.timeout(30):
        seen = None
        while (now := disk_of(repository)) != seen:
            seen = now
            await asyncio.sleep(quiet_seconds)


def disk_of(repository: Repository) -> set[tuple[Path, int]]:
    """Every file on the server's disk, with its inode."""
    files = (repository.server.directory / "data" / repository.bucket).rglob("*")
    found = set()
    for path in files:
        with contextlib.suppress(FileNotFoundError):
            found.add((path, path.stat().st_ino))
    return found


def parts_in(repository: Repository) -> set[str]:
    """The numbers of the parts that the server keeps for uploads that never ended."""
    uploads = repository.server.directory / "data" / repository.bucket / ".sgwtmp"
    return {path.name for path in uploads.rglob("*") if path.is_file() and path.name.isdigit()}


def parts_sent(proxy: StallingProxy) -> "collections.Counter[str]":
    """How often each part of a large file was sent."""
    numbers = (re.search(r"partNumber=(\d+)", path) for method, path in proxy.requests if method == "PUT")
    return collections.Counter(found[1] for found in numbers if found)


async def publish_the_rest(repository: Repository, directory: Path) -> None:
    """Publish to the end, and count: one PUT for each file (for each 8 MiB of it) that was not there, no other."""
    await at_rest(repository)
    whole = objects_in(repository)
    there = {path: parts_of(repository, path) for path in contents_of(directory)}
    async with StallingProxy(repository.server.endpoint) as proxy:
        published = await publish(directory, repository.uri, "1", repository.at(proxy.endpoint))
    missing = {
        entry.path: parts
        for entry in published.manifest.files
        if entry.path not in whole and (parts := missing_parts(entry.size, there[entry.path]))
    }
    assert puts(proxy) == {path: len(sizes) for path, sizes in missing.items()} | {"manifest.json": 1}
    assert published.sent_bytes == sum(map(sum, missing.values()))
    await verify_version(repository.uri, "1", repository.storage)


def missing_parts(size: int, there: set[int]) -> list[int]:
    """The sizes of the parts of a file that have to be sent: a cut upload goes on if one whole part of it is there."""
    sizes = [min(PART, size - start) for start in range(0, size, PART)] or [0]
    if not any(sizes[number - 1] == PART for number in there):
        return sizes
    return [length for number, length in enumerate(sizes, 1) if number not in there]


def parts_of(repository: Repository, path: str) -> set[int]:
    """The numbers of the parts that the server keeps of a file; it files them under the hash of its key."""
    key = f"clip/1/{path}"
    uploads = repository.server.directory / "data" / repository.bucket / ".sgwtmp" / "multipart"
    kept = (uploads / hashlib.sha256(key.encode()).hexdigest()).rglob("*")
    return {int(part.name) for part in kept if part.is_file() and part.name.isdigit()}


def objects_in(repository: Repository) -> set[str]:
    """The files of version 1 that the server has whole; what it only has parts of lies elsewhere."""
    version = repository.disk / "1"
    return {path.relative_to(version).as_posix() for path in version.rglob("*") if path.is_file()}


def puts(proxy: StallingProxy) -> dict[str, int]:
    """How often each file of the version was sent, or parts of it."""
    paths = (path.partition("?")[0].rpartition("/clip/1/")[2] for method, path in proxy.requests if method == "PUT")
    return dict(collections.Counter(paths))


async def resolve_or_missing(repository: Repository) -> None:
    """Resolve version 1; a prefix with nothing in it yet counts as a missing version."""
    if not any(repository.disk.rglob("*.*")):
        raise VersionNotFound("nothing has arrived yet")
    await resolve(repository.uri, "1", repository.storage)
