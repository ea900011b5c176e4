"""Calls from another thread."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable


class Mailbox:
    """Where another thread leaves calls; they are made in the loop that the mailbox was made in, in their order.

    A thread that leaves many wakes the loop once for all of them: each wake-up costs two system calls, and the
    interpreter's lock changes hands at each.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: deque[Callable[[], object]] = deque()
        self._rung = False

    def post(self, call: Callable[[], object]) -> None:
        """Have `call` made soon; from any thread. Once the loop is closed nobody listens any more."""
        self._calls.append(call)
        if not self._rung:
            self._rung = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        # First, so that what comes from now on rings again: an empty box may be looked into in vain, never a full one
        # be left alone.
        self._rung = False
        for _ in range(len(self._calls)):
            self._loop.call_soon(self._calls.popleft())
