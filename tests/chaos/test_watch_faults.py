"""Lists and watches break in every way while specs and children change; soon after they heal, all is well."""

import asyncio
import random
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from mmm_operator import names
from tests.chaos.cells import ACTIVE_SECONDS, CELLS, Cell
from tests.chaos.grounds import OpenStage
from tests.chaos.report import again, record
from tests.chaos.size import FULL, PLAN, SEED
from tests.chaos.stage import Stage

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

AT_ONCE = 4
IN_SLICE = 8
HEALED_SECONDS = 15.0
# Where watches stay dumb, one sweep finds the spec and the next one what came of it.
SWEPT_SECONDS = 60.0
# A lost event without a broken stream is found by the sweep: every object is looked at again this often.
RESYNC_SECONDS = 10
USUAL_RESYNC_SECONDS = 300


def chosen() -> list[str]:
    """All cells, or those of the slice, or the one that is replayed."""
    if PLAN:
        return [name for name in CELLS if name == PLAN]
    return list(CELLS) if FULL else sorted(random.Random(SEED).sample(list(CELLS), IN_SLICE))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def outcomes(open_stage: OpenStage) -> AsyncIterator[dict[str, "asyncio.Task[str]"]]:
    """What is wrong after each fault, or nothing; several are tried at the same time, each on a stage of its own."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(cell: Cell) -> str:
        async with slots:
            resync = RESYNC_SECONDS if cell.silent else USUAL_RESYNC_SECONDS
            async with open_stage(resync_seconds=str(resync)) as stage:
                return await broken_and_healed(stage, cell)

    tasks = {name: asyncio.create_task(one(CELLS[name])) for name in chosen()}
    yield tasks
    for task in tasks.values():
        task.cancel()


@pytest.mark.parametrize("name", chosen())
async def test_after_every_fault_everything_is_handled_again(
    name: str, outcomes: "dict[str, asyncio.Task[str]]"
) -> None:
    what = await outcomes[name]
    record("watch", name, what)
    assert not what, f"{what}\n{again('watch', name)}"


async def broken_and_healed(stage: Stage, cell: Cell) -> str:
    """Change things while the fault is active and right after it; what is wrong in the end, or nothing."""
    try:
        await prepare(stage)
        async with cell.make(stage.proxy):
            await stage.edit(replicas=3, service={"port": 8000})
            await stage.world.api.delete(stage.ref("PodDisruptionBudget"))
            await asyncio.sleep(ACTIVE_SECONDS / 2)
            await stage.edit(replicas=4)
            await stage.world.api.delete(stage.ref("Service"))
            await asyncio.sleep(ACTIVE_SECONDS / 2)
        await stage.edit(service={"port": 8002})
        await stage.until(
            lambda: handled(stage), "everything is handled", SWEPT_SECONDS if cell.lasting else HEALED_SECONDS
        )
        return await health(stage)
    except AssertionError as error:
        return str(error)


async def prepare(stage: Stage) -> None:
    """An operator at rest."""
    await stage.operator.start()
    await stage.create(replicas=2)
    await stage.settled()
    await stage.quiet()


def handled(stage: Stage) -> bool:
    """Whether every change has had its effect."""
    services, budgets = stage.children("Service"), stage.children("PodDisruptionBudget")
    (deployment,) = stage.children("Deployment")
    return (
        [item["spec"]["ports"][0]["port"] for item in services] == [8002]
        and [item["metadata"]["name"] for item in budgets] == [stage.model]
        and deployment["spec"]["replicas"] == 4
        and stage.serves("1")
    )


async def health(stage: Stage) -> str:
    """What is wrong with the process, or nothing."""
    if not stage.operator.running or stage.operator.starts != 1:
        return "the operator has ended"
    async with aiohttp.ClientSession() as session, session.get(f"{stage.operator.url}/healthz") as answer:
        if answer.status != 200:
            return f"/healthz says {answer.status}"
    uids = {item["metadata"]["ownerReferences"][0]["uid"] for item in stage.children("Service")}
    mmm = stage.world.get(names.KIND, stage.namespace, stage.model)
    if mmm is None or uids != {mmm["metadata"]["uid"]}:
        return "the Service belongs to somebody else"
    return "; ".join(str(line)[:1000] for line in stage.operator.complaints())
