"""What to do, done: the only place that writes."""

import datetime as dt
import logging
from itertools import chain

from mmm_operator import names
from mmm_operator.api.status import Status
from mmm_operator.errors import Conflict, KubeError, Refused, Transient
from mmm_operator.kube.events import build_event
from mmm_operator.kube.port import Kube
from mmm_operator.plan import Apply, Plan
from mmm_operator.snapshot import Manifest, Ref, Snapshot

log = logging.getLogger(__name__)


async def execute(kube: Kube, plan: Plan, snapshot: Snapshot) -> None:
    """Writes the plan: children in its order, then deletions, the status, and events only after the status.

    The status is written even when a child could not be: it says why something is wrong. Raises Refused
    for the children that the API server refuses, Conflict or Transient when another attempt may succeed.
    """
    failures = await _write_children(kube, plan, snapshot)
    if plan.status is not None:
        await kube.apply_status(_status_manifest(snapshot, plan.status))
    await _report(kube, plan, snapshot)
    _raise(failures)


async def _write_children(kube: Kube, plan: Plan, snapshot: Snapshot) -> list[KubeError]:
    failures: list[KubeError] = []
    applies = (_apply(kube, step, snapshot) for step in plan.apply)
    deletes = (kube.delete(step.ref, step.uid) for step in plan.delete)
    for write in chain(applies, deletes):
        try:
            await write
        except Transient as error:
            return [error]  # the API server is in trouble: more calls would only add to it
        except KubeError as error:
            failures.append(error)
    return failures


async def _apply(kube: Kube, step: Apply, snapshot: Snapshot) -> None:
    if step.create:
        try:
            await kube.apply(step.manifest, force=False)
        except Conflict as error:
            # Somebody else has this name, and not even our labels: only a person can sort that out.
            raise KubeError(str(error), status=error.status) from error
    else:
        await kube.apply(_pinned(step.manifest, snapshot), force=True)


def _pinned(manifest: Manifest, snapshot: Snapshot) -> Manifest:
    # With the uid the API server refuses to force our fields on an object that took the name meanwhile.
    seen = snapshot.children.get(Ref.of(manifest))
    if seen is None:
        return manifest
    return {**manifest, "metadata": {**manifest["metadata"], "uid": seen["metadata"]["uid"]}}


def _status_manifest(snapshot: Snapshot, status: Status) -> Manifest:
    meta = snapshot.meta
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
        "status": status.to_json(),
    }


async def _report(kube: Kube, plan: Plan, snapshot: Snapshot) -> None:
    for event in plan.events:
        try:
            await kube.create_event(build_event(event, snapshot, dt.datetime.now(dt.UTC)))
        except KubeError as error:
            # Events are for people and best effort; what matters is in the status.
            log.warning("event not written: %s", error, extra={"key": str(snapshot.key)})


def _raise(failures: list[KubeError]) -> None:
    again = [error for error in failures if isinstance(error, (Conflict, Transient))]
    if again:
        raise again[0]
    if failures:
        raise Refused("; ".join(map(str, failures)), status=failures[0].status) from failures[0]
