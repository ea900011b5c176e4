"""Whether a request may enter: bounded by items and by the time that it would have to wait.

For the event loop only; it has no clock of its own.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmm_server.backends.base import Kind, Prepared
from mmm_server.errors import DeadlinePassed, Overloaded

FORGET = 0.95  # the weight of the past at every observation: about the last twenty batches count
LEAST_RETRY_SECONDS = 1.0

Line = tuple[Kind, int | None]  # one queue; None: not prepared yet, so its shape is unknown


@dataclass(slots=True)
class CostModel:
    """Seconds of a batch of n items as `per_item · n + per_batch`: least squares over an exponentially fading past."""

    _weight: float = 0.0
    _n: float = 0.0
    _t: float = 0.0
    _nn: float = 0.0
    _nt: float = 0.0
    _line: tuple[float, float] | None = None  # a request asks several times between two batches

    def observe(self, items: int, seconds: float) -> None:
        """Learns from one batch."""
        self._weight = self._weight * FORGET + 1.0
        self._n = self._n * FORGET + items
        self._t = self._t * FORGET + seconds
        self._nn = self._nn * FORGET + items * items
        self._nt = self._nt * FORGET + items * seconds
        self._line = None

    def coefficients(self) -> tuple[float, float]:
        """(per_item, per_batch), both at least zero; zeros before the first observation."""
        if self._line is None:
            self._line = self._fit()
        return self._line

    def _fit(self) -> tuple[float, float]:
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
class Place:
    """What one request holds inside, by queue."""

    held: Counter[Line]
    released: bool = False
    copied: bool = False


@dataclass(slots=True)
class Admission:
    """What is inside, and how long a newcomer would wait."""

    max_items: int
    max_seconds: float
    decode_threads: int = 1
    items: int = 0  # admitted and not answered
    decoding: int = 0
    decode: CostModel = field(default_factory=CostModel)
    _copies: Counter[Kind] = field(default_factory=Counter)  # of the items, those of copies
    _inside: Counter[Line] = field(default_factory=Counter)
    _capacity: dict[Line, int] = field(default_factory=dict)
    _forward: dict[Line, CostModel] = field(default_factory=dict)

    def expect(self, kind: Kind, bucket: int, capacity: int) -> None:
        """Says how many items of a shape share a batch."""
        self._capacity[kind, bucket] = capacity
        self._capacity[kind, None] = min(c for (k, _), c in self._capacity.items() if k is kind)

    def observe(self, prepared: Prepared, items: int, seconds: float) -> None:
        """Learns from one batch of items like this one."""
        for line in ((prepared.kind, prepared.bucket), (prepared.kind, None)):
            self._forward.setdefault(line, CostModel()).observe(items, seconds)

    def estimated_wait(self) -> float:
        """Seconds until an item admitted now would reach the device.

        Decoding and computing overlap, so the slower of the two counts.
        """
        computing = sum(self._seconds(line, count) for line, count in self._inside.items() if count)
        decoding = self.decode.seconds(self.decoding, 1) / self.decode_threads
        return max(computing, decoding)

    def check_wait(self, patience: float) -> float:
        """The estimated wait; Overloaded if it is longer than allowed or than the request's own `patience`."""
        if patience <= 0.0:
            raise DeadlinePassed("The deadline passed before the request could be admitted.")
        wait = self.estimated_wait()
        bound = min(self.max_seconds, patience)
        if wait > bound:
            retry_after = max(LEAST_RETRY_SECONDS, wait - bound)
            raise Overloaded("The queue is longer than a request may wait.", retry_after=retry_after)
        return wait

    def check_copy(self, wanted: Mapping[Kind, int] | None = None) -> None:
        """Overloaded unless a copy of a request that another version has answered may enter now.

        It may while nothing else is inside but copies that share a batch: who is really waited for waits for no more
        than that one.
        """
        copies = self._copies.total()
        more = {kind: count for kind, count in (wanted or {}).items() if count}
        full = copies and any(self._copies[kind] + more[kind] > self._capacity.get((kind, None), 1) for kind in more)
        if self.items > copies or full:
            raise Overloaded("A copy of a request would make others wait.", retry_after=LEAST_RETRY_SECONDS)

    def admit(self, wanted: Mapping[Kind, int], patience: float, *, copied: bool = False) -> Place:
        """Lets the items in, or raises Overloaded."""
        wait = self.check_wait(patience)
        newcomers = sum(wanted.values())
        if copied:
            self.check_copy(wanted)
        # An empty server takes any request that passed the limits of one request; copies are in nobody's way.
        others = self.items - self._copies.total()
        if others and others + newcomers > self.max_items:
            raise Overloaded("The queue is full.", retry_after=max(LEAST_RETRY_SECONDS, wait))
        place = Place(Counter({(kind, None): count for kind, count in wanted.items() if count}), copied=copied)
        if copied:
            self._copies.update(wanted)
        for line, count in place.held.items():
            self._inside[line] += count
        self.items += newcomers
        return place

    def prepared(self, place: Place, items: Sequence[Prepared]) -> None:
        """Moves items into the queues of the shapes that they turned out to have."""
        if place.released:
            return
        for item in items:
            for line, change in (((item.kind, None), -1), ((item.kind, item.bucket), 1)):
                place.held[line] += change
                self._inside[line] += change

    def release(self, place: Place) -> None:
        """Takes the items of a request out again."""
        place.released = True
        for line, count in place.held.items():
            self._inside[line] -= count
        self.items -= sum(place.held.values())
        if place.copied:
            for (kind, _), count in place.held.items():
                self._copies[kind] -= count

    def _seconds(self, line: Line, count: int) -> float:
        model = self._forward.get(line) or self._forward.get((line[0], None))
        if model is None:
            return 0.0
        return model.seconds(count, self._capacity.get(line) or self._capacity.get((line[0], None), 1))
