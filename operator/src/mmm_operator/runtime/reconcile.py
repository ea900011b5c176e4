"""One look at one object: observe → plan → execute."""

import asyncio
import datetime as dt
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mmm_operator.errors import Refused
from mmm_operator.kube.execute import Doubtful, Executor, Outdated
from mmm_operator.kube.observe import Observer
from mmm_operator.kube.store import Store
from mmm_operator.plan import Plan
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key, Ref, Snapshot

log = logging.getLogger(__name__)

Planner = Callable[[Snapshot, Settings, dt.datetime], Plan]

# After a change of children their controllers answer within this; a status written before would be overtaken.
OVERTAKEN_SECONDS = 0.5
# A look at what was just written can wait for what else is under way.
ECHO_SECONDS = 0.25
# Nobody announces that a name which somebody else had is free again.
TAKEN_SECONDS = 15.0
# Looks at an object whose pods come and go all the time must end in a deed.
MOST_OVERTAKEN = 2
# A pod that was touched is heard of; one whose touch was refused must not be touched again and again.
TOUCHED_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reconcile ended: when to look again without being told, or that there is nothing left to look at."""

    requeue_after: float | None = None
    gone: bool = False


@dataclass(slots=True)
class Memory:
    """What one look leaves to the next one; a process that starts anew lacks nothing without it.

    `refused` is the API server's word about our last writes, and `doubtful` the names where it met something else than
    what was seen.
    `deferred`: the last look changed children and left the status to this one. While the store counts `changes` for
    the object and the clock is before `until`, a look would find nothing to do. `overtaken` counts looks in a row that
    came to nothing as something happened meanwhile. All of it is about the object with the `uid`.
    """

    uid: str = ""
    refused: str = ""
    doubtful: frozenset[Ref] = frozenset()
    deferred: bool = False
    changes: int = -1
    until: float = 0.0
    stirs: int = 0
    overtaken: int = 0


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Brings one object one step further each time it is called."""

    store: Store
    observer: Observer
    executor: Executor
    plan: Planner
    settings: Settings
    memories: dict[Key, Memory] = field(default_factory=dict)

    async def __call__(self, key: Key) -> Outcome:
        """Look at `key` and do what is to be done; raises what the API server says."""
        memory = self.memories.setdefault(key, Memory())
        now, changes = asyncio.get_running_loop().time(), self.store.changes(key)
        if changes == memory.changes and now < memory.until:
            return Outcome(None if math.isinf(memory.until) else memory.until - now)
        stirs = memory.stirs
        snapshot = await self._look(key, memory)
        if snapshot is None:
            del self.memories[key]
            return Outcome(gone=True)
        plan = self.plan(snapshot, self.settings, dt.datetime.now(dt.UTC))
        if self._is_overtaken(snapshot, plan, memory, changes):
            return Outcome(0.0)
        if self._is_doubtful(snapshot, plan) and await self._has_changed(snapshot):
            return Outcome(0.0)
        outcome = await self._act(snapshot, plan, memory, changes)
        if memory.stirs != stirs:
            memory.changes = -1  # what it was woken for came after this look
        return outcome

    def _is_overtaken(self, snapshot: Snapshot, plan: Plan, memory: Memory, changes: int) -> bool:
        """Whether the plan would take something away that may be needed by now: a look can take seconds."""
        overtaken = self.store.changes(snapshot.key) != changes and _takes_away(plan, snapshot)
        memory.overtaken = memory.overtaken + 1 if overtaken and memory.overtaken < MOST_OVERTAKEN else 0
        return memory.overtaken > 0

    def _is_doubtful(self, snapshot: Snapshot, plan: Plan) -> bool:
        """Whether to make sure first that the object still is what was seen of it."""
        if snapshot.settled and (plan.apply or plan.delete):
            return True  # all was well, so nobody should have anything to do: it was seen too long ago
        # What is made for an object that is gone is collected, missed and made again, until somebody finds out.
        return any(apply.create for apply in plan.apply) and self.store.doubts(snapshot.key)

    async def _has_changed(self, snapshot: Snapshot) -> bool:
        # The store may have heard of it in the midst of this look: only what was looked at counts.
        return await self.observer.version_now(snapshot.key) != snapshot.meta.resource_version

    def stir(self, key: Key) -> None:
        """Have the next look at `key` be a real one: something is known that the store does not show."""
        if key in self.memories:
            self.memories[key].changes = -1
            self.memories[key].stirs += 1

    async def _look(self, key: Key, memory: Memory) -> Snapshot | None:
        snapshot = await self.observer.observe(key, memory.doubtful, dt.datetime.now(dt.UTC))
        if snapshot is None:
            return None
        if memory.uid != snapshot.meta.uid:
            memory.uid, memory.refused, memory.deferred = snapshot.meta.uid, "", False
        memory.doubtful &= snapshot.foreign
        return replace(snapshot, refused=memory.refused)

    async def _act(self, snapshot: Snapshot, plan: Plan, memory: Memory, changes: int) -> Outcome:
        if plan.writes:
            log.info("%s", plan.because or "writing", extra={"key": snapshot.key})
        # Only once in a row: an object whose children never come to rest must be told of too.
        defer = bool(plan.apply or plan.delete) and not memory.deferred and not plan.urgent
        memory.deferred = defer
        try:
            await self._execute(plan, snapshot, memory, defer=defer)
        except Outdated:
            if not await self._has_changed(snapshot):
                raise
            return Outcome(0.0)
        return self._done(plan, memory, changes)

    async def _execute(self, plan: Plan, snapshot: Snapshot, memory: Memory, *, defer: bool) -> None:
        try:
            await self.executor.execute(plan, snapshot, defer_status=defer)
        except Doubtful as error:
            memory.doubtful |= error.refs
            raise
        except Refused as error:
            memory.refused = str(error)
            raise

    def _done(self, plan: Plan, memory: Memory, changes: int) -> Outcome:
        if memory.refused:
            memory.refused = ""  # the status that was just written still complains: look once more
            return Outcome(0.0)
        if plan.apply or plan.delete:
            return Outcome(OVERTAKEN_SECONDS)
        if plan.touch and plan.writes == len(plan.touch):
            return Outcome(TOUCHED_SECONDS)
        if plan.writes:
            return Outcome(ECHO_SECONDS)  # decisions go by the status too, and the echo of our own writes is no news
        return self._at_rest(plan, memory, changes)

    def _at_rest(self, plan: Plan, memory: Memory, changes: int) -> Outcome:
        waits = [plan.requeue_after, TAKEN_SECONDS if memory.doubtful else None]
        after = min((wait for wait in waits if wait is not None), default=None)
        memory.changes = changes
        memory.until = asyncio.get_running_loop().time() + (math.inf if after is None else after)
        return Outcome(after)


def _takes_away(plan: Plan, snapshot: Snapshot) -> bool:
    """Whether a child is to go, or to have fewer pods."""
    wanted = {Ref.of(apply.manifest): apply.manifest.get("spec", {}).get("replicas") for apply in plan.apply}
    sizes = (
        (size, snapshot.children[ref].get("spec", {}).get("replicas"))
        for ref, size in wanted.items()
        if ref in snapshot.children
    )
    return bool(plan.delete) or any(to is not None and now is not None and to < now for to, now in sizes)
