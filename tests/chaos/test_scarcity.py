"""The operator was away while objects changed, or has next to no file descriptors."""

from collections.abc import Callable

import pytest

from mmm_operator import names
from tests.chaos.grounds import OpenStage
from tests.chaos.report import again, record
from tests.chaos.size import only, sized
from tests.chaos.stage import Stage
from tests.chaos.test_throttling import all_serve, create_many

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

FILES = 64
MODELS = sized(8, 30)
COLLECTED_SECONDS = 30.0


@only("deleted-while-away")
async def test_what_is_deleted_while_the_operator_is_away_is_collected(open_stage: OpenStage) -> None:
    async with open_stage() as stage:
        await stage.operator.start()
        await stage.create(replicas=2)
        await stage.settled()
        await stage.quiet()
        stage.operator.kill()
        await stage.operator.ended()
        await stage.delete()
        kinds = (names.KIND, "Deployment", "Service", "PodDisruptionBudget", "Pod")
        what = await outcome(stage, lambda: not any(stage.children(kind) for kind in kinds), COLLECTED_SECONDS)
        before = stage.world.counts(stage.namespace, stage.model)
        await stage.operator.start()
        await stage.watching()
        await stage.quiet()
        if stage.world.counts(stage.namespace, stage.model) != before:
            what += "; the next operator made something for what is gone"
    record("scarce", "deleted-while-away", what)
    assert not what, f"{what}\n{again('scarce', 'deleted-while-away')}"


@only("changed-while-away")
async def test_what_changes_while_the_operator_is_away_is_caught_up_with(open_stage: OpenStage) -> None:
    async with open_stage() as stage:
        await stage.operator.start()
        await stage.create(replicas=2)
        await stage.settled()
        stage.operator.kill()
        await stage.operator.ended()
        await stage.edit(model={"version": "2"})
        await stage.edit(model={"version": "3"}, replicas=3)
        await stage.world.api.delete(stage.ref("Service"))
        await stage.operator.start()
        await stage.settled("3")
        await stage.until(lambda: stage.children("Service"), "a Service")
        what = "version 2 was rolled out for nothing" if stage.deployment("2") else ""
    record("scarce", "changed-while-away", what)
    assert not what, f"{what}\n{again('scarce', 'changed-while-away')}"


@only(f"{FILES}-files")
async def test_with_few_file_descriptors_everything_is_done(open_stage: OpenStage) -> None:
    async with open_stage() as stage:
        stage.operator.files = FILES
        await stage.operator.start()
        await stage.watching()
        await create_many(stage, MODELS)
        await all_serve(stage, MODELS)
        await stage.quiet()
        problems = [] if stage.operator.running else ["the operator has ended"]
        what = "; ".join([*problems, *(str(line)[:500] for line in stage.operator.complaints())])
    record("scarce", f"{FILES}-files", what)
    assert not what, f"{what}\n{again('scarce', f'{FILES}-files')}"


async def outcome(stage: Stage, look: Callable[[], bool], seconds: float) -> str:
    """Why `look` did not become true in time, or nothing."""
    try:
        await stage.until(look, "everything is collected", seconds)
    except AssertionError as error:
        return str(error)
    return ""
