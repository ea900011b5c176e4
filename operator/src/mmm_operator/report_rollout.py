"""How far a rollout is, as the status tells it."""

from mmm_operator.api.status import FetchStatus, MirrorStatus, RolloutStatus
from mmm_operator.api.text import one_line
from mmm_operator.course import NO_SURGE, SURGE
from mmm_operator.facts import Facts
from mmm_operator.rollout.verdict import is_relieved
from mmm_operator.traffic import together


def report_fetch(facts: Facts) -> FetchStatus | None:
    """How far the pod is that has the most before it: the others need not wait for less.

    Of a Job that is at it, the most that has ever arrived: one that begins anew makes no progress before it is there.
    """
    snapshot, held = facts.snapshot, facts.step.held
    reports = [report for report in snapshot.fetches.values() if report.total_bytes]
    last = min(reports, key=lambda report: (report.done_bytes - report.total_bytes, report.total_bytes), default=None)
    before = snapshot.status.fetch if held and _same_target(facts) else None
    if last is None:
        return before
    most = before.downloaded_bytes if before and before.total_bytes == last.total_bytes else 0
    return FetchStatus(downloaded_bytes=max(most, min(last.done_bytes, last.total_bytes)), total_bytes=last.total_bytes)


def _same_target(facts: Facts) -> bool:
    target, resolution = facts.snapshot.status.model.target, facts.snapshot.resolution
    if facts.swaps and target is not None and resolution is not None and resolution.digest not in (None, target.digest):
        return False
    return (target.revision if target else "") == facts.target


def _fetch_summary(facts: Facts) -> str:
    fetch = report_fetch(facts)
    return f"Fetching {100 * fetch.downloaded_bytes // fetch.total_bytes}%" if fetch else "Fetching"


def report_rollout(facts: Facts, moment: str) -> RolloutStatus:
    """How far a change is, and what it waits for."""
    old, done = facts.snapshot.status.rollout, facts.settled
    swap = facts.course.swap
    updated = swap.done if swap else facts.goal.available if facts.goal else 0
    canary, mirrored = facts.course.canary, _mirrored(facts)
    resting = done or facts.step.done or (facts.rolled_back and facts.course.room.surge)
    strategy = "" if resting else SURGE if facts.course.room.surge else NO_SURGE
    return RolloutStatus(
        type=facts.policy.type.value,
        strategy_in_effect=strategy,
        step=canary.at.step if canary else 0,
        step_started_at=canary.at.since if canary else None,
        steps=canary.at.steps if canary else "",
        passed=canary is not None and canary.at.passed,
        weight=_weight(facts) if canary else None,
        mirror=mirrored if canary else None,
        summary=_summary(facts, updated)[:64],
        message="" if done else one_line(facts.because, 1024),
        updated=updated,
        total=facts.wanted,
        started_at=None if done else (old.started_at or moment),
        last_progress_at=None if done else _progress_at(facts, updated, strategy, moment),
    )


def _summary(facts: Facts, updated: int) -> str:
    """What the ROLLOUT column says; nothing while nothing is replaced."""
    if facts.step.held:
        return _fetch_summary(facts)
    replaces = bool(facts.target and facts.serving) and facts.serving != facts.target
    if not replaces and (facts.course.swap is None or not facts.wanted):
        return ""
    if facts.rolled_back:
        return "RolledBack"
    lack = facts.goal.lack if facts.goal else None
    if facts.step.paused:
        return f"{updated}/{facts.wanted} Paused"
    if lack is not None:
        return f"waiting for {', '.join(sorted(lack.resources))}"
    if facts.course.canary is not None and facts.course.canary.limit is not None:
        return f"canary {_weight(facts)} %"
    return f"{updated}/{facts.wanted}"


def _weight(facts: Facts) -> int:
    """The share of the pods that answer which are new, in percent."""
    new, every = facts.goal.ready if facts.goal else 0, sum(state.ready for state in facts.states)
    return round(100 * new / every) if every else 0


def _mirrored(facts: Facts) -> MirrorStatus | None:
    """What the copies have shown; from the first on that is sent, as it says that there may be pods that send them."""
    counted = together(facts.snapshot.traffic.values())
    before = facts.snapshot.status.rollout.mirror if _same_target(facts) else None
    mirrors = facts.policy.canary is not None and facts.policy.canary.mirror
    now = MirrorStatus(compared=counted.mirrored, differing=counted.differing)
    if before is None:
        return now if counted.mirrored or mirrors else None
    return before if not counted.mirrored or _are_alike(before, now) else now


def _are_alike(before: MirrorStatus, now: MirrorStatus) -> bool:
    """Whether the figures say the same: a canary may wait for days, and each other figure is a write of the status."""
    percents = [100 * each.differing / max(1, each.compared) for each in (before, now)]
    few = before.compared <= now.compared < before.compared + max(1, before.compared // 10)
    return few and abs(percents[0] - percents[1]) < 1


def _progress_at(facts: Facts, updated: int, strategy: str, moment: str) -> str | None:
    """When there was progress last; None while no clock runs, so that it begins anew afterwards."""
    status, swap, trouble = facts.snapshot.status, facts.course.swap, facts.trouble
    if facts.step.paused or (swap is not None and swap.waits):
        return None
    # Only what grows is progress: an autoscaler takes pods away and adds them again. What a pod has come to by itself
    # is seen in the pod. What was held in one look may be let go in the next: then nothing is fetched any more.
    came = updated > status.rollout.updated or _arrived(report_fetch(facts)) > _arrived(status.fetch)
    # All pods count, as in the course: two answers to one question would forgive a delay for one look only.
    served = swap is not None or sum(state.available for state in facts.states) >= facts.wanted
    relieved = is_relieved(facts.snapshot, trouble.reason if trouble else None, served)
    moved = came or (relieved and not facts.course.failed) or strategy != status.rollout.strategy_in_effect
    stood_still = _same_target(facts) and not moved
    return (status.rollout.last_progress_at or moment) if stood_still else moment


def _arrived(fetch: FetchStatus | None) -> int:
    return fetch.downloaded_bytes if fetch else 0
