"""One request in flight, and its items."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mmm_server.backends.base import Prepared, Vector
from mmm_server.engine.admission import Place
from mmm_server.engine.version import Version

if TYPE_CHECKING:
    from mmm_server.engine.served import Served


@dataclass(slots=True, eq=False)
class Ticket:
    """A request on its way through the engine; times are those of the engine's monotonic clock."""

    request_id: str
    deadline: float
    gone: bool = False  # nobody waits for the answer any more
    place: Place | None = None  # what it holds inside
    stages: dict[str, float] = field(default_factory=dict)
    served: "Served | None" = None  # the version that answers it, from its first byte to its last
    copied: bool = False  # nobody but another version that has answered it waits for the answer
    trial: bool = False  # asked by the server itself, of a version that does not serve yet

    @property
    def version(self) -> Version | None:
        """Which version answers it."""
        return None if self.served is None else self.served.version

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
