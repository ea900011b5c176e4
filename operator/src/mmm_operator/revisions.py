"""The revisions as their Deployments and pods show them: what the rollout decides by."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from mmm_operator import names
from mmm_operator.quantity import parse_quantity
from mmm_operator.snapshot import (
    Manifest,
    conditions_of,
    has_ended,
    has_node,
    is_living,
    is_ready,
    pod_revision,
    revision_id,
)

INSUFFICIENT = re.compile(r"Insufficient ([\w./-]*\w)")
# What is lacking when the API server refuses pods because of a quota: any pod that goes gives some of it back.
QUOTA = "quota"


@dataclass(frozen=True, slots=True)
class Lack:
    """That a revision's pods find no room: since when, and of which resources there is too little."""

    since: datetime
    resources: frozenset[str]


@dataclass(frozen=True, slots=True)
class RevisionState:
    """One revision as its Deployment and its pods show it. All numbers are pods.

    `wanted` is the Deployment's spec. `ready` pods answer requests now, `available` ones have done so for
    `minReadySeconds`. `present` pods hold what they were given, those on their way out included. `default_image` means
    that the spec did not name the image. `due` is when the pods that are not ready should be; None if there are none.
    `stuck` means that this moment has passed. `restarts` is how often a pod that is not ready has died. `requests` is
    what one pod holds.
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
    present: int = 0
    restarts: int = 0
    lack: Lack | None = None
    requests: Mapping[str, Decimal] = field(default_factory=dict)


def parse_revision(
    deployment: Manifest, pods: Iterable[Manifest], now: datetime, progress_at: str | None = None
) -> RevisionState:
    """The revision that a Deployment of ours runs; `pods` are all pods of the MultimodalModel.

    `progress_at` is when it was seen to come further, beside what its pods show.
    """
    meta, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status", {})
    made = spec["template"].get("metadata", {})
    own = [pod for pod in pods if pod_revision(pod) == revision_id(deployment)]
    living = [pod for pod in own if is_living(pod)]
    # A Deployment's status lags behind its pods, and counts pods that it is about to take away.
    wanted = spec.get("replicas", 1)
    ready = min(wanted, sum(map(is_ready, living)))
    lack = _lack(deployment, living)
    due = _due(spec, living, lack, progress_at) if ready < wanted else None
    return RevisionState(
        revision=revision_id(deployment),
        version=made.get("labels", {}).get(names.LABEL_VERSION, ""),
        digest=made.get("annotations", {}).get(names.ANNOTATION_DIGEST, ""),
        image=_server_image(spec["template"]),
        default_image=meta.get("annotations", {}).get(names.ANNOTATION_IMAGE_FROM) != names.IMAGE_FROM_SPEC,
        created=meta.get("creationTimestamp", ""),
        wanted=wanted,
        existing=status.get("replicas", 0),
        ready=ready,
        available=min(ready, status.get("availableReplicas", 0)),
        due=due,
        stuck=ready < wanted and (_deadline_exceeded(deployment) if due is None else due <= now),
        present=sum(not has_ended(pod) for pod in own),
        restarts=restarts_of(own),
        lack=lack,
        requests=requests_of(spec["template"]),
    )


def requests_of(template: Manifest) -> Mapping[str, Decimal]:
    """What the scheduler sets aside for one pod of the template."""
    total: dict[str, Decimal] = {}
    for container in template["spec"]["containers"]:
        resources = container.get("resources") or {}
        amounts = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        for name, amount in amounts.items():
            total[name] = total.get(name, Decimal()) + (parse_quantity(amount) or 0)
    return total


def restarts_of(pods: Iterable[Manifest]) -> int:
    """How often a pod has died that is not ready, of those that stay: the most of them all."""
    return max((_restarts(pod) for pod in pods if is_living(pod) and not is_ready(pod)), default=0)


def _server_image(template: Manifest) -> str:
    containers = template["spec"]["containers"]
    return str(next((c.get("image", "") for c in containers if c["name"] == names.CONTAINER_SERVER), ""))


def _restarts(pod: Manifest) -> int:
    status = pod.get("status", {})
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return max((int(container.get("restartCount") or 0) for container in containers), default=0)


def _deadline_exceeded(deployment: Manifest) -> bool:
    # A verdict of an older generation speaks of another size.
    generation = deployment["metadata"].get("generation", 0)
    current = deployment.get("status", {}).get("observedGeneration", 0) >= generation
    verdicts = conditions_of(deployment, "Progressing")
    return current and any(item.get("reason") == "ProgressDeadlineExceeded" for item in verdicts)


def _due(spec: Manifest, pods: Sequence[Manifest], lack: Lack | None, progress_at: str | None) -> datetime | None:
    # The Deployment controller times only until a Deployment is complete for the first time: not when it grows
    # from zero, nor when a node is lost; and it takes neither a node nor bytes for progress. So we time ourselves,
    # from the last pod that became ready. One that has a node and stands still is late, however many come after it:
    # an autoscaler that adds and takes away others would keep it alive for ever.
    idle = [pod for pod in pods if not is_ready(pod)]
    if not idle and lack is None:
        return None
    begun = [moment for pod in idle if has_node(pod) and (moment := _last_moment(pod))]
    waiting = [moment for pod in idle if (moment := _last_moment(pod))]
    times = [min(begun)] if begun else [*waiting, *([lack.since] if lack else [])]
    times += [moment for pod in pods if is_ready(pod) and (moment := _last_moment(pod))]
    times += [datetime.fromisoformat(progress_at)] if progress_at else []
    return max(times) + timedelta(seconds=spec.get("progressDeadlineSeconds", 600)) if times else None


def _last_moment(pod: Manifest) -> datetime | None:
    """When a pod came, found a node, was initialised, became ready or failed: the last of these."""
    moments = [pod["metadata"].get("creationTimestamp")]
    for kind in ("Ready", "PodScheduled", "Initialized"):
        moments += [item.get("lastTransitionTime") for item in conditions_of(pod, kind)]
    return max((datetime.fromisoformat(moment) for moment in moments if moment), default=None)


def _lack(deployment: Manifest, pods: Sequence[Manifest]) -> Lack | None:
    refused = [item for item in conditions_of(deployment, "ReplicaFailure") if "exceeded quota" in _message(item)]
    found = [Lack(_moment(item, deployment), frozenset({QUOTA})) for item in refused]
    found += filter(None, map(_unplaced, pods))
    return min(found, key=lambda lack: lack.since, default=None)


def _unplaced(pod: Manifest) -> Lack | None:
    """What the scheduler says there is too little of; None for a pod that has a node, or lacks something else."""
    if has_node(pod):
        return None  # the scheduler's last refusal can outlive the moment at which the pod got a node
    for condition in conditions_of(pod, "PodScheduled"):
        lacking = frozenset(INSUFFICIENT.findall(_message(condition)))
        if condition["status"] == "False" and condition.get("reason") == "Unschedulable" and lacking:
            return Lack(_moment(condition, pod), lacking)
    return None


def _message(condition: Manifest) -> str:
    return str(condition.get("message") or "")


def _moment(condition: Manifest, of: Manifest) -> datetime:
    born = of["metadata"].get("creationTimestamp") or "1970-01-01T00:00:00Z"
    return datetime.fromisoformat(condition.get("lastTransitionTime") or born)
