"""What is: everything that one reconcile observed of one MultimodalModel, frozen.

Observed objects keep the API server's own shape (`Manifest`, parsed JSON), because desired and live
objects are compared field by field; what decisions need is parsed into small types here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmm_operator import names
from mmm_operator.api.conditions import ConditionType, Reason
from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel, ObjectMeta
from mmm_operator.traffic import Traffic

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
class Update:
    """What the repository has that does not serve: the answer to whether there is something to update to.

    `newer` is a version after the wanted one, and `changed` the digest that now is under the wanted one. `latest` is
    the newest version that is there, of whatever age. `trouble` says why nobody can tell.
    """

    latest: tuple[str, str] | None = None
    newer: str = ""
    changed: str = ""
    incomplete: tuple[str, ...] = ()
    trouble: tuple[Reason, str] | None = None


@dataclass(frozen=True, slots=True)
class SwapReport:
    """How a server fares that goes over to another version: Waiting, Loading, Warming, Done or Failed, and why."""

    digest: str
    state: str
    reason: str = ""
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
    swap: SwapReport | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class FetchReport:
    """How far a pod has come with fetching the model, in bytes."""

    done_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one reconcile looks at.

    `mmm` is None when the stored object does not fit the API; `invalid` then says where.
    `children` holds every object that the MultimodalModel controls, `foreign` the objects that have one
    of the names it needs but are controlled by somebody else. `refused` is the API server's word when
    it refused one of our writes in the last attempt (quota, admission). `pod_events` are the Warning events
    of the pods that `diagnose.unexplained` names, and of Jobs that have no pod. `update` is None while this process
    has not looked.
    `pods` serve, or shall; `fetchers` only fetch, for a Job. `claim` is the user's own, of
    `cache.claimName` or a `pvc://` uri, and `fetches` say how far pods are that fetch now. `traffic` is what the pods
    have answered since the step of a canary began, by name.
    """

    key: Key
    meta: ObjectMeta
    mmm: MultimodalModel | None
    status: Status = field(default_factory=Status)
    invalid: str = ""
    resolution: Resolution | None = None
    update: Update | None = None
    children: Mapping[Ref, Manifest] = field(default_factory=dict)
    foreign: frozenset[Ref] = frozenset()
    pods: tuple[Manifest, ...] = ()
    fetchers: tuple[Manifest, ...] = ()
    claim: Manifest | None = None
    fetches: Mapping[str, FetchReport] = field(default_factory=dict)
    reports: Mapping[str, ServerReport] = field(default_factory=dict)
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    refused: str = ""
    pod_events: tuple[Manifest, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether the status says that this very generation came true, and that nothing is under way."""
        found = next((item for item in self.status.conditions if item.type == ConditionType.PROGRESSING), None)
        spoken = found is not None and found.reason == Reason.SETTLED
        return spoken and self.status.observed_generation == self.meta.generation

    def said(self, kind: ConditionType) -> str:
        """The reason that the status gave for a condition in the last look; "" where it spoke of none."""
        return next((item.reason for item in self.status.conditions if item.type == kind), "")

    @property
    def moved(self) -> bool:
        """Whether the spec names another repository than the one that the status speaks of."""
        target = self.status.model.target
        if self.mmm is None or target is None or not target.uri:
            return False
        return (target.uri, target.endpoint) != (self.mmm.spec.model.uri, self.mmm.spec.storage.endpoint or "")

    def of_kind(self, kind: str) -> tuple[Manifest, ...]:
        """The controlled objects of one kind, by name."""
        return tuple(self.children[ref] for ref in sorted(self.children) if ref.kind == kind)


def revision_id(deployment: Manifest) -> str:
    """The revision of a Deployment; from its selector, since that is what nobody can change."""
    labels = deployment["spec"].get("selector", {}).get("matchLabels", {})
    return str(labels.get(names.LABEL_REVISION) or deployment["metadata"]["name"])


def pod_revision(pod: Manifest) -> str:
    """The revision that a pod runs."""
    return str(pod["metadata"].get("labels", {}).get(names.LABEL_REVISION, ""))


def selected_revision(snapshot: Snapshot) -> str:
    """The revision whose pods alone get requests, as the Service stands; "" where it is for all."""
    services = (item for item in snapshot.of_kind("Service") if item["metadata"]["name"] == snapshot.meta.name)
    selectors = (item["spec"].get("selector") or {} for item in services)
    return str(next((selector.get(names.LABEL_REVISION, "") for selector in selectors), ""))


def is_fetcher(pod: Manifest) -> bool:
    """Whether the pod only fetches, and never serves."""
    return bool(pod["metadata"].get("labels", {}).get(names.LABEL_COMPONENT) == names.COMPONENT_FETCHER)


def is_living(pod: Manifest) -> bool:
    """Whether the pod is neither on its way out nor what is left of one that its node gave up on."""
    return "deletionTimestamp" not in pod["metadata"] and not has_ended(pod)


def has_ended(pod: Manifest) -> bool:
    """Whether the pod will never run again; Kubernetes keeps such a pod for people to look at."""
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def is_ready(pod: Manifest) -> bool:
    """Whether the pod answers requests."""
    return any(condition["status"] == "True" for condition in conditions_of(pod, "Ready"))


def has_node(pod: Manifest) -> bool:
    """Whether the scheduler has found a node for the pod."""
    placed = any(condition["status"] == "True" for condition in conditions_of(pod, "PodScheduled"))
    return placed or bool(pod["spec"].get("nodeName"))


def conditions_of(of: Manifest, kind: str) -> list[Manifest]:
    """The conditions of one type that an object reports: one, or none."""
    return [condition for condition in of.get("status", {}).get("conditions") or () if condition["type"] == kind]
