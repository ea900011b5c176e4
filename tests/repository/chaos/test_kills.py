"""A fetcher that is killed at random bytes of what it receives, and at each thing that it does to the disk."""

import asyncio
import random
import shutil
import sys
from pathlib import Path

import pytest

from mmm_repository import fetch
from tests.chaos.size import SEED, sized
from tests.repository.chaos.ground import looks_whole
from tests.repository.chaos.report import record
from tests.repository.conftest import Repository
from tests.repository.faults import StallingProxy
from tests.repository.samples import MIB, contents_of

KILLS = sized(2, 200)
KILLS_OF_ONE_FETCH = 4
PATIENCE = 120.0

# Runs the fetcher and kills it at its n-th operation on files below a directory; 0 only counts them.
KILLED_AT_OPERATION = """
import os, signal, sys
wanted, root, seen = int(sys.argv[1]), sys.argv[2], 0
def hear(event, arguments):
    global seen
    if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.truncate", "os.utime") and root in str(arguments[0]):
        seen += 1
        if seen == wanted:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hear)
from mmm_server.fetch import run_fetch
code = run_fetch()
print("OPERATIONS", seen)
sys.exit(code)
"""


def environment(repository: Repository, digest: str, root: Path, endpoint: str) -> dict[str, str]:
    return {
        **repository.environment(),
        "MMM_MODEL_ROOT": str(root),
        "MMM_MODEL_VERSION": "1",
        "MMM_MODEL_DIGEST": digest,
        "MMM_SOURCE_URI": repository.uri,
        "MMM_S3_ENDPOINT": endpoint,
        "MMM_TERMINATION_LOG": str(root.parent / "termination"),
    }


async def run(command: list[str], variables: dict[str, str], stop: asyncio.Event | None = None) -> str:
    """What the command printed; it is killed once `stop` is set."""
    process = await asyncio.create_subprocess_exec(
        *command, env=variables, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    ended = asyncio.ensure_future(process.communicate())
    stopped = asyncio.ensure_future(stop.wait() if stop else asyncio.Event().wait())
    try:
        await asyncio.wait({ended, stopped}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        if process.returncode is None:
            process.kill()
    return (await ended)[0].decode()


@pytest.mark.parametrize("seed", [SEED])
async def test_a_fetcher_killed_at_any_byte_goes_on_from_there(
    repository: Repository, tmp_path: Path, seed: int
) -> None:
    published = await repository.published(weights=24 * MIB, shards=3)
    good = contents_of(repository.model(weights=24 * MIB, shards=3))
    total, source = published.manifest.total_bytes, random.Random(seed)
    for number in range(KILLS):
        root = tmp_path / f"root-{number // KILLS_OF_ONE_FETCH}"
        # What arrived before is not asked for again: budgets are such that each kill finds something to break off.
        budget = source.randrange(total // KILLS_OF_ONE_FETCH)
        async with StallingProxy(repository.server.endpoint, budget) as proxy:
            variables = environment(repository, published.digest, root, proxy.endpoint)
            await run([sys.executable, "-m", "mmm_server", "fetch"], variables, proxy.stalled)
        what = "looks whole" if root.exists() and looks_whole(root) else ""
        if number % KILLS_OF_ONE_FETCH == KILLS_OF_ONE_FETCH - 1 or number == KILLS - 1:
            fetched = await repository.fetch(published, root)
            what = what or ("" if good.items() <= contents_of(fetched).items() else "other bytes at the end")
            shutil.rmtree(root)
        record("kills at a byte", str(number), what, seed)
        assert not what, f"kill {number}, after {budget} bytes"


async def test_a_fetcher_killed_at_any_operation_on_files_leaves_all_or_nothing(
    repository: Repository, tmp_path: Path
) -> None:
    published = await repository.published(weights=9 * MIB)
    good = contents_of(repository.model(weights=9 * MIB))
    script = [sys.executable, "-c", KILLED_AT_OPERATION]

    async def killed_at(number: int, root: Path) -> str:
        variables = environment(repository, published.digest, root, repository.server.endpoint)
        return await run([*script, str(number), str(root)], variables)

    operations = int((await killed_at(0, tmp_path / "counted")).split("OPERATIONS ")[1])
    assert operations > 20
    for number in range(1, operations + 1, sized(max(1, operations // 2), 1)):
        root = tmp_path / f"root-{number}"
        printed = await killed_at(number, root)
        assert "OPERATIONS" not in printed, "the fetcher was not killed"
        names = looks_whole(root)
        what = "" if not names or good.items() <= contents_of(root / names[0]).items() else "looks whole and is not"
        fetched = await fetch(repository.uri, "1", published.digest, root, repository.storage)
        what = what or ("" if good.items() <= contents_of(fetched).items() else "other bytes at the end")
        record("kills at an operation", str(number), what)
        assert not what, f"killed at operation {number}"
        shutil.rmtree(root)
