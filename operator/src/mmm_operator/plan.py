"""What to do: the outcome of one reconcile, frozen."""

from dataclasses import dataclass
from typing import Literal

from mmm_operator.api.status import Status
from mmm_operator.snapshot import Manifest, Ref


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of one child. `create` when it was not seen: then nothing is forced."""

    manifest: Manifest
    create: bool
    because: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletion of one child, only if it still is the object that was seen."""

    ref: Ref
    uid: str
    because: str


@dataclass(frozen=True, slots=True)
class Event:
    """One event on the MultimodalModel."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Writes in the order in which they are made: applies, deletes, status, events.

    `status` is None when it need not be written. `because` says in a sentence what the plan is for;
    `requeue_after` asks for another look after so many seconds, since nothing will announce the change. `touch` are
    pods whose kubelet shall look at what they mount. The status is `urgent` where the next look goes by what it says.
    """

    apply: tuple[Apply, ...] = ()
    delete: tuple[Delete, ...] = ()
    status: Status | None = None
    events: tuple[Event, ...] = ()
    requeue_after: float | None = None
    because: str = ""
    touch: tuple[Manifest, ...] = ()
    urgent: bool = False

    @property
    def writes(self) -> int:
        """How many calls that change the cluster the plan makes."""
        return len(self.apply) + len(self.delete) + len(self.touch) + (self.status is not None) + len(self.events)
