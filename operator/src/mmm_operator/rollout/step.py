"""`next_step`: how many pods each revision should have now."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mmm_operator.snapshot import RevisionState

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


def next_step(target: str, current: str, wanted: int, revisions: Sequence[RevisionState]) -> Step:
    """The next move towards `wanted` pods of revision `target`.

    `current` is the revision that served last ("" if none has yet). Invariants, checked by property
    tests: pods that serve are taken away only while `wanted` others serve; a revision other than the
    target and `current` never grows.
    """
    state = {revision.revision: revision for revision in revisions}
    goal = state.get(target)
    available = goal.available if goal else 0
    others = [revision for revision in revisions if revision.revision != target]
    kept = _kept(others, current, max(0, wanted - available))
    missing = wanted - available - sum(kept.values())
    if missing > 0 and current in kept and (state[current].wanted or (goal and goal.stuck)):
        # Nobody serves in their place, and the revision that served last is known to be good. Only what is at
        # zero because nothing was wanted stays there: its pods would take the room that the target needs.
        kept[current] += missing
    held = sum(max(other.existing, kept[other.revision]) for other in others)
    sizes = {**kept, target: _target_size(goal, wanted, held)}
    done = available >= wanted and all(o.wanted == 0 and o.existing == 0 for o in others)
    return Step(sizes, done and sizes[target] == wanted, _because(available, wanted, others, kept, goal))


def paused_step(target: str, current: str, wanted: int, revisions: Sequence[RevisionState]) -> Step:
    """The step of a rollout that shall stand still: what serves is healed and resized, and nothing else moves.

    Without a revision that serves instead of the target there is nothing to pause.
    """
    state = {revision.revision: revision for revision in revisions}
    if wanted == 0 or current == target or current not in state:
        return next_step(target, current, wanted, revisions)
    available = state[target].available if target in state else 0
    because = f"paused: {available} of {wanted} new pods are available; remove rollout.paused to go on"
    return Step(_standing_still(current, wanted, revisions), done=False, because=because, paused=True)


def held_step(target: str, current: str, wanted: int, revisions: Sequence[RevisionState], because: str) -> Step:
    """The step while the target may not begin yet: what serves is healed and resized, and nothing else moves."""
    # One that is at zero, because nothing was wanted, stays there: it would take what the target will need.
    known = {revision.revision for revision in revisions if revision.wanted or revision.existing}
    serves = current in known and current != target
    still = {revision.revision: min(revision.wanted, wanted) for revision in revisions}
    sizes = _standing_still(current, wanted, revisions) if serves else still
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


def _target_size(goal: RevisionState | None, wanted: int, held: int) -> int:
    free = wanted + SURGE - held
    if goal is None:
        return min(wanted, max(1, free))
    if goal.stuck and goal.available == 0 and held > 0:
        return min(wanted, 1)  # one pod goes on trying; more of them would only hold resources
    return min(wanted, max(1, goal.wanted, free))


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
