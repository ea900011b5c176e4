"""The way to one object store: so many at a time, and while the store is down only one now and then."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mmm_operator.sources.access import now

AT_A_TIME = 4
SHORTEST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


class Down(Exception):
    """Raised in the block of `Gate.passed` when the store gave no answer; the text says why."""


class Gate:
    """Counts the failures of one endpoint: whoever comes while it is down waits until one of them got an answer."""

    def __init__(self) -> None:
        self.is_down = False
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self._first = asyncio.Lock()
        self._failures = 0
        self._until = 0.0

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """The right to ask for as long as the block runs."""
        async with self._slots:
            if not self.is_down:
                async with self._counted():
                    yield
                return
            async with self._first:
                if self.is_down:
                    await asyncio.sleep(max(0.0, self._until - now()))
                async with self._counted():
                    yield

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        try:
            yield
        except Down:
            self.is_down = True
            self._failures += 1
            longest = min(LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS * 2.0**self._failures)
            self._until = now() + random.uniform(SHORTEST_PAUSE_SECONDS, longest)
            raise
        except Exception:
            self._answered()  # a refusal is an answer too
            raise
        self._answered()

    def _answered(self) -> None:
        self.is_down, self._failures = False, 0
