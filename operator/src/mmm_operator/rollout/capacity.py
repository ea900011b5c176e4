"""Whether there is room for a pod more, and what follows when there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mmm_operator.api.rollout import Rollout, WhenNoCapacity
from mmm_operator.revisions import QUOTA, Lack, RevisionState


@dataclass(frozen=True, slots=True)
class Room:
    """How much a rollout may move at once.

    With `surge` there is one pod more than wanted; without it no more than `max_unavailable` are missing. `waits` means
    that nothing is wrong but the room: no clock runs. `due` is when it is looked for otherwise. `refused` means that
    the rollout shall fail for it. `because` says all that to people, where there is something to say.
    """

    surge: bool = True
    max_unavailable: int = 1
    waits: bool = False
    due: datetime | None = None
    refused: bool = False
    because: str = ""


OPEN = Room()


def find_room(
    goal: RevisionState | None,
    others: Sequence[RevisionState],
    policy: Rollout,
    in_place: bool,
    now: datetime,
    consent: bool = True,
) -> Room:
    """The room for `goal` beside `others`; `in_place` means that this rollout goes on without a surge already.

    Without `consent` nobody has said yet that `goal` may answer requests: then no old pod makes room for it.
    """
    lack = goal.lack if goal else None
    in_the_way = [other for other in others if other.wanted or other.present]
    replaces = policy.when_no_capacity is WhenNoCapacity.REPLACE_IN_PLACE and policy.max_unavailable > 0 and consent
    if in_place and replaces and in_the_way:
        return Room(surge=False, max_unavailable=policy.max_unavailable, because=_for(lack, "an old pod makes room"))
    if goal is None or lack is None or not in_the_way:
        return Room(waits=lack is not None and policy.when_no_capacity is WhenNoCapacity.WAIT)
    due = lack.since + timedelta(seconds=policy.capacity_timeout_seconds)
    if now < due:
        until = due.strftime("%H:%M:%S")
        return Room(waits=True, due=due, because=_for(lack, f"until {until} UTC, in case a node comes"))
    if policy.when_no_capacity is WhenNoCapacity.FAIL:
        return Room(refused=True, because=_for(lack, "whenNoCapacity is Fail"))
    if not replaces:
        why = "as whenNoCapacity is Wait" if consent else "until there is more or the new revision is promoted"
        return Room(waits=True, because=_for(lack, f"the old pods keep theirs, {why}"))
    if not any(_gives_back(other, goal, lack) for other in in_the_way):
        return Room(because=_for(lack, "no old pod has enough of it to give back"))
    return Room(False, policy.max_unavailable, waits=True, because=_for(lack, "an old pod makes room"))


def _gives_back(old: RevisionState, new: RevisionState, lack: Lack) -> bool:
    """Whether a pod of `old` leaves enough behind for one of `new`: else it would be taken away for nothing."""
    asked = {name: new.requests[name] for name in lack.resources - {QUOTA} if name in new.requests}
    return all(old.requests.get(name, 0) >= amount for name, amount in asked.items())


def _for(lack: Lack | None, what: str) -> str:
    return f"waiting for {', '.join(sorted(lack.resources))}: {what}" if lack else ""
