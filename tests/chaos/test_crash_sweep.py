"""The operator is killed at every write, before, during and after it: the world ends up the same."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.chaos import crash
from tests.chaos.crash import Ending, Plan
from tests.chaos.grounds import OpenStage
from tests.chaos.report import again, record
from tests.chaos.scenarios import STORIES
from tests.chaos.size import FULL, PLAN, SEED
from tests.chaos.stage import Stage

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

STAGES = 4
# One that makes, one that replaces, one that prunes, one that mends; and so many crashes of each.
IN_SLICE = ("create-everything", "rollback-mid-roll", "three-versions", "drift-is-repaired"), 4
# All stories, but only so many crashes of each: for a look at everything that takes minutes.
CRASHES = int(os.environ.get("CHAOS_CRASHES", "0"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stages(open_stage: OpenStage) -> AsyncIterator[list[Stage]]:
    """Several, each with its running operator, so that several plans can be played at once."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(open_stage()) for _ in range(STAGES)]
        for stage in found:
            await stage.operator.start()
        yield found


def chosen_stories() -> list[str]:
    """All of them, or those of the slice, or the one that is replayed."""
    wanted = PLAN.partition(":")[0]
    if wanted:
        return [story for story in STORIES if story == wanted]
    return list(STORIES) if FULL or CRASHES else list(IN_SLICE[0])


def chosen_plans(story: str, writes: int) -> list[Plan]:
    """The crashes of a story to be played now."""
    everything = crash.plans(story, writes)
    if ":" in PLAN:
        return [plan for plan in everything if str(plan) == PLAN]
    if FULL and not CRASHES:
        return everything
    return random.Random(f"{SEED} {story}").sample(everything, min(CRASHES or IN_SLICE[1], len(everything)))


@pytest.mark.parametrize("story", chosen_stories())
async def test_wherever_it_is_killed_the_same_world_results(story: str, stages: list[Stage]) -> None:
    endings = await asyncio.gather(*(crash.undisturbed(stage, story) for stage in stages))
    reference = max(endings, key=lambda ending: len(ending.writes))
    for ending in endings:
        what = crash.difference(ending, reference, story)
        assert not what, f"undisturbed, the story ends in several ways: {what}"
    plans = chosen_plans(story, len(reference.writes))
    failures = await play(stages, plans, reference)
    assert not failures, "\n".join(f"{again('crash', name)}\n    {what}" for name, what in failures)


async def play(stages: list[Stage], plans: Iterable[Plan], reference: Ending) -> list[tuple[str, str]]:
    """The plans that failed, and why; every stage takes the next one when it has played its last."""
    left, failures = iter(plans), []

    async def keep_busy(stage: Stage) -> None:
        for plan in left:
            what = await crash.crashed(stage, plan, reference)
            complaints = stage.operator.complaints()
            stage.operator.log.rename(stage.operator.log.with_name(f"{plan}.log"))
            what = what or "; ".join(str(line)[:1000] for line in complaints)
            record("crash", str(plan), what)
            if what:
                failures.append((str(plan), what))

    await asyncio.gather(*map(keep_busy, stages))
    return failures
