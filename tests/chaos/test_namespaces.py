"""Namespaces end whatever is going on in them, and objects are deleted and made again faster than their children go."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from mmm_operator import names
from tests.chaos.grounds import OpenStage
from tests.chaos.report import again, record
from tests.chaos.scenarios import AUTOSCALING
from tests.chaos.size import PLAN, SEED, sized
from tests.chaos.stage import Stage

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

ENDS = sized(1, 4)
LOOPS = sized(2, 20)
TURNS = sized(5, 10)
AT_ONCE = 4
# The API server refuses whatever is made in a namespace that ends; to try again with backoff is no hot loop.
MOST_REFUSALS = 30
KINDS = (names.KIND, "Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Pod")


async def at_rest(stage: Stage) -> None:
    """Nothing is under way."""
    await stage.create(replicas=2, autoscaling=AUTOSCALING)
    await stage.settled()


async def while_it_is_made(stage: Stage) -> None:
    """Some children are there, others are not."""
    await stage.create(replicas=2, autoscaling=AUTOSCALING)
    await stage.until(lambda: stage.children("Service"), "a Service")


async def mid_roll(stage: Stage) -> None:
    """Two revisions run."""
    stage.hold("2")
    await stage.create(replicas=2)
    await stage.settled()
    await stage.edit(model={"version": "2"})
    await stage.until(lambda: stage.deployment("2"), "a Deployment of version 2")


MOMENTS: tuple[Callable[[Stage], Awaitable[None]], ...] = (while_it_is_made, at_rest, mid_roll)


def chosen(plans: list[str]) -> list[str]:
    """All of them, or the one that is replayed."""
    return [plan for plan in plans if PLAN in ("", plan)]


@pytest.mark.parametrize(
    "plan", chosen([f"{moment.__name__}-{turn}" for turn in range(ENDS) for moment in MOMENTS][: sized(1, 99)])
)
async def test_a_namespace_ends_and_comes_back(plan: str, open_stage: OpenStage) -> None:
    name, _, turn = plan.rpartition("-")
    moment = next(moment for moment in MOMENTS if moment.__name__ == name)
    async with open_stage() as stage:
        try:
            await stage.operator.start()
            await stage.watching()
            await moment(stage)
            await asyncio.sleep(int(turn) / 10)
            what = await ended_and_back(stage)
        except AssertionError as error:
            what = str(error)
    record("namespaces", plan, what)
    assert not what, f"{what}\n{again('namespaces', plan)}"


async def ended_and_back(stage: Stage) -> str:
    """Remove the namespace and make it again; what is wrong then, or nothing."""
    await stage.remove_namespace()
    await stage.until(lambda: not any(stage.children(kind) for kind in KINDS), "everything is gone")
    refused = [seen for seen in stage.proxy.seen if seen.request.is_write and seen.status == 403]
    await stage.make_namespace()
    await stage.create("3", replicas=2)
    await stage.settled("3")
    problems = []
    if len(refused) > MOST_REFUSALS:
        problems.append(f"{len(refused)} writes into a namespace that ends")
    return "; ".join([*problems, *unwell(stage)])


@pytest.mark.parametrize("batch", range(1 if PLAN else max(1, LOOPS // AT_ONCE)))
async def test_who_is_deleted_and_made_again_serves_in_the_end(batch: int, open_stage: OpenStage) -> None:
    plans = [f"recreate-{number}" for number in range(LOOPS)][batch * AT_ONCE : (batch + 1) * AT_ONCE]
    plans = [PLAN] if PLAN.startswith("recreate-") else chosen(plans)
    if not plans:
        pytest.skip(f"CHAOS_PLAN={PLAN} is none of these")
    found = await asyncio.gather(*(recreated(plan, open_stage) for plan in plans))
    failures = [(plan, what) for plan, what in zip(plans, found, strict=True) if what]
    assert not failures, "\n".join(f"{what}\n{again('namespaces', plan)}" for plan, what in failures)


async def recreated(plan: str, open_stage: OpenStage) -> str:
    """What is wrong after the loop, or nothing."""
    async with open_stage() as stage:
        try:
            await stage.operator.start()
            await stage.watching()
            what = await loop(stage, random.Random(f"{SEED} {plan}"))
        except AssertionError as error:
            what = str(error)
    record("namespaces", plan, what)
    return what


async def loop(stage: Stage, rng: random.Random) -> str:
    """Make and delete one name over and over, at random moments and in random versions."""
    await stage.create()
    for _ in range(TURNS):
        await asyncio.sleep(rng.choice((0.0, 0.1, rng.uniform(0.0, 2.0))))
        await stage.delete(rng.choice(("Background", "Foreground")))
        await stage.until(lambda: stage.gone(), "the object is gone")
        version, replicas = rng.choice(("1", "2", "3")), rng.choice((1, 2))
        await stage.create(version, replicas=replicas)
    await stage.settled(version)
    await stage.quiet()
    await stage.until(lambda: not strangers(stage), "what belonged to others is collected")
    problems = [] if len(stage.children("Deployment")) == 1 else ["there is not one Deployment"]
    made = stage.world.counts(stage.namespace, stage.model)["Deployment created"]
    if made > TURNS + 1:
        problems.append(f"{made} Deployments were made for {TURNS + 1} objects")
    return "; ".join([*problems, *unwell(stage)])


def strangers(stage: Stage) -> list[str]:
    """Children of objects that had the name before."""
    uid = (stage.mmm() or {"metadata": {}})["metadata"].get("uid")
    found = (item for kind in KINDS if kind not in (names.KIND, "Pod") for item in stage.children(kind))
    return [item["metadata"]["name"] for item in found if item["metadata"]["ownerReferences"][0]["uid"] != uid]


def unwell(stage: Stage) -> list[str]:
    """What the process has to be blamed for."""
    gone = [] if stage.operator.running and stage.operator.starts == 1 else ["the operator has ended"]
    return gone + [str(line)[:500] for line in stage.operator.complaints()]
