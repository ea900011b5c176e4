"""Which of the waiting items to compute next. No I/O and no clock: the items, the limits and the time are arguments."""

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mmm_server.backends.base import Kind, Prepared, Shape
from mmm_server.engine.ticket import Item

MAX_TEXTS = 256
PATIENCE = 0.1  # of the time that the last batch took: what waiting may cost at most
LONGEST_PATIENCE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much goes into one batch: images by count, texts by tokens."""

    max_images: int = 8
    max_tokens: int = 1024

    def capacity(self, prepared: Prepared) -> int:
        """How many items like this one fit together."""
        if prepared.kind is Kind.IMAGE:
            return self.max_images
        return max(1, min(MAX_TEXTS, self.max_tokens // max(1, prepared.bucket)))

    def halved(self) -> "BatchLimits":
        """Half of everything, never less than one image and the tokens of one text."""
        return replace(self, max_images=max(1, self.max_images // 2), max_tokens=max(1, self.max_tokens // 2))


@dataclass(frozen=True, slots=True)
class Choice:
    """The next batch, and the items that nobody wants any more."""

    batch: list[Item]
    dropped: list[Item]


class Waiting:
    """Prepared items, one queue per shape, served in turn: a flood of one shape delays the others by one batch."""

    def __init__(self) -> None:
        self._queues: OrderedDict[Shape, deque[Item]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, items: Iterable[Item]) -> None:
        """Puts items at the end of the queues of their shapes."""
        for item in items:
            shape = item.prepared.shape
            queue = self._queues.get(shape)
            if queue is None:
                queue = self._queues[shape] = deque()
            queue.append(item)
            self._count += 1

    def choose(self, limits: BatchLimits, now: float) -> Choice:
        """The oldest wanted items of the queue whose turn it is, up to the limit; that queue's turn is then over."""
        dropped: list[Item] = []
        while self._queues:
            shape, queue = next(iter(self._queues.items()))
            batch = self._fill(queue, limits, now, dropped)
            if queue:
                self._queues.move_to_end(shape)
            else:
                del self._queues[shape]
            if batch:
                return Choice(batch, dropped)
        return Choice([], dropped)

    def only(self) -> tuple[Prepared, int] | None:
        """An item of the one queue in which items wait, and how many they are; None for no queue or several."""
        if len(self._queues) != 1:
            return None
        queue = next(iter(self._queues.values()))
        return queue[0].prepared, len(queue)

    def count(self, shape: Shape) -> int:
        """How many items of a shape wait."""
        return len(self._queues.get(shape, ()))

    def clear(self) -> list[Item]:
        """Takes everything out."""
        items = [item for queue in self._queues.values() for item in queue]
        self._queues.clear()
        self._count = 0
        return items

    def _fill(self, queue: deque[Item], limits: BatchLimits, now: float, dropped: list[Item]) -> list[Item]:
        batch: list[Item] = []
        capacity = limits.capacity(queue[0].prepared)
        while queue and len(batch) < capacity:
            item = queue.popleft()
            self._count -= 1
            (batch if item.ticket.wanted(now) else dropped).append(item)
        return batch


@dataclass(frozen=True, slots=True)
class Seen:
    """The last batch of a shape: how long it took, and how many there were of its kind with those that waited."""

    seconds: float
    items: int


def patience(count: int, capacity: int, seen: Seen | None, idle: float) -> float:
    """How many seconds a device that has been idle for `idle` should still wait before it takes `count` items.

    Clients that were answered together ask again together, a moment later. A device that does not wait that moment
    falls into taking half of them in turn, which costs the fixed part of a batch twice. It waits only as long as fewer
    are there than were seen last, and never longer than a tenth of what the last batch took: a lone client never waits.
    """
    if seen is None or count >= min(capacity, seen.items):
        return 0.0
    return max(0.0, min(PATIENCE * seen.seconds, LONGEST_PATIENCE_SECONDS) - idle)
