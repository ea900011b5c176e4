"""Counts of whole inference requests, for clients that ask a protocol for its statistics."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Count:
    """How many, and how long they took together."""

    number: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one more."""
        self.number += 1
        self.seconds += seconds


@dataclass(slots=True)
class Tally:
    """All inference requests since the start, whatever their protocol; event loop only."""

    success: Count = field(default_factory=Count)
    failure: Count = field(default_factory=Count)
    last_success: float | None = None  # seconds since the epoch

    def succeeded(self, seconds: float) -> None:
        """Counts an answer."""
        self.success.add(seconds)
        self.last_success = time.time()

    def failed(self, seconds: float) -> None:
        """Counts a refusal."""
        self.failure.add(seconds)
