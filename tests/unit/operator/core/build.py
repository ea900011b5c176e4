"""Small builders: the values that the operator's pure core looks at, as short as they are said aloud.

`make_mmm().version("2").on_gpu(1).autoscaled(1, 4)` is a MultimodalModel; `make_deployment`, `make_pod` and
`make_snapshot` give the world around it, in the shape in which the API server returns it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from mmm_operator import names
from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel, ObjectMeta
from mmm_operator.builders.deployment import build_deployment
from mmm_operator.drift import with_applied_hash
from mmm_operator.revision import Revision, revision_of
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key, Manifest, Ref, Resolution, ServerReport, Snapshot
from tests.unit.operator.core.stored import as_stored

NAMESPACE = "shop"
UID = "11111111-2222-3333-4444-555555555555"
IMAGE = "registry/server:1.0"
BORN = "2026-01-01T00:00:00Z"
NOW = datetime(2026, 1, 1, 0, 5, 0, tzinfo=UTC)
SETTINGS = Settings(server_image=IMAGE)


# The newest version in the repository of the tests.
NEWEST = "9"


def digest_of(version: str) -> str:
    """The digest under which version `version` lies in the repository of the tests."""
    return "sha256:" + hashlib.sha256(version.encode()).hexdigest()


@dataclass(frozen=True)
class Draft:
    """A MultimodalModel in the making; every method gives another draft."""

    name: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    generation: int = 1

    def having(self, **fields: Any) -> "Draft":
        """With these fields of the spec, as in YAML; parts of `model` and others are merged."""
        return replace(self, spec=_merge(self.spec, fields))

    def version(self, version: str) -> "Draft":
        return self.having(model={"version": version})

    def replicas(self, replicas: int) -> "Draft":
        return self.having(replicas=replicas)

    def on_gpu(self, count: int, fallback: str = "Fail") -> "Draft":
        return self.having(accelerator={"count": count, "fallback": fallback})

    def autoscaled(self, least: int, most: int) -> "Draft":
        return self.having(autoscaling={"minReplicas": least, "maxReplicas": most})

    def at_generation(self, generation: int) -> "Draft":
        return replace(self, generation=generation)

    def build(self) -> MultimodalModel:
        return MultimodalModel.model_validate({"metadata": self._meta(), "spec": self.spec})

    def meta(self) -> ObjectMeta:
        return ObjectMeta.model_validate(self._meta())

    def revision(self, image: str = IMAGE) -> Revision:
        spec = self.build().spec
        return revision_of(spec, self.pinned, digest_of(self.pinned), spec.runtime.image or image)

    @property
    def pinned(self) -> str:
        """The version that the spec names; the newest of the tests' repository where it follows that."""
        return str(self.spec["model"].get("version", NEWEST))

    def _meta(self) -> Manifest:
        return {"name": self.name, "namespace": NAMESPACE, "uid": UID, "generation": self.generation}


def make_mmm(name: str = "clip") -> Draft:
    """Version 1 of s3://models/clip at one replica, on the CPU."""
    return Draft(name).having(model={"uri": "s3://models/clip", "version": "1"})


def make_deployment(
    draft: Draft,
    size: int = 1,
    *,
    ready: int | None = None,
    existing: int | None = None,
    stuck: bool = False,
    settings: Settings = SETTINGS,
) -> Manifest:
    """The stored Deployment of the revision that `draft` asks for, by default with all its pods available."""
    desired = build_deployment(draft.build(), draft.revision(settings.server_image), size, settings, None)
    stored = as_stored(with_applied_hash(desired), None)
    existing = size if existing is None else existing
    ready = existing if ready is None else ready
    stored["status"] = deployment_status(existing, ready, generation=1, stuck=stuck)
    return stored


def deployment_status(existing: int, ready: int, *, generation: int, stuck: bool) -> Manifest:
    reason = "ProgressDeadlineExceeded" if stuck else "ReplicaSetUpdated"
    counts = {"replicas": existing, "updatedReplicas": existing, "readyReplicas": ready, "availableReplicas": ready}
    progress = {"type": "Progressing", "status": "False" if stuck else "True", "reason": reason}
    # The API server leaves out what is zero.
    return {"observedGeneration": generation, "conditions": [progress], **{k: v for k, v in counts.items() if v}}


def make_pod(draft: Draft, name: str = "", *, born: str = BORN, settings: Settings = SETTINGS) -> "PodDraft":
    """A pod of the revision that `draft` asks for, scheduled, its containers not started yet."""
    revision = draft.revision(settings.server_image)
    template = build_deployment(draft.build(), revision, 1, settings, None)["spec"]["template"]
    name = name or f"{draft.name}-{revision.id}-pod"
    meta = {**template["metadata"], "name": name, "namespace": NAMESPACE, "uid": f"uid-{name}"}
    pod = {"metadata": {**meta, "creationTimestamp": born}, "spec": template["spec"], "status": {}}
    return PodDraft(pod).scheduled()


@dataclass(frozen=True)
class PodDraft:
    """A pod in the making; every method gives another one, `build` the manifest."""

    pod: Manifest

    def build(self) -> Manifest:
        return self.pod

    def scheduled(self) -> "PodDraft":
        return self._condition("PodScheduled", "True").waiting(names.CONTAINER_SERVER, "PodInitializing")

    def unschedulable(self, message: str, reason: str = "Unschedulable") -> "PodDraft":
        pod = self._condition("PodScheduled", "False", reason=reason, message=message)
        return pod._status(phase="Pending", containerStatuses=[])

    def ready(self) -> "PodDraft":
        pod = self.succeeded(names.CONTAINER_FETCHER).running(names.CONTAINER_SERVER, ready=True)
        return pod._condition("Ready", "True")._status(phase="Running")

    def running(self, container: str, *, ready: bool = False, last: Manifest | None = None) -> "PodDraft":
        return self._container(container, {"running": {"startedAt": BORN}}, last, ready=ready)

    def waiting(self, container: str, reason: str, message: str = "", last: Manifest | None = None) -> "PodDraft":
        state = {"reason": reason, **({"message": message} if message else {})}
        return self._container(container, {"waiting": state}, last)

    def succeeded(self, container: str, last: Manifest | None = None) -> "PodDraft":
        return self._container(container, exited(0, reason="Completed"), last, ready=True)

    def failed(self, container: str, state: Manifest, last: Manifest | None = None) -> "PodDraft":
        return self._container(container, state, last)

    def ended(self, reason: str, message: str) -> "PodDraft":
        """Given up by its node, as an evicted pod is."""
        return self._status(phase="Failed", reason=reason, message=message)

    def terminating(self) -> "PodDraft":
        return replace(self, pod=_merge(self.pod, {"metadata": {"deletionTimestamp": BORN}}))

    def _container(self, name: str, state: Manifest, last: Manifest | None, ready: bool = False) -> "PodDraft":
        status = {"name": name, "state": state, "lastState": last or {}, "ready": ready, "restartCount": 0}
        kind = "initContainerStatuses" if name == names.CONTAINER_FETCHER else "containerStatuses"
        return self._status(**{kind: [status]})

    def _condition(self, kind: str, status: str, **more: str) -> "PodDraft":
        others = [c for c in self.pod["status"].get("conditions", ()) if c["type"] != kind]
        return self._status(conditions=[*others, {"type": kind, "status": status, **more}])

    def _status(self, **fields: Any) -> "PodDraft":
        return replace(self, pod={**self.pod, "status": {**self.pod["status"], **fields}})


def exited(code: int, *, reason: str = "Error", message: str = "") -> Manifest:
    """The state of a container that ended."""
    return {"terminated": {"exitCode": code, "reason": reason, **({"message": message} if message else {})}}


def last_words(reason: str, message: str = "why", code: int = 3) -> Manifest:
    """The state of a container of ours that ended and said why."""
    return exited(code, message=json.dumps({"reason": reason, "message": message}) + "\n")


def make_report(pod: Manifest, device: str = "cuda", **fields: Any) -> ServerReport:
    """The status page of a pod."""
    known: dict[str, Any] = {"device_name": "H200", "dtype": "bfloat16", "memory_bytes": 1, "load_seconds": 2.5}
    return ServerReport(pod=pod["metadata"]["name"], digest="", device=device, **{**known, **fields})


def make_hpa(draft: Draft, **conditions: tuple[str, str]) -> Manifest:
    """The stored HPA of `draft` with conditions as (status, reason)."""
    from mmm_operator.builders.autoscaler import build_autoscaler

    mmm = draft.build()
    assert mmm.spec.autoscaling is not None
    stored = as_stored(with_applied_hash(build_autoscaler(mmm, mmm.spec.autoscaling)), None)
    listed = [
        {"type": kind, "status": status, "reason": reason, "message": f"{reason}, says the autoscaler"}
        for kind, (status, reason) in conditions.items()
    ]
    return {**stored, "status": {"conditions": listed} if listed else {}}


def make_snapshot(
    draft: Draft,
    children: Iterable[Manifest] = (),
    pods: Sequence[Manifest] = (),
    *,
    resolution: Resolution | None = None,
    status: Status | None = None,
    **fields: Any,
) -> Snapshot:
    """What one reconcile of `draft` observes; its version is in the repository unless told otherwise."""
    mmm = draft.build()
    found = Resolution(mmm.spec.model.uri, draft.pinned, digest_of(draft.pinned))
    return Snapshot(
        key=Key(NAMESPACE, draft.name),
        meta=mmm.metadata,
        mmm=fields.pop("mmm", mmm),
        status=status or Status(),
        resolution=found if resolution is None else resolution,
        children={Ref.of(child): child for child in children},
        pods=tuple(pods),
        **fields,
    )


def serving_pods(draft: Draft, count: int, settings: Settings = SETTINGS) -> list[Manifest]:
    """`count` ready pods of the revision that `draft` asks for."""
    prefix = draft.revision(settings.server_image).id
    return [make_pod(draft, f"{prefix}-{n}", settings=settings).ready().build() for n in range(count)]


def _merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(old.get(key), Mapping)
        merged[key] = _merge(old[key], value) if both else value
    return {key: value for key, value in merged.items() if value is not None}
