"""After a restart the operator is shown what was true a while ago: it makes and deletes nothing because of that."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest

from mmm_operator import names
from tests.chaos import crash, lines
from tests.chaos.faults import Mode, Replay, lists, of, watches
from tests.chaos.grounds import OpenStage
from tests.chaos.proxy import Request
from tests.chaos.report import again, record
from tests.chaos.scenarios import AUTOSCALING
from tests.chaos.size import FULL, PLAN
from tests.chaos.stage import Stage

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

LATE_SECONDS = 2.0
MARGIN_SECONDS = 2.0
# One that makes, one that deletes, and one that resizes, if the operator believes what it is shown.
IN_SLICE = ("recreated-models-late", "autoscaled-models-late", "rolled-children-late")


async def deleted(stage: Stage) -> None:
    """The model is gone, with all that belonged to it."""
    await stage.delete()
    await stage.until(lambda: not any(stage.children(kind) for kind in ("Deployment", "Service", "Pod")), "gone")


async def recreated(stage: Stage) -> None:
    """Another one has its name."""
    await deleted(stage)
    await stage.create("2", replicas=2)
    await stage.settled("2")


async def rolled(stage: Stage) -> None:
    """Another version serves."""
    await stage.edit(model={"version": "2"})
    await stage.settled("2")


async def autoscaled(stage: Stage) -> None:
    """There is an autoscaler now."""
    await stage.edit(autoscaling=AUTOSCALING)
    await stage.until(lambda: stage.children("HorizontalPodAutoscaler"), "an autoscaler")
    await stage.settled()


async def shrunk(stage: Stage) -> None:
    """There is one pod, and its budget is gone."""
    await stage.edit(replicas=1)
    await stage.until(lambda: not stage.children("PodDisruptionBudget"), "no budget")
    await stage.settled()


CHANGES: dict[str, Callable[[Stage], Awaitable[None]]] = {
    change.__name__: change for change in (deleted, recreated, rolled, autoscaled, shrunk)
}


def children(request: Request) -> bool:
    """Whatever is not about the models themselves."""
    return request.is_watch and request.resource != names.PLURAL


# After the old lists the watches tell what happened since; which of them catches up first is open.
LAGS = {"together": None, "models-late": of(names.PLURAL, watches), "children-late": children}


def chosen() -> list[str]:
    """All plans, or those of the slice, or the one that is replayed."""
    everything = [f"{change}-{lag}" for change in CHANGES for lag in LAGS]
    if PLAN:
        return [plan for plan in everything if plan == PLAN]
    return everything if FULL else list(IN_SLICE)


@pytest.mark.parametrize("plan", chosen())
async def test_old_lists_make_and_delete_nothing(plan: str, open_stage: OpenStage) -> None:
    change, _, lag = plan.partition("-")
    async with open_stage() as stage:
        try:
            what = await shown_the_past(stage, CHANGES[change], lag)
        except AssertionError as error:
            what = str(error)
    record("stale", plan, what)
    assert not what, f"{what}\n{again('stale', plan)}"


async def shown_the_past(stage: Stage, change: Callable[[Stage], Awaitable[None]], lag: str) -> str:
    """Record lists, change the world, and show the lists to the next operator; what is wrong then, or nothing."""
    past = Replay()
    await stage.operator.start()
    await stage.create(replicas=2)
    await stage.settled()
    await stage.quiet()
    with stage.proxy.fault(lists, past), ExitStack() as lagging:
        past.mode = Mode.RECORD
        await stage.restart()
        await stage.quiet()
        past.mode = Mode.PASS
        await change(stage)
        await stage.quiet()
        before = crash.Ending(stage.essence(), stage.world.counts(stage.namespace, stage.model))
        stage.operator.kill()
        await stage.operator.ended()
        matches = LAGS[lag]
        if matches is not None:
            lagging.enter_context(stage.proxy.line_fault(matches, lines.Behind(LATE_SECONDS)))
        past.mode = Mode.REPLAY
        await stage.operator.start()
        # Silence before the late events have come proves nothing.
        await stage.quiet(LATE_SECONDS + MARGIN_SECONDS)
        assert past.replayed > 0, "no old list was asked for"
    after = crash.Ending(stage.essence(), stage.world.counts(stage.namespace, stage.model))
    problems = [str(line)[:500] for line in stage.operator.complaints()]
    return "; ".join(filter(None, [crash.difference(after, before), *problems]))
