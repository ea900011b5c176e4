"""The status to write and the events to send, from the facts of one reconcile."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime

from mmm_operator import names
from mmm_operator.api.conditions import Condition, ConditionType, Reason, merge_conditions
from mmm_operator.api.status import (
    MAX_FAILURES,
    Acceleration,
    LastFailure,
    Resolved,
    Status,
)
from mmm_operator.api.text import one_line
from mmm_operator.assess import assess
from mmm_operator.diagnose import failures
from mmm_operator.facts import Facts
from mmm_operator.moments import timestamp
from mmm_operator.plan import Event
from mmm_operator.report_model import report_model, report_revisions
from mmm_operator.report_rollout import report_fetch, report_rollout
from mmm_operator.snapshot import ServerReport, Snapshot

# What a person wants to be told, and whether True is the good news.
_TOLD: dict[str, bool] = {
    ConditionType.READY: True,
    ConditionType.AVAILABLE: True,
    ConditionType.ACCEPTED: True,
    ConditionType.MODEL_RESOLVED: True,
    ConditionType.CAPACITY_AVAILABLE: True,
    ConditionType.AUTOSCALING_ACTIVE: True,
    ConditionType.UPDATE_AVAILABLE: False,
    ConditionType.STALLED: False,
    ConditionType.DEGRADED: False,
}


def report_status(facts: Facts, image: str, now: datetime) -> Status:
    """The status of the object; equal to the stored one, times included, when nothing has changed."""
    snapshot, old = facts.snapshot, facts.snapshot.status
    moment = timestamp(now)
    model = report_model(facts, moment)
    name = snapshot.meta.name
    asked = sum(state.ready for state in facts.answering)
    accelerated = _first_report(facts)
    return Status(
        observed_generation=snapshot.meta.generation,
        conditions=merge_conditions(old.conditions, assess(facts), snapshot.meta.generation, moment),
        replicas=sum(state.existing for state in facts.states),
        ready_replicas=sum(state.ready for state in facts.states),
        available_replicas=sum(state.available for state in facts.states),
        updated_replicas=facts.goal.existing if facts.goal else 0,
        selector=names.selector_text(names.pod_selector(name)),
        url=_url(snapshot),
        ready_summary=f"{asked}/{facts.wanted}",
        model=model,
        revisions=report_revisions(facts),
        rollout=report_rollout(facts, moment),
        fetch=report_fetch(facts),
        acceleration=_acceleration(accelerated) if accelerated else old.acceleration,
        load_seconds=_load_seconds(accelerated) if accelerated else old.load_seconds,
        resolved=Resolved(server_image=image) if image and not _names_image(snapshot) else old.resolved,
        last_failures=_report_failures(snapshot, moment),
    )


def _names_image(snapshot: Snapshot) -> bool:
    return snapshot.mmm is not None and snapshot.mmm.spec.runtime.image is not None


def report_events(old: Sequence[Condition], new: Sequence[Condition]) -> tuple[Event, ...]:
    """One event for each condition that flipped, or whose bad news has another reason now.

    What several conditions say for the same reason is said once, by the first of them. Of a new object only warnings
    are told.
    """
    before = {condition.type: condition for condition in old}
    by_reason: dict[str, Event] = {}
    for event in _events(before, new):
        by_reason.setdefault(event.reason, event)
    return tuple(by_reason.values())


def _events(before: dict[str, Condition], new: Sequence[Condition]) -> Iterator[Event]:
    for condition in new:
        good_when = _TOLD.get(condition.type)
        old = before.get(condition.type)
        if good_when is None or condition.status == "Unknown":
            continue
        good = (condition.status == "True") is good_when
        flipped = old is not None and old.status != condition.status
        new_trouble = not good and (old is None or old.reason != condition.reason)
        expected = good or (condition.reason in _EXPECTED and not _is_outage(old, condition))
        # That a new object begins to start is no news: nobody waits for it, and each event is a write.
        if (flipped or new_trouble) and not (old is None and expected):
            text = condition.message or _DOCS[condition.reason]
            yield Event(
                "Normal" if expected else "Warning", condition.reason, one_line(f"{condition.type}: {text}", 1000)
            )


def _is_outage(old: Condition | None, new: Condition) -> bool:
    return new.reason == Reason.NO_READY_REPLICAS and old is not None and old.status == "True"


_DOCS = {reason.value: reason.doc for reason in Reason}

# Bad news that belongs to the life of every model.
_EXPECTED = {
    reason.value
    for reason in (
        Reason.RESOLVING,
        Reason.ROLLING_OUT,
        Reason.SCALING,
        Reason.STARTING,
        Reason.SCALED_TO_ZERO,
        Reason.SUSPENDED,
        Reason.PAUSED,
        Reason.ANALYZING,
        Reason.AWAITING_PROMOTION,
        Reason.NO_READY_REPLICAS,
        Reason.WAITING_FOR_OLD_POD,
        Reason.WAITING_FOR_VOLUME,
        Reason.NEW_VERSION,
        Reason.DOWNLOADING,
    )
}


def _url(snapshot: Snapshot) -> str:
    if snapshot.mmm is None:
        return snapshot.status.url  # the Service stays as it is while the spec cannot be read
    return names.service_url(snapshot.meta.name, snapshot.meta.namespace, snapshot.mmm.spec.service.port)


def _report_failures(snapshot: Snapshot, moment: str) -> tuple[LastFailure, ...]:
    """The newest failures, one of a kind.

    What fails in a loop is told again in the next hour only, so that a crash loop costs no status write per crash.
    """
    told = {(item.container, item.reason, item.message): item for item in snapshot.status.last_failures}
    seen = (failure for pod in (*snapshot.pods, *snapshot.fetchers) for failure in failures(pod))
    for failure in sorted(seen, key=lambda item: (item.at, item.pod)):
        kind = failure.container[:63], failure.reason.value, one_line(failure.message, 256)
        if kind not in told or failure.at[:_HOUR] > told[kind].at[:_HOUR]:
            at = (failure.at or moment)[:32]
            told[kind] = LastFailure(pod=failure.pod[:253], container=kind[0], reason=kind[1], message=kind[2], at=at)
    newest = sorted(told.values(), key=lambda item: (item.at, item.pod, item.container), reverse=True)
    return tuple(newest[:MAX_FAILURES])


_HOUR = len("2026-01-01T00")


def _first_report(facts: Facts) -> ServerReport | None:
    # Always the same pod, so that the status does not change while nothing happens.
    return next((facts.snapshot.reports[pod] for pod in sorted(facts.snapshot.reports)), None)


# The pages are written by whatever image the user chose: what does not fit is cut or left out.


def _acceleration(report: ServerReport) -> Acceleration:
    memory = report.memory_bytes
    return Acceleration(
        device=report.device[:32],
        name=report.device_name[:128],
        dtype=report.dtype[:32],
        memory_bytes=memory if memory is not None and 0 <= memory < 2**63 else None,
    )


def _load_seconds(report: ServerReport) -> int | None:
    seconds = report.load_seconds
    return math.ceil(seconds) if seconds is not None and 0 <= seconds < _LONGEST_LOAD else None


_LONGEST_LOAD = 10.0**6
