"""One request in flight, and its items."""

import asyncio
from dataclasses import dataclass, field

from mmm_server.backends.base import Prepared, Vector
from mmm_server.engine.admission import Place


@dataclass(slots=True, eq=False)
class Ticket:
    """A request on its way through the engine; times are those of the engine's monotonic clock."""

    request_id: str
    deadline: float
    gone: bool = False  # nobody waits for the answer any more
    place: Place | None = None  # what it holds inside
    stages: dict[str, float] = field(default_factory=dict)

    def wanted(self, now: float) -> bool:
        """Whether computing for it still makes sense."""
        return not self.gone and now < self.deadline

    def note(self, stage: str, seconds: float) -> None:
        """Remembers the longest time that any of its items spent in a stage."""
        self.stages[stage] = max(seconds, self.stages.get(stage, 0.0))


@dataclass(slots=True, eq=False)
class Item:
    """One image or text of a ticket, prepared and waiting for the device."""

    ticket: Ticket
    prepared: Prepared
    future: asyncio.Future[Vector]
    queued_at: float
