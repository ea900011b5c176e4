"""How late the event loop is: the one figure that shows when something does not belong on it."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SAMPLE_SECONDS = 0.05
SLICE_SECONDS = 1.0
SLICES = 60


class LagMeter:
    """The longest delay of each of the last sixty seconds; times are those of the event loop."""

    def __init__(self) -> None:
        self._slices: deque[tuple[float, float]] = deque(maxlen=SLICES)

    def observe(self, now: float, lag: float) -> None:
        """Learns by how much a call that was due came late."""
        if self._slices and now - self._slices[-1][0] < SLICE_SECONDS:
            began, longest = self._slices[-1]
            self._slices[-1] = began, max(longest, lag)
        else:
            self._slices.append((now, lag))

    def longest(self) -> float:
        """The longest delay of the last minute, in seconds."""
        return max((lag for _, lag in self._slices), default=0.0)


@contextmanager
def measured(meter: LagMeter, counts: Callable[[], bool]) -> Iterator[None]:
    """Samples the running loop until the block ends, while `counts` says so: loading a model holds up everything."""
    loop = asyncio.get_running_loop()
    handle: asyncio.TimerHandle | None = None
    counted = False

    def sample(due: float) -> None:
        nonlocal handle, counted
        now = loop.time()
        if counted:
            meter.observe(now, max(0.0, now - due))
        counted = counts()
        handle = loop.call_at(now + SAMPLE_SECONDS, sample, now + SAMPLE_SECONDS)

    sample(loop.time())
    try:
        yield
    finally:
        if handle is not None:
            handle.cancel()
