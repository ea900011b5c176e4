"""Where the API server keeps each kind that the operator touches."""

from dataclasses import dataclass

from mmm_operator import names
from mmm_operator.snapshot import Ref


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object, as paths name it."""

    api_version: str
    plural: str

    @property
    def group(self) -> str:
        """The API group; empty for core."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version within the group."""
        return self.api_version.rpartition("/")[2]


RESOURCES = {
    names.KIND: Resource(names.API_VERSION, names.PLURAL),
    "Deployment": Resource("apps/v1", "deployments"),
    "Job": Resource("batch/v1", "jobs"),
    "Service": Resource("v1", "services"),
    "HorizontalPodAutoscaler": Resource("autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": Resource("policy/v1", "poddisruptionbudgets"),
    "PersistentVolumeClaim": Resource("v1", "persistentvolumeclaims"),
    "NetworkPolicy": Resource("networking.k8s.io/v1", "networkpolicies"),
    "Pod": Resource("v1", "pods"),
    "Secret": Resource("v1", "secrets"),
    "ConfigMap": Resource("v1", "configmaps"),
    "Event": Resource("events.k8s.io/v1", "events"),
    "Lease": Resource("coordination.k8s.io/v1", "leases"),
}

# The kinds that a MultimodalModel may own and whose changes are watched; pods are owned through ReplicaSets.
WATCHED_CHILDREN = (
    "Deployment",
    "Job",
    "Service",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Pod",
)

WATCHED = (names.KIND, *WATCHED_CHILDREN)


def selector(kind: str) -> str:
    """The label selector for what can be ours among the objects of a kind; empty for all of them."""
    return f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}" if kind in WATCHED_CHILDREN else ""


def ref(kind: str, namespace: str, name: str) -> Ref:
    """The reference to an object of one of the kinds above."""
    return Ref(RESOURCES[kind].api_version, kind, namespace, name)


def path(kind: str, namespace: str | None, name: str = "", subresource: str = "") -> str:
    """The path of a collection, an object or a subresource; namespace None means everywhere."""
    resource = RESOURCES[kind]
    prefix = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.api_version}"
    scope = "" if namespace is None else f"/namespaces/{namespace}"
    return prefix + scope + "".join(f"/{part}" for part in (resource.plural, name, subresource) if part)
