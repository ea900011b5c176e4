"""What is: everything that one reconcile observed of one MultimodalModel, frozen.

Observed objects keep the API server's own shape (`Manifest`, parsed JSON), because desired and live
objects are compared field by field; what decisions need is parsed into small types here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmm_operator import names
from mmm_operator.api.conditions import Reason
from mmm_operator.api.v1alpha1 import MultimodalModel, ObjectMeta, Status

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Namespace and name of a MultimodalModel: what the work queue holds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """One object of the cluster."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "Ref":
        """The reference to a manifest's object."""
        meta = manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], meta.get("namespace", ""), meta["name"])

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the repository says about the wanted version.

    `digest` is None while the version cannot be served; then `reason` and `message` say why.
    """

    uri: str
    version: str
    digest: str | None = None
    total_bytes: int = 0
    reason: Reason = Reason.RESOLVED
    message: str = ""


@dataclass(frozen=True, slots=True)
class ServerReport:
    """The status page of one server pod."""

    pod: str
    digest: str
    device: str
    device_name: str
    dtype: str
    memory_bytes: int | None
    load_seconds: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one reconcile looks at.

    `mmm` is None when the stored object does not fit the API; `invalid` then says where.
    `children` holds every object that the MultimodalModel controls, `foreign` the objects that have one
    of the names it needs but are controlled by somebody else. `refused` is the API server's word when
    it refused one of our writes in the last attempt (quota, admission).
    """

    key: Key
    meta: ObjectMeta
    mmm: MultimodalModel | None
    status: Status = field(default_factory=Status)
    invalid: str = ""
    resolution: Resolution | None = None
    children: Mapping[Ref, Manifest] = field(default_factory=dict)
    foreign: frozenset[Ref] = frozenset()
    pods: tuple[Manifest, ...] = ()
    reports: Mapping[str, ServerReport] = field(default_factory=dict)
    refused: str = ""

    def of_kind(self, kind: str) -> tuple[Manifest, ...]:
        """The controlled objects of one kind, by name."""
        return tuple(self.children[ref] for ref in sorted(self.children) if ref.kind == kind)


@dataclass(frozen=True, slots=True)
class RevisionState:
    """One revision as its Deployment shows it. All numbers are pods.

    `wanted` is the Deployment's spec, the others its status; `stuck` means that the Deployment
    controller gave up waiting for progress.
    """

    revision: str
    version: str
    digest: str
    image: str
    created: str
    wanted: int
    existing: int
    ready: int
    available: int
    stuck: bool


def parse_revision(deployment: Manifest) -> RevisionState:
    """The revision that a Deployment of ours runs."""
    meta, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status", {})
    # A status of an older generation speaks of another size and template: trust its pods, not its verdict.
    current = status.get("observedGeneration", 0) >= meta.get("generation", 0)
    return RevisionState(
        revision=meta["labels"][names.LABEL_REVISION],
        version=meta["labels"].get(names.LABEL_VERSION, ""),
        digest=meta.get("annotations", {}).get(names.ANNOTATION_DIGEST, ""),
        image=_server_image(spec["template"]),
        created=meta.get("creationTimestamp", ""),
        wanted=spec.get("replicas", 1),
        existing=status.get("replicas", 0),
        ready=status.get("readyReplicas", 0),
        available=status.get("availableReplicas", 0),
        stuck=current and _deadline_exceeded(status),
    )


def _server_image(template: Manifest) -> str:
    containers = template["spec"]["containers"]
    return str(next((c["image"] for c in containers if c["name"] == names.CONTAINER_SERVER), ""))


def _deadline_exceeded(status: Manifest) -> bool:
    return any(
        condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded"
        for condition in status.get("conditions", ())
    )
