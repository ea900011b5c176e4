"""What is: one MultimodalModel and everything around it, read in one round trip."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from mmm_operator import names
from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel, ObjectMeta
from mmm_operator.kube.port import Kube, Reports, Sources
from mmm_operator.kube.resources import ref
from mmm_operator.snapshot import Key, Manifest, Ref, ServerReport, Snapshot, is_ready, pod_revision

LABELS = {names.LABEL_MANAGED_BY: names.MANAGED_BY}


async def observe(kube: Kube, key: Key, sources: Sources, reports: Reports) -> Snapshot | None:
    """Everything that a decision about `key` needs; None when the object is gone or on its way out.

    Children of a deleted object are the garbage collector's: they all have an ownerReference.
    """
    raw, deployments, pods, *named = await together(
        kube.get(ref(names.KIND, key.namespace, key.name)),
        kube.list("Deployment", key.namespace, {**LABELS, names.LABEL_MODEL: key.name}),
        kube.list("Pod", key.namespace, names.pod_selector(key.name)),
        *(kube.get(wanted) for wanted in named_children(key)),
    )
    if raw is None or "deletionTimestamp" in raw["metadata"]:
        return None
    meta = ObjectMeta.model_validate(raw["metadata"])
    status = parse_status(raw)
    mmm, invalid = parse(raw)
    ours, foreign = sort_out(meta.uid, [*deployments, *filter(None, named)])
    return Snapshot(
        key=key,
        meta=meta,
        mmm=mmm,
        status=status,
        invalid=invalid,
        resolution=await sources.resolution(key, mmm, status) if mmm else None,
        children=ours,
        foreign=foreign,
        pods=pods,
        reports=await read_reports(reports, key, status, pods),
    )


async def together(*calls: Awaitable[Any]) -> list[Any]:
    """The results of all calls; the first error ends those that still run."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def named_children(key: Key) -> tuple[Ref, ...]:
    """The objects of which there is one at most, under a name that follows from the key."""
    return (
        ref("Service", key.namespace, key.name),
        ref("HorizontalPodAutoscaler", key.namespace, key.name),
        ref("PodDisruptionBudget", key.namespace, key.name),
        ref("PersistentVolumeClaim", key.namespace, names.claim_name(key.name)),
    )


def parse(raw: Manifest) -> tuple[MultimodalModel | None, str]:
    """The object, or None and a sentence that names each field that does not fit."""
    try:
        # The status is ours and parsed apart: a broken one must not make the spec invalid.
        return MultimodalModel.model_validate({"metadata": raw["metadata"], "spec": raw.get("spec")}), ""
    except ValidationError as error:
        mistakes = (f"{_field_path(item['loc'])}: {item['msg']}" for item in error.errors(include_url=False))
        return None, "; ".join(mistakes)


def _field_path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


def parse_status(raw: Manifest) -> Status:
    """The stored status; an empty one when it fits no more, since all of it is observed anew anyway."""
    try:
        return Status.model_validate(raw.get("status") or {})
    except ValidationError:
        return Status()


def sort_out(uid: str, objects: Iterable[Manifest]) -> tuple[dict[Ref, Manifest], frozenset[Ref]]:
    """The objects that the owner `uid` controls, and references to the others."""
    ours = {Ref.of(item): item for item in objects if controller_uid(item) == uid}
    return ours, frozenset(map(Ref.of, objects)) - ours.keys()


def controller_uid(manifest: Manifest) -> str | None:
    """The uid of the one owner that controls the object."""
    owners = manifest["metadata"].get("ownerReferences", ())
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)


async def read_reports(
    reports: Reports, key: Key, status: Status, pods: Iterable[Manifest]
) -> Mapping[str, ServerReport]:
    """The status pages of the ready pods of the revision that shall serve."""
    target = status.model.target
    wanted = [pod for pod in pods if target and pod_revision(pod) == target.revision and is_ready(pod)]
    return await reports.reports(key, wanted)
