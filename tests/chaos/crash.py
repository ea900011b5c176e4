"""The crash sweep: a story is played once undisturbed, then once for every write of it and every moment of that write.

Each time the operator is killed there, another one is started at once, and the world must end up the same: the same
children, the same status, and no child made or deleted more often than without the crash.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.faults import Moment, Strike
from tests.chaos.scenarios import STORIES
from tests.chaos.stage import PATIENCE_SECONDS, Stage
from tests.integration.operator_process import SERVER_IMAGE

MOST_TEXT = 200
_numbers = itertools.count(1)
# The object goes while its children are being made: how many there were is a matter of moments.
RACES = {"delete"}


@dataclass(frozen=True)
class Plan:
    """One crash."""

    story: str
    write: int
    moment: Moment

    def __str__(self) -> str:
        return f"{self.story}:{self.write}:{self.moment}"


@dataclass
class Ending:
    """How a story ended; `writes` are those of the operator, in their order."""

    essence: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    writes: Sequence[str] = ()


def plans(story: str, writes: int) -> list[Plan]:
    """Every crash of a story that has so many writes."""
    return [Plan(story, write, moment) for write in range(1, writes + 1) for moment in Moment]


async def undisturbed(stage: Stage, story: str) -> Ending:
    """How the story ends when nothing goes wrong."""
    async with _new_model(stage):
        await STORIES[story](stage)
        await stage.quiet()
        return _ending(stage)


async def crashed(stage: Stage, plan: Plan, reference: Ending) -> str:
    """Play the story with the crash; what is wrong in the end, or nothing."""
    killed = asyncio.Event()

    def kill() -> None:
        stage.operator.kill()
        killed.set()

    strike = Strike(plan.write, plan.moment, kill)
    async with _new_model(stage):
        successor = asyncio.create_task(_succeed(stage, killed))
        try:
            with stage.proxy.fault(stage.mine, strike):
                await STORIES[plan.story](stage)
                if not killed.is_set():
                    # The story had fewer writes this time: then it ends with a crash at rest.
                    await stage.quiet()
                    strike.number = -1
                    kill()
                await asyncio.wait_for(successor, PATIENCE_SECONDS)
                return await _compare(stage, plan.story, reference)
        except AssertionError as error:
            return str(error)
        finally:
            successor.cancel()


async def _succeed(stage: Stage, killed: asyncio.Event) -> None:
    await killed.wait()
    if stage.operator.pid is not None:
        await stage.succeed(stage.operator.pid)
    await stage.watching()


async def _compare(stage: Stage, story: str, reference: Ending) -> str:
    with suppress(AssertionError):
        await stage.until(lambda: stage.essence() == reference.essence, "the same world", PATIENCE_SECONDS / 2)
    await stage.quiet()
    return difference(_ending(stage), reference, story)


def difference(ending: Ending, reference: Ending, story: str = "") -> str:
    """What differs between two endings, in words; nothing when they are the same."""
    found = [
        f"{where}: {brief(a)} instead of {brief(b)}" for where, a, b in _differences(ending.essence, reference.essence)
    ]
    for what in sorted({*ending.counts, *reference.counts}):
        count, wanted = ending.counts.get(what, 0), reference.counts.get(what, 0)
        if count > wanted or (count < wanted and story not in RACES):
            found.append(f"{what}: {count} instead of {wanted}")
    return "; ".join(found)


def brief(value: object) -> str:
    """The beginning of it."""
    text = repr(value)
    return text if len(text) < MOST_TEXT else text[:MOST_TEXT] + "…"


def _differences(one: Any, other: Any, where: str = "") -> Iterable[tuple[str, Any, Any]]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            yield from _differences(one.get(key), other.get(key), f"{where}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _differences(a, b, f"{where}/{number}")
    elif one != other:
        yield where, one, other


def _ending(stage: Stage) -> Ending:
    writes = [str(seen.request) for seen in stage.proxy.seen if stage.mine(seen.request)]
    return Ending(stage.essence(), stage.world.counts(stage.namespace, stage.model), writes)


@asynccontextmanager
async def _new_model(stage: Stage) -> AsyncIterator[None]:
    """A name that was not used yet; afterwards the object is gone, and the operator is as it was started first."""
    stage.model = f"clip-{next(_numbers):04}"
    stage.proxy.seen[:] = [seen for seen in stage.proxy.seen if seen.request.is_watch]
    try:
        yield
    finally:
        await stage.delete()
        if stage.operator.settings["MMM_OPERATOR_SERVER_IMAGE"] != SERVER_IMAGE or not stage.operator.running:
            await stage.restart(MMM_OPERATOR_SERVER_IMAGE=SERVER_IMAGE)
