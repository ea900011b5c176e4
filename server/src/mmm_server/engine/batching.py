"""Which of the waiting items to compute next. Pure: the items, the limits and the time are arguments."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmm_server.backends.base import Kind, Prepared
from mmm_server.engine.ticket import Item

MAX_TEXTS = 256


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
    """The next batch, the items that nobody wants any more, and what keeps waiting, in order."""

    batch: list[Item]
    dropped: list[Item]
    waiting: list[Item]


def choose(waiting: Sequence[Item], limits: BatchLimits, now: float) -> Choice:
    """The oldest wanted item and every item that can be stacked with it, up to the limit.

    Oldest first is fair between modalities and shapes: every batch moves the head of the queue, so no bucket starves.
    """
    batch: list[Item] = []
    dropped: list[Item] = []
    rest: list[Item] = []
    capacity = 0
    for item in waiting:
        if not item.ticket.wanted(now):
            dropped.append(item)
        elif not batch:
            batch.append(item)
            capacity = limits.capacity(item.prepared)
        elif len(batch) < capacity and _stackable(item.prepared, batch[0].prepared):
            batch.append(item)
        else:
            rest.append(item)
    return Choice(batch, dropped, rest)


def _stackable(one: Prepared, other: Prepared) -> bool:
    return one.kind is other.kind and one.bucket == other.bucket
