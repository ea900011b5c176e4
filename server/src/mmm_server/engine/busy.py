"""How busy the device was in the last seconds."""

WINDOW_SECONDS = 10


class BusyMeter:
    """Busy time in a ring of one-second slots; written by one thread, read by any."""

    def __init__(self) -> None:
        self._slots = [(0, 0.0)] * WINDOW_SECONDS  # (which second, busy seconds in it)

    def add(self, start: float, end: float) -> None:
        """Counts one batch, spread over the seconds that it touched."""
        second = max(int(start), int(end) - WINDOW_SECONDS + 1)
        while second <= int(end):
            part = min(end, second + 1) - max(start, second)
            stamp, busy = self._slots[second % WINDOW_SECONDS]
            self._slots[second % WINDOW_SECONDS] = (second, part + (busy if stamp == second else 0.0))
            second += 1

    def ratio(self, now: float) -> float:
        """The busy share of the window that ends now, 0…1."""
        oldest = int(now) - WINDOW_SECONDS + 1
        return min(1.0, sum(busy for stamp, busy in self._slots if stamp >= oldest) / WINDOW_SECONDS)
