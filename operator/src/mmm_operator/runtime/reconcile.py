"""One look at one object: observe → plan → execute."""

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from mmm_operator.errors import Refused
from mmm_operator.kube.execute import execute
from mmm_operator.kube.observe import observe
from mmm_operator.kube.port import Kube, Reports, Sources
from mmm_operator.plan import Plan
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key, Snapshot

log = logging.getLogger(__name__)

Planner = Callable[[Snapshot, Settings, dt.datetime], Plan]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reconcile ended: when to look again without being told, or that there is nothing left to look at."""

    requeue_after: float | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the process that a reconcile looks at or writes to."""

    kube: Kube
    sources: Sources
    reports: Reports


class Reconciler:
    """Brings one object one step further each time it is called.

    It remembers nothing but the API server's refusals, which the next attempt meets again if they still hold.
    """

    def __init__(self, world: World, plan: Planner, settings: Settings) -> None:
        self._world = world
        self._plan = plan
        self._settings = settings
        self._refused: dict[Key, str] = {}

    async def __call__(self, key: Key) -> Outcome:
        """Look at `key` and do what is to be done; raises what the API server says."""
        world = self._world
        snapshot = await observe(world.kube, key, world.sources, world.reports)
        if snapshot is None:
            self._refused.pop(key, None)
            return Outcome(gone=True)
        snapshot = replace(snapshot, refused=self._refused.get(key, ""))
        plan = self._plan(snapshot, self._settings, dt.datetime.now(dt.UTC))
        if plan.writes:
            log.info("%s", plan.because or "writing", extra={"key": key})
        try:
            await execute(world.kube, plan, snapshot)
        except Refused as error:
            self._refused[key] = str(error)
            raise
        # The status that was just written still complains: look once more.
        healed = self._refused.pop(key, None) is not None
        return Outcome(0.0 if healed else plan.requeue_after)
