"""What the operator and its users may do, one line per kind; the chart's roles are made from it.

No verb stands here that no code uses: a test lets a real API server refuse everything else. The
operator reads a Secret by its name only, and can neither list nor watch Secrets.
"""

from typing import NamedTuple

from mmm_operator import names


class Grant(NamedTuple):
    """Verbs for one resource, and what they are for."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    because: str


_SEE = ("get", "list", "watch")
# What there can be several of is listed, never fetched by name.
_LIST = ("list", "watch")
# Server-side apply is a patch; when the object is new, the API server asks for create as well.
_KEEP = (*_SEE, "create", "patch")
_OWN = (*_KEEP, "delete")

OPERATOR = (
    Grant(names.GROUP, names.PLURAL, _SEE, "what the users want"),
    Grant(names.GROUP, f"{names.PLURAL}/status", ("patch",), "what runs"),
    Grant("apps", "deployments", (*_LIST, "create", "patch", "delete"), "one per revision"),
    Grant("", "services", _KEEP, "where applications reach the model; never deleted by us"),
    Grant("autoscaling", "horizontalpodautoscalers", _OWN, "spec.autoscaling"),
    Grant("policy", "poddisruptionbudgets", _OWN, "node drains must not take the last pod"),
    Grant("", "persistentvolumeclaims", _KEEP, "cache.claimTemplate; never deleted by us"),
    Grant("", "pods", _LIST, "why a model does not serve"),
    Grant("", "secrets", ("get",), "the credentials of spec.storage"),
    Grant("events.k8s.io", "events", ("create",), "what happened, for kubectl describe"),
)
"""In the namespaces that the operator watches."""

VIEW = (Grant(names.GROUP, names.PLURAL, _SEE, ""), Grant(names.GROUP, f"{names.PLURAL}/status", ("get",), ""))
"""Added to Kubernetes' own role `view`."""

EDIT = (
    Grant(names.GROUP, names.PLURAL, ("create", "update", "patch", "delete", "deletecollection"), ""),
    Grant(names.GROUP, f"{names.PLURAL}/scale", ("get", "update", "patch"), "kubectl scale"),
)
"""Added to Kubernetes' own roles `edit` and `admin`."""
