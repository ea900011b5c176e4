"""Processes that are killed at random bytes, which a proxy counts; a test's id shows the seed that replays it."""

import asyncio
import os
import random
import sys
from pathlib import Path

import pytest

from mmm_repository import IncompleteUpload, VersionNotFound, publish, resolve, verify_version
from tests.repository.conftest import Repository
from tests.repository.faults import StallingProxy
from tests.repository.samples import MIB, contents_of

# Replay with MMM_TEST_SEED=<the number in the test's id>.
SEED = int(os.environ.get("MMM_TEST_SEED", random.SystemRandom().randrange(2**32)))
KILLS = 3


async def killed_when_stalled(proxy: StallingProxy, command: list[str], environment: dict[str, str]) -> None:
    """Run the command and kill it once the proxy has passed its budget."""
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
        async with StallingProxy(repository.server.endpoint, source.randrange(total // 4)) as proxy:
            command = [sys.executable, "-m", "mmm_cli", "publish", str(directory), repository.uri, "--version", "1"]
            await killed_when_stalled(proxy, command, repository.environment(proxy.endpoint))
        with pytest.raises((IncompleteUpload, VersionNotFound)):
            await resolve_or_missing(repository)
    there = sum(path.stat().st_size for path in repository.disk.rglob("*.safetensors"))
    published = await publish(directory, repository.uri, "1", repository.storage)
    assert published.sent_bytes <= total - there
    await verify_version(repository.uri, "1", repository.storage)


async def resolve_or_missing(repository: Repository) -> None:
    """Resolve version 1; a prefix with nothing in it yet counts as a missing version."""
    if not any(repository.disk.rglob("*.*")):
        raise VersionNotFound("nothing has arrived yet")
    await resolve(repository.uri, "1", repository.storage)
