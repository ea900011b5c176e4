"""Proof of life: a beat that has to come through everything that moves keys.

main loop ─► the watches' loop ─► queue ─► worker
"""

import asyncio
from collections.abc import Callable

BEAT_SECONDS = 5.0
MOST_SILENCE_SECONDS = 60.0

Path = Callable[[Callable[[], None]], None]
"""Carries a call through another loop, and makes it in this one; forgets it when the other loop is gone."""


def straight(arrive: Callable[[], None]) -> None:
    """No detour."""
    arrive()


class Heartbeat:
    """Sends beats, hears where they come out, and says where they got stuck.

    `deliver` is called with each beat that came along `path`, and has to see to it that `taken` is called.
    """

    def __init__(self, path: Path, deliver: Callable[[], None]) -> None:
        self._path = path
        self._deliver = deliver
        self._arrived_at = self._taken_at = _now()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._path(self._arrive)
            await asyncio.sleep(BEAT_SECONDS)

    def taken(self) -> None:
        """A worker has taken the beat off the queue."""
        self._taken_at = _now()

    @property
    def silence(self) -> float:
        """Seconds since a beat came all the way."""
        return _now() - self._taken_at

    def trouble(self) -> str:
        """Where the beats get stuck, as a sentence; empty while they come through."""
        if self.silence < MOST_SILENCE_SECONDS:
            return ""
        away = _now() - self._arrived_at
        if away >= MOST_SILENCE_SECONDS:
            return f"the watches did not move for {away:.0f} s"
        return f"no worker took anything off the queue for {self.silence:.0f} s"

    def _arrive(self) -> None:
        self._arrived_at = _now()
        self._deliver()


def _now() -> float:
    return asyncio.get_running_loop().time()
