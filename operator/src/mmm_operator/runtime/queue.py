"""What to look at next: keys in the order of their arrival, each at most once, never two workers on one key."""

import asyncio
import random
from collections import deque

from mmm_operator.snapshot import Key

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 60.0


class WorkQueue:
    """A queue of keys; lives in one event loop.

    A key that is added while it waits is not added twice; one that is added while a worker has it comes back when
    the worker is done. A run looks at everything, so it makes earlier wishes for a later run void.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()
        self._ready: deque[Key] = deque()
        self._available = asyncio.Semaphore(0)
        self._running: set[Key] = set()
        self._again: set[Key] = set()
        self._later: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._waiting: set[Key] = set()

    def __len__(self) -> int:
        """How many keys wait for a worker now."""
        return len(self._ready)

    def add(self, key: Key, delay: float = 0.0, *, first: bool = False) -> None:
        """Have `key` looked at in `delay` seconds at the latest; `first`: before all that wait."""
        if delay > 0:
            self._add_later(key, delay)
        elif key in self._running:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            (self._ready.appendleft if first else self._ready.append)(key)
            self._available.release()

    async def get(self) -> Key:
        """The next key; it is the caller's alone until `done`."""
        await self._available.acquire()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._running.add(key)
        timer = self._later.pop(key, None)
        if timer is not None:
            timer.cancel()
        return key

    def done(self, key: Key) -> None:
        """The caller of `get` is finished with the key, in whatever way."""
        self._running.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

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
        self.add(key, delay)
        return delay

    def _add_later(self, key: Key, delay: float) -> None:
        loop = asyncio.get_running_loop()
        timer, due = self._later.get(key), loop.time() + delay
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._later[key] = loop.call_at(due, self._due, key)

    def _due(self, key: Key) -> None:
        self._later.pop(key, None)
        self.add(key)
