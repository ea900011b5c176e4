"""Versions that running pods go over to: what they are told, how far they are, and whether it went wrong. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mmm_operator import names
from mmm_operator.api.conditions import REASONS, Reason
from mmm_operator.api.rollout import Rollout
from mmm_operator.builders.told import Told, read_wanted
from mmm_operator.rollout.verdict import SURROUNDINGS, Verdict
from mmm_operator.snapshot import (
    Manifest,
    ServerReport,
    Snapshot,
    SwapReport,
    is_living,
    is_ready,
    pod_revision,
    revision_id,
)
from mmm_operator.target import Target, failure_of

# Servers say nothing by themselves: they are asked.
LOOK_SECONDS = 2.0


Served = tuple[str, str]  # version and digest


@dataclass(frozen=True, slots=True)
class Swap:
    """Pods that go over to another version. `done` of the `total` that are ready serve it, the others `before`.

    `trouble` is what is wrong around the version, and `overdue` says that it lasts for longer than the deadline.
    `waits` means that no clock runs, and `held` that the rollout was `paused` before the pods were told anything.
    """

    before: Served
    done: int
    total: int
    failed: Verdict | None = None
    trouble: Verdict | None = None
    overdue: bool = False
    waits: bool = False
    paused: bool = False
    held: bool = False

    @property
    def finished(self) -> bool:
        """Whether every pod that answers requests answers them with the new version."""
        return self.failed is None and 0 < self.total <= self.done

    @property
    def because(self) -> str:
        """How far it is, as a sentence."""
        far = f"{self.done} of {self.total} pods have gone over to the new version"
        if self.paused:
            return f"paused: {far}; remove rollout.paused to go on"
        return f"{far}; {self.trouble.reason.value}: {self.trouble.message}" if self.trouble else far


def plan_swap(
    snapshot: Snapshot, target: Target, serving: str, wanted: int, now: datetime, *, relieved: bool = False
) -> Swap | None:
    """The change of version under way in the pods that serve; None where there is none.

    `relieved` means that something around the version is over since the last look, which nobody shall be late for.
    """
    revision = target.revision
    if revision is None or not revision.swaps or serving != target.id:
        return None
    reports = _reports(snapshot, target)
    before = _goes_from(snapshot, target, reports, revision.digest)
    if before is None:
        return None
    done = sum(report is not None and report.digest == revision.digest for report in reports)
    paused = snapshot.mmm is not None and snapshot.mmm.spec.rollout.paused
    # What is still being fetched is not late: the fetcher says when it fails.
    fetches = any(report and report.swap and report.swap.state == "Waiting" for report in reports)
    told = read_wanted(config_of(snapshot))
    swap = Swap(
        before=before,
        done=done,
        total=len(reports),
        waits=paused or fetches or not wanted,
        paused=paused,
        held=paused and (told is None or told[1] != revision.digest),
    )
    return _judged(swap, snapshot, target, reports, _is_late(snapshot, target, now), relieved)


def _goes_from(
    snapshot: Snapshot, target: Target, reports: Sequence[ServerReport | None], digest: str
) -> Served | None:
    """The version that pods serve which have not gone over; None where there is none."""
    others = [report for report in reports if report is not None and report.digest != digest]
    before = _before(snapshot, target, others)
    if before is not None and before[1] != digest:
        return before
    return next(((other.version, other.digest) for other in others), None)


def _judged(
    swap: Swap, snapshot: Snapshot, target: Target, reports: Sequence[ServerReport | None], due: bool, relieved: bool
) -> Swap:
    """The swap with what went wrong: in the version, or around it, which is waited for."""
    digest = target.revision.digest if target.revision else ""
    complete = 0 < swap.total <= swap.done
    failed = failure_of(target, snapshot.status.model.failed) or next(_failures(reports, digest), None)
    if failed is not None and failed.reason is Reason.PROGRESS_DEADLINE_EXCEEDED and complete:
        failed = None  # late, and yet it came
    if failed is not None or complete:
        return replace(swap, failed=failed)
    late = due and not swap.waits
    trouble = next(_troubles(reports, digest), None)
    if trouble is not None:
        return replace(swap, trouble=trouble, overdue=late)
    return replace(swap, failed=_lateness(reports) if late and not relieved else None)


def _reports(snapshot: Snapshot, target: Target) -> list[ServerReport | None]:
    """What the pods that answer requests say; None for one that has said nothing."""
    ready = [pod for pod in snapshot.pods if pod_revision(pod) == target.id and is_living(pod) and is_ready(pod)]
    return [snapshot.reports.get(name) for name in sorted(pod["metadata"]["name"] for pod in ready)]


def _before(snapshot: Snapshot, target: Target, others: Sequence[ServerReport]) -> Served | None:
    """What pods served until now: as the status remembers, else as they say, else as they were told."""
    current = snapshot.status.model.current
    if current is not None and current.revision == target.id:
        return current.version, current.digest
    said = ((report.version, report.digest) for report in others)
    return next(said, None) or read_wanted(config_of(snapshot))


def _failures(reports: Sequence[ServerReport | None], digest: str) -> Iterator[Verdict]:
    return (verdict for verdict in _verdicts(reports, digest) if verdict.reason not in SURROUNDINGS)


def _troubles(reports: Sequence[ServerReport | None], digest: str) -> Iterator[Verdict]:
    return (verdict for verdict in _verdicts(reports, digest) if verdict.reason in SURROUNDINGS)


def _verdicts(reports: Sequence[ServerReport | None], digest: str) -> Iterator[Verdict]:
    for swap in (report.swap for report in reports if report and report.swap):
        if _has_failed(swap, digest):
            yield Verdict(REASONS.get(swap.reason, Reason.INTERNAL_ERROR), swap.message)


def _has_failed(swap: SwapReport, digest: str) -> bool:
    # Where both versions do not fit into a pod, pods that begin with the new one take over: that is no failure.
    return swap.digest == digest and swap.state == "Failed" and swap.reason != Reason.NO_ROOM_FOR_SWAP


def _is_late(snapshot: Snapshot, target: Target, now: datetime) -> bool:
    """Whether nothing came of it for too long."""
    known, since = snapshot.status.model.target, snapshot.status.rollout.last_progress_at
    digest = target.revision.digest if target.revision else ""
    if snapshot.mmm is None or since is None or known is None or known.digest != digest:
        return False
    patience = timedelta(seconds=snapshot.mmm.spec.rollout.progress_deadline_seconds)
    return datetime.fromisoformat(since) + patience <= now


def _lateness(reports: Sequence[ServerReport | None]) -> Verdict:
    silent = sum(report is None for report in reports)
    text = "the pods did not go over to it within progressDeadlineSeconds"
    more = f"; {silent} of them cannot be asked" if silent else ""
    return Verdict(Reason.PROGRESS_DEADLINE_EXCEEDED, text + more)


def what_to_tell(snapshot: Snapshot, target: Target, serving: str, swap: Swap | None, mirror: str | None) -> Told:
    """What running pods shall know now."""
    revision, current = target.revision, snapshot.status.model.current
    before = read_wanted(config_of(snapshot))
    policy = snapshot.mmm.spec.rollout if snapshot.mmm else Rollout()
    if revision is None or not revision.swaps:
        # Pods that swap may still be there, and go on with what they serve; once none is, nothing is said any more.
        return Told(before if any(map(_swaps, snapshot.of_kind("Deployment"))) else None, mirror)
    asked = (revision.version, revision.digest)
    served = (current.version, current.digest) if current is not None else before
    given_up = policy.auto_rollback and failure_of(target, snapshot.status.model.failed) is not None
    if serving == target.id:
        stays = swap is not None and ((swap.failed is not None and policy.auto_rollback) or policy.paused)
        return Told((before if policy.paused else None) or swap.before if swap and stays else asked, mirror)
    hot = any(_swaps(item) for item in snapshot.of_kind("Deployment") if revision_id(item) == serving)
    if served is None or not hot or (revision.first == revision.digest and not given_up):
        return Told(asked, mirror)
    return Told(served, mirror)  # pods first, and then their version


def _swaps(deployment: Manifest) -> bool:
    """Whether the pods of a Deployment go over to other versions, as long as it has any."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    told = (item["name"] for container in containers for item in container.get("env") or ())
    return bool(deployment["spec"].get("replicas")) and "MMM_HOT_SWAP" in told


def config_of(snapshot: Snapshot) -> Manifest | None:
    """The ConfigMap that says what pods are told."""
    name = names.rollout_config_name(snapshot.meta.name)
    return next((item for item in snapshot.of_kind("ConfigMap") if item["metadata"]["name"] == name), None)
