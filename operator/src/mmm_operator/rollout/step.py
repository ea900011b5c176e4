"""`next_step`: how many pods each revision should have now."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mmm_operator.revisions import RevisionState
from mmm_operator.rollout.capacity import OPEN, Room

SURGE = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One move of a rollout.

    `sizes` gives the wanted pods of every known revision and of the target; `done` means that the
    target serves at full size and nothing else runs; `because` is the sentence for people. A `paused` step
    stands still between two revisions, and makes no Deployment for a target that has none; so does one that is
    `held` until the target's bytes are where its pods need them.
    """

    sizes: Mapping[str, int]
    done: bool
    because: str
    paused: bool = False
    held: bool = False


def next_step(
    target: str,
    current: str,
    wanted: int,
    revisions: Sequence[RevisionState],
    room: Room = OPEN,
    limit: int | None = None,
) -> Step:
    """The next move towards `wanted` pods of revision `target`.

    `current` is the revision that served last ("" if none has yet). With a `limit` the target gets so many pods at
    most, and somebody else goes on serving. Invariants, checked by property tests: with a surge, pods that serve are
    taken away only while `wanted` others serve, without one while no more than `room.max_unavailable` are missing; a
    revision other than the target and `current` never grows.
    """
    state = {revision.revision: revision for revision in revisions}
    goal = state.get(target)
    available = goal.available if goal else 0
    others = [revision for revision in revisions if revision.revision != target]
    in_place = None if room.surge else _in_place(goal, wanted, room, limit)
    needed = max(0, wanted - available) if in_place is None else _beside(in_place, available, others, wanted, room)
    if limit is not None and others and room.surge:
        needed = max(needed, min(wanted, 1), wanted - limit)
    kept = _kept(others, current, needed)
    missing = needed - sum(kept.values())
    if missing > 0 and current in kept and (state[current].wanted or (goal and goal.stuck)):
        # Nobody serves in their place, and the revision that served last is known to be good. Only what is at
        # zero because nothing was wanted stays there: its pods would take the room that the target needs.
        kept[current] += missing
    held = sum(max(other.existing, kept[other.revision]) for other in others)
    size = _target_size(goal, wanted, held, limit) if in_place is None else in_place
    # A share that becomes smaller is given back as others take it over.
    beside = sum(min(other.available, kept[other.revision]) for other in others)
    size = max(size, min(available, wanted - beside - (0 if in_place is None else room.max_unavailable)))
    sizes = {**kept, target: size}
    done = available >= wanted and all(o.wanted == 0 and o.existing == 0 for o in others)
    return Step(sizes, done and size == wanted, _because(available, wanted, others, kept, goal))


def recreate_step(target: str, wanted: int, revisions: Sequence[RevisionState]) -> Step:
    """The next move where two revisions must never run at once: the others end first, and are gone."""
    others = [revision for revision in revisions if revision.revision != target]
    goal = next((revision for revision in revisions if revision.revision == target), None)
    ending = sum(max(other.present, other.existing, other.wanted) for other in others)
    available = goal.available if goal else 0
    size = wanted if not ending else min(wanted, goal.wanted if goal else 0)
    because = f"{ending} old pods end first" if ending else f"{available} of {wanted} pods are available"
    return Step({**{o.revision: 0 for o in others}, target: size}, not ending and available >= wanted == size, because)


def blue_green_step(
    target: str, current: str, wanted: int, revisions: Sequence[RevisionState], keeps: bool, alone: bool = True
) -> Step:
    """The next move where all new pods come up beside all old ones.

    `current` has the traffic. Until that is the target, it stays at full size; afterwards as long as it `keeps`. Where
    it does not have it `alone` yet, others stay in place of those that it lacks.
    """
    state = {revision.revision: revision for revision in revisions}
    others = [revision for revision in revisions if revision.revision != target]
    available = state[target].available if target in state else 0
    if current == target:
        needed = {} if alone else _kept(others, current, max(0, wanted - available))
        kept = {other.revision: min(other.wanted, wanted) for other in others}
        sizes = kept if keeps else {other.revision: needed.get(other.revision, 0) for other in others}
    elif current in state:
        kept = {} if alone else _kept(others, current, wanted)
        sizes = {**{other.revision: 0 for other in others}, **kept, current: wanted}
    else:
        sizes = _kept(others, current, max(0, wanted - available))  # nobody knows who served: whoever is ready stays
    left = sum(max(other.existing, other.wanted) for other in others)
    done = available >= wanted and (current == target or not wanted) and not left
    said = f"{available} of {wanted} new pods are available, {left} old pods beside them"
    return Step({**sizes, target: wanted}, done, said if left else f"{available} of {wanted} pods are available")


def paused_step(
    target: str, current: str, wanted: int, revisions: Sequence[RevisionState], alone: bool = False
) -> Step:
    """The step of a rollout that shall stand still: what serves is healed and resized, and nothing else moves.

    `alone` means that only `current` gets traffic, whoever else is available. Without a revision that serves instead of
    the target there is nothing to pause.
    """
    state = {revision.revision: revision for revision in revisions}
    if wanted == 0 or current == target or current not in state:
        return next_step(target, current, wanted, revisions)
    available = state[target].available if target in state else 0
    because = f"paused: {available} of {wanted} new pods are available; remove rollout.paused to go on"
    sizes = _standing_still(current, wanted, revisions)
    return Step({**sizes, current: wanted} if alone else sizes, done=False, because=because, paused=True)


def held_step(
    target: str, current: str, wanted: int, revisions: Sequence[RevisionState], because: str, alone: bool = False
) -> Step:
    """The step while the target may not begin yet: what serves is healed and resized, and nothing else moves."""
    # One that is at zero, because nothing was wanted, stays there: it would take what the target will need.
    known = {revision.revision for revision in revisions if revision.wanted or revision.existing}
    serves = current in known and current != target
    still = {revision.revision: min(revision.wanted, wanted) for revision in revisions}
    sizes = _standing_still(current, wanted, revisions) if serves else still
    if serves and alone:
        sizes = {**sizes, current: wanted}
    return Step(sizes, done=False, because=because, held=True)


def _standing_still(current: str, wanted: int, revisions: Sequence[RevisionState]) -> dict[str, int]:
    """The sizes as they are, except that `current` serves what is wanted and not served by others."""
    sizes = {revision.revision: min(revision.wanted, wanted) for revision in revisions}
    serving = sum(revision.available for revision in revisions if revision.revision != current)
    beside = sum(sizes.values()) - sizes[current]
    # Who serves grows and shrinks with what is wanted; only the pod too many of a surge stays.
    most = wanted + min(SURGE, beside) - beside
    before = next(revision.wanted for revision in revisions if revision.revision == current)
    sizes[current] = max(0, wanted - serving, min(before, most))
    return sizes


def _kept(others: Sequence[RevisionState], current: str, missing: int) -> dict[str, int]:
    """How many serving pods of the other revisions are still needed, as the target lacks `missing`."""
    sizes: dict[str, int] = {}
    for other in sorted(others, key=lambda o: (o.revision != current, -o.ready, o.created)):
        sizes[other.revision] = min(other.ready, missing)
        missing -= sizes[other.revision]
    return sizes


def _in_place(goal: RevisionState | None, wanted: int, room: Room, limit: int | None) -> int:
    """The target's size where each new pod needs the place of an old one."""
    available, size = (goal.available, goal.wanted) if goal else (0, 0)
    grown = min(wanted, max(available + room.max_unavailable, size))
    # One pod cannot be shared out: then all traffic goes to the new one.
    return grown if limit is None or wanted < 2 else min(grown, limit)


def _beside(size: int, available: int, others: Sequence[RevisionState], wanted: int, room: Room) -> int:
    """How many old pods stay beside so many new ones: what is left of `wanted`, and never so few that more than
    `max_unavailable` are missing.
    """
    least = wanted - room.max_unavailable - available
    return max(0, wanted - size, min(sum(other.ready for other in others), least))


def _target_size(goal: RevisionState | None, wanted: int, held: int, limit: int | None) -> int:
    free, most = wanted + SURGE - held, wanted if limit is None else min(limit, wanted)
    if goal is None:
        return min(most, max(1, free))
    if goal.stuck and goal.available == 0 and held > 0:
        return min(most, 1)  # one pod goes on trying; more of them would only hold resources
    return min(most, max(1, goal.wanted, free))


def _because(
    available: int,
    wanted: int,
    others: Sequence[RevisionState],
    kept: Mapping[str, int],
    goal: RevisionState | None,
) -> str:
    old = sum(other.existing for other in others)
    if available < wanted and (old or any(kept.values())):
        stuck = "; the new revision makes no progress" if goal is not None and goal.stuck else ""
        return f"{available} of {wanted} new pods are available, {old} old pods keep serving{stuck}"
    if available < wanted:
        return f"{available} of {wanted} pods are available"
    if old:
        return f"all {wanted} new pods are available, {old} old pods are going away"
    return f"{available} of {wanted} pods are available"


def surplus_revisions(
    target: str, current: str, revisions: Sequence[RevisionState], limit: int, served: Collection[str] = ()
) -> tuple[RevisionState, ...]:
    """The empty old revisions beyond `limit`: what may be deleted; first the oldest, and last those that `served`."""
    # What served is the way back; a newer revision that never became ready is none.
    empty = [
        revision
        for revision in sorted(revisions, key=lambda r: (r.revision in served, r.created, r.revision))
        if revision.revision not in (target, current) and revision.wanted == 0 and revision.existing == 0
    ]
    return tuple(empty[: max(0, len(empty) - limit)])
