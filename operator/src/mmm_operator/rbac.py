"""What the operator and its users may do, each verb with its reason; the chart's roles are made from it.

No verb stands here that no code uses: a test lets a real API server say what was used, another takes away one verb
after the other and looks at what breaks. The operator reads Secrets and ConfigMaps by their names only: it can
neither list nor watch them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mmm_operator import names


@dataclass(frozen=True, slots=True)
class Grant:
    """What may be done with one resource, and what for: `because` has a sentence per verb.

    `named` confines it to the one object that bears the name of the operator's release.
    """

    group: str
    resource: str
    because: Mapping[str, str]
    named: bool = False

    @property
    def verbs(self) -> tuple[str, ...]:
        """The verbs, in the order in which they are explained."""
        return tuple(self.because)


# Watched kinds are read from memory: the API server is asked again only about a name that turns out to be taken.
_WATCHED = {"list": "what there is, at the start and after every gap", "watch": "what changes, at once"}
# Server-side apply is a patch; when the object is new, the API server asks for create as well.
_KEPT = {
    **_WATCHED,
    "get": "whose it is, when the name of a new one is taken",
    "patch": "make it so, and repair it",
}
_WANTED = {**_WATCHED, "watch": "what users change, at once"}


def _kept(group: str, resource: str, create: str, delete: str = "") -> Grant:
    removal = {"delete": delete} if delete else {}
    return Grant(group, resource, {**_KEPT, "create": create, **removal})


OPERATOR = (
    Grant(names.GROUP, names.PLURAL, _WANTED),
    Grant(names.GROUP, f"{names.PLURAL}/status", {"patch": "say what runs, and what is wrong"}),
    _kept("apps", "deployments", "one per revision", "those beyond revisionHistoryLimit"),
    _kept("", "services", "where applications reach the model", "a canary needs no address of its own any more"),
    _kept("autoscaling", "horizontalpodautoscalers", "spec.autoscaling", "it was taken out of the spec"),
    _kept("policy", "poddisruptionbudgets", "a drain must not take every pod", "over one pod it would block drains"),
    _kept("networking.k8s.io", "networkpolicies", "spec.networkPolicy", "it was taken out of the spec"),
    _kept("", "persistentvolumeclaims", "cache.claimTemplate"),
    _kept("batch", "jobs", "bring a digest to the cache claim", "another digest is wanted now"),
    Grant(
        "",
        "pods",
        {
            **_WATCHED,
            "watch": "who serves, and why another does not",
            "patch": "an annotation that makes the kubelet look at once into what HotSwap and mirror tell a pod",
        },
    ),
    Grant("", "secrets", {"get": "those that spec.storage names, to look into the repository"}),
    Grant(
        "",
        "configmaps",
        {
            "get": "the one of spec.storage.caBundle, to look into the repository; what HotSwap and mirror tell pods",
            "create": "what HotSwap and mirror tell running pods",
            "patch": "what HotSwap and mirror tell running pods",
        },
    ),
    Grant(
        "events.k8s.io",
        "events",
        {
            "list": "Kubernetes' warnings about one object, when nothing else says why there is no server",
            "create": "what happened, for kubectl describe",
        },
    ),
)
"""In the namespaces that the operator watches."""

LEASE = (
    Grant("coordination.k8s.io", "leases", {"create": "the first time"}),
    Grant(
        "coordination.k8s.io",
        "leases",
        {"get": "who works, the others stand by", "update": "take it, renew it, and give it back at the end"},
        named=True,
    ),
)
"""In the operator's own namespace, whatever it watches."""

VIEW = (
    Grant(names.GROUP, names.PLURAL, dict.fromkeys(("get", "list", "watch"), "what is served")),
    Grant(names.GROUP, f"{names.PLURAL}/status", {"get": "how it is"}),
)
"""Added to Kubernetes' own role `view`."""

_CHANGES = ("create", "update", "patch", "delete", "deletecollection")
EDIT = (
    Grant(names.GROUP, names.PLURAL, dict.fromkeys(_CHANGES, "what is served")),
    Grant(names.GROUP, f"{names.PLURAL}/scale", dict.fromkeys(("get", "update", "patch"), "kubectl scale")),
)
"""Added to Kubernetes' own roles `edit` and `admin`."""
