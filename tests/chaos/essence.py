"""What a MultimodalModel became: its children without what differs by nature, and what must be true of them."""

from typing import Any

from mmm_operator import names
from mmm_operator.kube.resources import WATCHED_CHILDREN
from mmm_operator.snapshot import Manifest, is_fetcher
from tests.chaos.world import World
from tests.integration.objects import is_ready

# Identity and time, what the API server and other controllers add, and what holds the owner's uid.
INCIDENTAL = frozenset(
    {
        *("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "namespace", "status"),
        *(
            "clusterIP",
            "clusterIPs",
            "volumeName",
            "deployment.kubernetes.io/revision",
            names.ANNOTATION_APPLIED,
            names.ANNOTATION_OWNER,
        ),
    }
)
KINDS = tuple(kind for kind in WATCHED_CHILDREN if kind != "Pod")

Children = dict[str, Manifest]


def essence(thing: Any) -> Any:
    """`thing` without what differs between two objects that are the same."""
    if isinstance(thing, dict):
        return {key: essence(value) for key, value in thing.items() if key not in INCIDENTAL}
    return [essence(item) for item in thing] if isinstance(thing, list) else thing


def children(world: World, mmm: Manifest) -> list[Manifest]:
    """Everything that a MultimodalModel controls."""
    namespace, uid = mmm["metadata"]["namespace"], mmm["metadata"]["uid"]
    found = [{"kind": kind, **item} for kind in KINDS for item in world.of(kind, namespace)]
    return [item for item in found if controller(item) == uid]


def controller(child: Manifest) -> str:
    """The uid of the owner that controls `child`; empty without one."""
    owners = child["metadata"].get("ownerReferences", [])
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def wanted_children(mmm: Manifest, found: list[Manifest]) -> Children:
    """The children that follow from the spec alone: no old revisions at 0, and no claim that is asked for no more."""
    return {f"{item['kind']} {item['metadata']['name']}": essence(item) for item in found if not _is_history(mmm, item)}


def _is_history(mmm: Manifest, child: Manifest) -> bool:
    if child["kind"] == "Deployment":
        return bool(child["spec"]["replicas"] == 0 and child["metadata"]["labels"][names.LABEL_REVISION] != target(mmm))
    # A claim holds data, so it is kept until the object goes; a Job is the record of what was fetched to it.
    unasked = child["kind"] == "PersistentVolumeClaim" and "claimTemplate" not in mmm["spec"].get("cache", {})
    return unasked or child["kind"] == "Job"


def target(mmm: Manifest) -> str:
    """The revision that the status names as the one to serve."""
    return str(mmm.get("status", {}).get("model", {}).get("target", {}).get("revision", ""))


def conditions(mmm: Manifest) -> dict[str, Manifest]:
    """The conditions by their type."""
    return {item["type"]: item for item in mmm.get("status", {}).get("conditions", [])}


def falsehoods(mmm: Manifest, found: list[Manifest], pods: list[Manifest]) -> list[str]:
    """What a status with Ready=True says or implies that is not so."""
    if conditions(mmm).get("Ready", {}).get("status") != "True":
        return []
    spec, status = mmm["spec"], mmm["status"]
    pods = [pod for pod in pods if not is_fetcher(pod)]
    wanted = 0 if spec.get("suspend") else spec["replicas"]
    scaled = "autoscaling" in spec and not spec.get("suspend")
    by_kind = {kind: [item for item in found if item["kind"] == kind] for kind in KINDS}
    deployments = {item["metadata"]["labels"][names.LABEL_REVISION]: item for item in by_kind["Deployment"]}
    goal = deployments.pop(target(mmm), {"spec": {"replicas": None}})
    ready = [pod for pod in pods if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]]
    claims = {
        "Ready speaks of this generation": _observed(mmm, "Ready") == mmm["metadata"]["generation"],
        "the target has the wanted size": goal["spec"]["replicas"] == wanted,
        "its pods are ready": goal.get("status", {}).get("readyReplicas", 0) == wanted,
        "no other revision runs": all(item["spec"]["replicas"] == 0 for item in deployments.values()),
        "only ready pods exist": len(ready) == len(pods) == wanted,
        "readyReplicas": status.get("readyReplicas") == wanted,
        "readySummary": status.get("readySummary") == f"{wanted}/{wanted}",
        "current is target": status["model"]["current"]["revision"] == target(mmm) if wanted else True,
        "there is a Service": len(by_kind["Service"]) >= 1,
        "an autoscaler is there when wanted": bool(by_kind["HorizontalPodAutoscaler"]) == scaled,
        "the selector is set": bool(status.get("selector")),
        # The revision that served last is kept besides, while nothing is wanted.
        "history is bounded": len(deployments) <= spec["revisionHistoryLimit"] + (wanted == 0),
        "every condition speaks of this generation": all(
            item["observedGeneration"] == mmm["metadata"]["generation"] for item in status["conditions"]
        ),
    }
    return [claim for claim, holds in claims.items() if not holds]


def _observed(mmm: Manifest, condition: str) -> int:
    return int(conditions(mmm)[condition].get("observedGeneration", 0))
