"""Waiting for a condition, with an end."""

import time
from collections.abc import Callable


class Deadline:
    """Polling that ends: `while deadline.open(): …`."""

    def __init__(self, seconds: float, pause: float = 0.05) -> None:
        self._end = time.monotonic() + seconds
        self._pause = pause
        self._first = True

    def open(self) -> bool:
        """Whether there is time for one more try; waits a moment before each but the first."""
        if self._first:
            self._first = False
            return True
        time.sleep(self._pause)
        return time.monotonic() < self._end

    @classmethod
    def met(cls, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether the condition came true in time."""
        deadline = cls(seconds)
        while deadline.open():
            if condition():
                return True
        return False
