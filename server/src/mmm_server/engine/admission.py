"""Whether a request may enter: bounded by items and by the time that it would have to wait.

For the event loop only; it has no clock of its own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from mmm_server.backends.base import Kind
from mmm_server.errors import Overloaded

FORGET = 0.95  # the weight of the past at every observation: about the last twenty batches count
LEAST_RETRY_SECONDS = 1.0


@dataclass(slots=True)
class CostModel:
    """Seconds of a batch of n items as `per_item · n + per_batch`: least squares over an exponentially fading past."""

    _weight: float = 0.0
    _n: float = 0.0
    _t: float = 0.0
    _nn: float = 0.0
    _nt: float = 0.0

    def observe(self, items: int, seconds: float) -> None:
        """Learns from one batch."""
        self._weight = self._weight * FORGET + 1.0
        self._n = self._n * FORGET + items
        self._t = self._t * FORGET + seconds
        self._nn = self._nn * FORGET + items * items
        self._nt = self._nt * FORGET + items * seconds

    def coefficients(self) -> tuple[float, float]:
        """(per_item, per_batch), both at least zero; zeros before the first observation."""
        if self._weight == 0.0:
            return 0.0, 0.0
        spread = self._weight * self._nn - self._n * self._n
        average = self._t / self._n
        if spread <= 1e-9 * self._nn * self._weight:
            return average, 0.0
        slope = (self._weight * self._nt - self._n * self._t) / spread
        slope = min(max(slope, 0.0), average)
        return slope, max(0.0, (self._t - slope * self._n) / self._weight)

    def seconds(self, items: int, capacity: int) -> float:
        """How long `items` take in batches of at most `capacity`."""
        per_item, per_batch = self.coefficients()
        return per_item * items + per_batch * math.ceil(items / max(1, capacity))


@dataclass(slots=True)
class Admission:
    """What is inside, and how long a newcomer would wait."""

    max_items: int
    max_seconds: float
    decode_threads: int = 1
    inside: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    decoding: int = 0
    capacity: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 1))
    forward: dict[Kind, CostModel] = field(default_factory=lambda: {kind: CostModel() for kind in Kind})
    decode: CostModel = field(default_factory=CostModel)

    @property
    def items(self) -> int:
        """Items that were admitted and are not answered."""
        return sum(self.inside.values())

    def estimated_wait(self) -> float:
        """Seconds until an item admitted now would reach the device.

        Decoding and computing overlap, so the slower of the two counts.
        """
        computing = sum(self.forward[kind].seconds(self.inside[kind], self.capacity[kind]) for kind in Kind)
        decoding = self.decode.seconds(self.decoding, 1) / self.decode_threads
        return max(computing, decoding)

    def check_wait(self, patience: float) -> float:
        """The estimated wait, or Overloaded if it is longer than allowed or than the request's own `patience`."""
        wait = self.estimated_wait()
        bound = min(self.max_seconds, patience)
        if wait > bound:
            retry_after = max(LEAST_RETRY_SECONDS, wait - bound)
            raise Overloaded("The queue is longer than a request may wait.", retry_after=retry_after)
        return wait

    def admit(self, wanted: Mapping[Kind, int], patience: float) -> None:
        """Lets the items in, or raises Overloaded."""
        wait = self.check_wait(patience)
        newcomers = sum(wanted.values())
        # An empty server takes any request that passed the limits of one request.
        if self.items and self.items + newcomers > self.max_items:
            raise Overloaded("The queue is full.", retry_after=max(LEAST_RETRY_SECONDS, wait))
        for kind, count in wanted.items():
            self.inside[kind] += count

    def release(self, answered: Mapping[Kind, int]) -> None:
        """Takes items out again."""
        for kind, count in answered.items():
            self.inside[kind] -= count
