"""What else has to change with a field so that the spec as a whole can come true."""

import copy
from collections.abc import Sequence

from tests.chaos.generator.schema import Spec

CPU_REQUEST = "100m"


def fit(spec: Spec, field: str) -> Spec:
    """`spec` with its other fields made to agree with `field`."""
    fitted = copy.deepcopy(spec)
    for rule in (_cache, _replicas, _resources, _accelerator, _digest):
        rule(fitted, field)
    return fitted


def _cache(spec: Spec, field: str) -> None:
    cache = spec.get("cache")
    if cache is None or not field.startswith("cache"):
        return
    claims = {"cache.claimName": "claimTemplate", "cache.claimTemplate": "claimName"}
    for mine, other in claims.items():
        if field.startswith(mine):
            cache.pop(other, None)
            if mine.rpartition(".")[2] in cache:
                cache["type"] = "PersistentVolumeClaim"
            else:
                cache["type"] = "EmptyDir"
    if field == "cache.sizeLimit" and "sizeLimit" in cache:
        cache["type"] = "EmptyDir"
    if cache.get("type", "EmptyDir") == "EmptyDir":
        cache.pop("claimName", None)
        cache.pop("claimTemplate", None)
    else:
        cache.pop("sizeLimit", None)
        if "claimTemplate" not in cache:
            cache.setdefault("claimName", "shared")


def _replicas(spec: Spec, field: str) -> None:
    scaling = spec.get("autoscaling")
    if scaling is None:
        return
    low = scaling.get("minReplicas", 1)
    if field == "autoscaling.minReplicas":
        scaling["maxReplicas"] = max(low, scaling["maxReplicas"])
    else:
        scaling["minReplicas"] = low = min(low, scaling["maxReplicas"])
    # The autoscaler would bring them there, but only when it looks the next time.
    if spec.get("replicas", 1):
        spec["replicas"] = min(max(low, spec.get("replicas", 1)), scaling["maxReplicas"])


def _resources(spec: Spec, field: str) -> None:
    resources = spec.get("resources", {})
    requests, limits = resources.get("requests"), resources.get("limits")
    if requests and limits:
        # Requests are at most 1 CPU and limits at least 2.
        for name in requests.keys() & limits.keys() - {"cpu"}:
            requests[name] = limits[name]
    if "autoscaling" in spec and requests and "cpu" not in requests:
        requests["cpu"] = CPU_REQUEST


def _accelerator(spec: Spec, field: str) -> None:
    device = spec.get("accelerator", {}).get("resourceName", "nvidia.com/gpu") if "accelerator" in spec else None
    for part in spec.get("resources", {}).values():
        part.pop(device, None)


def _digest(spec: Spec, field: str) -> None:
    # A pin belongs to one version.
    if field in ("model.uri", "model.version"):
        spec["model"].pop("digest", None)


def may_follow(before: Sequence[Spec], after: Spec) -> bool:
    """Whether nothing that stays in the namespace, once made, stands in the way of `after`."""
    kept = [template for spec in before if (template := _claim(spec))]
    return all(_kind_of_claim(template) == _kind_of_claim(_claim(after)) for template in kept if _claim(after))


def _claim(spec: Spec) -> Spec:
    found: Spec = spec.get("cache", {}).get("claimTemplate", {})
    return found


def _kind_of_claim(template: Spec) -> tuple[str | None, str]:
    return template.get("storageClassName"), template.get("accessMode", "ReadWriteMany")
