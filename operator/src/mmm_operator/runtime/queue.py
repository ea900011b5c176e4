"""What to look at next: each key at most once, never two workers on one key, and what is new before what is old.

Keys wait in two lanes, each in the order of arrival. *Fresh* is what was just heard of: an edit, a pod that became
ready, a new model version. *Routine* is everything that the clock brings: resyncs, retries, second looks. Fresh keys go
first, but of `SHARE` keys one is routine while any waits, so neither lane can starve the other; and some workers are
kept from routine, so that a thousand objects that hang one after the other cannot hold up an edit.
"""

import asyncio
import random
from collections import OrderedDict
from typing import NamedTuple

from mmm_operator.snapshot import Key

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 60.0
SHARE = 4


class Later(NamedTuple):
    """When to line up, and in which lane.

    The handle does not know when: uvloop gives a plain one for what is due at once.
    """

    due: float
    timer: asyncio.Handle
    fresh: bool


class WorkQueue:
    """A queue of keys; lives in one event loop.

    A key that is added while it waits is not added twice, but moves to the fresh lane if it is fresh now; one that is
    added while a worker has it comes back when the worker is done. A run looks at everything, so it makes earlier
    wishes for a later run void.
    """

    def __init__(self, rng: random.Random | None = None, most_routine: int | None = None) -> None:
        self._rng = rng or random.Random()
        self._most_routine = most_routine
        self._fresh: OrderedDict[Key, None] = OrderedDict()
        self._routine: OrderedDict[Key, None] = OrderedDict()
        # How many fresh keys in a row were preferred to a routine one.
        self._preferred = 0
        self._stirred = asyncio.Event()
        # What a worker has, and whether it came from the fresh lane; what is to come back when the worker is done.
        self._running: dict[Key, bool] = {}
        self._again: dict[Key, bool] = {}
        self._later: dict[Key, Later] = {}
        self._failures: dict[Key, int] = {}

    def __len__(self) -> int:
        """How many keys wait for a worker now."""
        return len(self._fresh) + len(self._routine)

    def add(self, key: Key, delay: float = 0.0, *, fresh: bool = True, first: bool = False) -> None:
        """Have `key` looked at in `delay` seconds at the latest; `first`: before all that wait."""
        if delay > 0:
            self._add_later(key, delay, fresh)
        elif key in self._running:
            self._again[key] = fresh or self._again.get(key, False)
        else:
            self._line_up(key, fresh, first)

    async def get(self) -> Key:
        """The next key; it is the caller's alone until `done`."""
        while (key := self._next()) is None:
            self._stirred.clear()
            await self._stirred.wait()
        if key in self._later:
            self._later.pop(key).timer.cancel()
        return key

    def done(self, key: Key) -> None:
        """The caller of `get` is finished with the key, in whatever way."""
        del self._running[key]
        fresh = self._again.pop(key, None)
        if fresh is not None:
            self.add(key, fresh=fresh)
        self._stirred.set()

    def succeeded(self, key: Key) -> None:
        """The next failure of the key counts as its first."""
        self._failures.pop(key, None)

    def retry(self, key: Key, at_least: float = 0.0) -> float:
        """Have `key` looked at again after a failure; the answer is the delay.

        Exponential with full jitter: many objects that fail together must not come back together.
        """
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 10))
        delay = max(self._rng.uniform(0.0, longest), at_least)
        self.add(key, delay, fresh=False)
        return delay

    def _line_up(self, key: Key, fresh: bool, first: bool) -> None:
        if fresh:
            self._routine.pop(key, None)
        if key not in self._fresh:
            lane = self._fresh if fresh else self._routine
            lane[key] = None
            if first:
                lane.move_to_end(key, last=False)
            self._stirred.set()

    def _next(self) -> Key | None:
        routine = bool(self._routine) and self._routine_allowed()
        if self._fresh and not (routine and self._preferred >= SHARE - 1):
            self._preferred = self._preferred + 1 if routine else 0
            lane, fresh = self._fresh, True
        elif routine:
            self._preferred = 0
            lane, fresh = self._routine, False
        else:
            return None
        key, _ = lane.popitem(last=False)
        self._running[key] = fresh
        return key

    def _routine_allowed(self) -> bool:
        if self._most_routine is None:
            return True
        return sum(not fresh for fresh in self._running.values()) < self._most_routine

    def _add_later(self, key: Key, delay: float, fresh: bool) -> None:
        loop = asyncio.get_running_loop()
        before, due = self._later.get(key), loop.time() + delay
        if before is not None:
            # One run for both wishes: as early as the earlier one, and as important as the more important one.
            due, fresh = min(due, before.due), fresh or before.fresh
            before.timer.cancel()
        self._later[key] = Later(due, loop.call_at(due, self._due, key), fresh)

    def _due(self, key: Key) -> None:
        self.add(key, fresh=self._later.pop(key).fresh)
