"""A forecast as text for people, and as a value for YAML and JSON."""

from collections.abc import Iterator
from typing import Any

from mmm_operator.api.conditions import Condition
from mmm_operator.offline.forecast import Forecast
from mmm_operator.plan import Plan
from mmm_operator.snapshot import Manifest, Ref, Snapshot


def to_text(forecast: Forecast) -> str:
    """A heading with the object and the number of writes, and one line for each write, in the order of the writes."""
    found, snapshot = forecast.plan, forecast.snapshot
    writes = "nothing to do" if found.writes == 0 else f"{found.writes} write{'s'[: found.writes - 1]}"
    lines = [f"{snapshot.key}: {writes}", *(f"  {word:8}{rest}" for word, rest in _lines(forecast))]
    return "\n".join(lines)


def to_value(forecast: Forecast) -> dict[str, Any]:
    """The same with whole manifests and the whole status; absent parts are left out."""
    found, snapshot = forecast.plan, forecast.snapshot
    value = {
        "namespace": snapshot.key.namespace,
        "name": snapshot.key.name,
        "writes": found.writes,
        "because": found.because,
        "notes": list(forecast.notes),
        "apply": [_apply(step.manifest, step.create, step.because) for step in found.apply],
        "delete": [{**_identity(step.ref), "because": step.because} for step in found.delete],
        "status": found.status.to_json() if found.status else None,
        "events": [{"type": e.type, "reason": e.reason, "message": e.message} for e in found.events],
        "requeueAfterSeconds": found.requeue_after,
    }
    return {key: part for key, part in value.items() if part not in (None, "", [])}


def _lines(forecast: Forecast) -> Iterator[tuple[str, str]]:
    found = forecast.plan
    yield from (("note", note) for note in forecast.notes)
    if not (found.apply or found.delete):
        yield "because", found.because
    for step in found.apply:
        yield "create" if step.create else "update", step.because.removeprefix("create ")
    for removal in found.delete:
        yield "delete", removal.because.removeprefix("delete ")
    yield from (("status", line) for line in _status(found, forecast.snapshot))
    yield from (("event", f"{event.type} {event.reason}: {event.message}") for event in found.events)
    if found.requeue_after is not None:
        yield "again", f"in {found.requeue_after:g} s, if nothing happens before"


def _status(found: Plan, snapshot: Snapshot) -> Iterator[str]:
    if found.status is None:
        return
    before = {condition.type: _said(condition) for condition in snapshot.status.conditions}
    news = [c for c in found.status.conditions if _said(c) != before.get(c.type)]
    for condition in news:
        yield f"{condition.type}={condition.status} {condition.reason}" + (
            condition.message and f": {condition.message}"
        )
    if not news:
        old, new = snapshot.status.to_json(), found.status.to_json()
        yield ", ".join(sorted(key for key in {*old, *new} if old.get(key) != new.get(key)))


def _said(condition: Condition) -> tuple[str, str, str]:
    return condition.status, condition.reason, condition.message


def _apply(manifest: Manifest, create: bool, because: str) -> dict[str, Any]:
    return {"action": "create" if create else "update", "because": because, "manifest": manifest}


def _identity(ref: Ref) -> dict[str, str]:
    return {"apiVersion": ref.api_version, "kind": ref.kind, "namespace": ref.namespace, "name": ref.name}
