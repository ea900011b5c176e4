"""What is: everything that one reconcile observed of one MultimodalModel, frozen.

Observed objects keep the API server's own shape (`Manifest`, parsed JSON), because desired and live
objects are compared field by field; what decisions need is parsed into small types here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mmm_operator import names
from mmm_operator.api.conditions import ConditionType, Reason
from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel, ObjectMeta

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
    `cache.claimName` or a `pvc://` uri, and `fetches` say how far pods are that fetch now.
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
    refused: str = ""
    pod_events: tuple[Manifest, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether the status says that this very generation came true, and that nothing is under way."""
        found = next((item for item in self.status.conditions if item.type == ConditionType.PROGRESSING), None)
        spoken = found is not None and found.reason == Reason.SETTLED
        return spoken and self.status.observed_generation == self.meta.generation

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


@dataclass(frozen=True, slots=True)
class RevisionState:
    """One revision as its Deployment and its pods show it. All numbers are pods.

    `wanted` is the Deployment's spec. `ready` pods answer requests now, `available` ones have done so for
    `minReadySeconds`. `default_image` means that the spec did not name the image. `due` is when the pods that are not
    ready should be; None if there are none. `stuck` means that this moment has passed.
    """

    revision: str
    version: str
    digest: str
    image: str
    default_image: bool
    created: str
    wanted: int
    existing: int
    ready: int
    available: int
    due: datetime | None
    stuck: bool


def parse_revision(deployment: Manifest, pods: Iterable[Manifest], now: datetime) -> RevisionState:
    """The revision that a Deployment of ours runs; `pods` are all pods of the MultimodalModel."""
    meta, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status", {})
    own = [pod for pod in pods if pod_revision(pod) == revision_id(deployment) and is_living(pod)]
    # A Deployment's status lags behind its pods, and counts pods that it is about to take away.
    wanted = spec.get("replicas", 1)
    ready = min(wanted, sum(map(is_ready, own)))
    due = _due(spec, own) if ready < wanted else None
    return RevisionState(
        revision=revision_id(deployment),
        version=meta.get("labels", {}).get(names.LABEL_VERSION, ""),
        digest=meta.get("annotations", {}).get(names.ANNOTATION_DIGEST, ""),
        image=_server_image(spec["template"]),
        default_image=meta.get("annotations", {}).get(names.ANNOTATION_IMAGE_FROM) != names.IMAGE_FROM_SPEC,
        created=meta.get("creationTimestamp", ""),
        wanted=wanted,
        existing=status.get("replicas", 0),
        ready=ready,
        available=min(ready, status.get("availableReplicas", 0)),
        due=due,
        stuck=_deadline_exceeded(deployment) or (due is not None and due <= now),
    )


def revision_id(deployment: Manifest) -> str:
    """The revision of a Deployment; from its selector, since that is what nobody can change."""
    labels = deployment["spec"].get("selector", {}).get("matchLabels", {})
    return str(labels.get(names.LABEL_REVISION) or deployment["metadata"]["name"])


def pod_revision(pod: Manifest) -> str:
    """The revision that a pod runs."""
    return str(pod["metadata"].get("labels", {}).get(names.LABEL_REVISION, ""))


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
    return any(condition["status"] == "True" for condition in _conditions(pod, "Ready"))


def _conditions(of: Manifest, kind: str) -> list[Manifest]:
    return [condition for condition in of.get("status", {}).get("conditions", ()) if condition["type"] == kind]


def _server_image(template: Manifest) -> str:
    containers = template["spec"]["containers"]
    return str(next((c.get("image", "") for c in containers if c["name"] == names.CONTAINER_SERVER), ""))


def _deadline_exceeded(deployment: Manifest) -> bool:
    # A verdict of an older generation speaks of another size.
    generation = deployment["metadata"].get("generation", 0)
    current = deployment.get("status", {}).get("observedGeneration", 0) >= generation
    verdicts = _conditions(deployment, "Progressing")
    return current and any(item.get("reason") == "ProgressDeadlineExceeded" for item in verdicts)


def _due(spec: Manifest, pods: Sequence[Manifest]) -> datetime | None:
    # The Deployment controller times only until a Deployment is complete for the first time: not when it grows
    # from zero, nor when a node is lost. So we time ourselves, from the last pod that came, became ready or failed.
    if all(map(is_ready, pods)):
        return None
    moments = [pod["metadata"].get("creationTimestamp") for pod in pods]
    moments += [item.get("lastTransitionTime") for pod in pods for item in _conditions(pod, "Ready")]
    last = max(filter(None, moments), default=None)
    return datetime.fromisoformat(last) + timedelta(seconds=spec.get("progressDeadlineSeconds", 600)) if last else None
