"""What else has to change with a field so that the spec as a whole can come true."""

import copy
from collections.abc import Sequence

from tests.chaos.generator.offer import TOOL, TRUST, VERSIONS
from tests.chaos.generator.rollout import fit_rollout
from tests.chaos.generator.schema import Spec

CPU_REQUEST = "100m"
OTHER_IMAGE = "registry.example/mmm-server:2"
WIDE = "10.0.0.0/8"
NAMES = ("prepare", "wait", "sidecar", "proxy")


def fit(spec: Spec, field: str) -> Spec:
    """`spec` with its other fields made to agree with `field`."""
    fitted = copy.deepcopy(spec)
    for rule in (
        _cache,
        _replicas,
        _resources,
        _accelerator,
        _policy,
        _digest,
        _trust,
        _arguments,
        _network,
        _pods,
        _awake,
        fit_rollout,
    ):
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
    _retained(cache, field)
    if cache.get("type", "EmptyDir") == "EmptyDir":
        cache.pop("claimName", None)
        cache.pop("claimTemplate", None)
    else:
        cache.pop("sizeLimit", None)
        if "claimTemplate" not in cache:
            cache.setdefault("claimName", "shared")


def _retained(cache: Spec, field: str) -> None:
    """What is retained on a claim of the operator's own, or not at all."""
    if field == "cache.retainVersions" and "retainVersions" in cache:
        cache |= {"type": "PersistentVolumeClaim", "claimTemplate": cache.get("claimTemplate", {"size": "1Gi"})}
        cache.pop("claimName", None)
    if "claimTemplate" not in cache or cache.get("type", "EmptyDir") == "EmptyDir":
        cache.pop("retainVersions", None)


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


def _policy(spec: Spec, field: str) -> None:
    # Either the version is named, or the newest one is followed.
    model = spec["model"]
    if field == "model.updatePolicy" and model.get("updatePolicy") == "Auto":
        model.pop("version", None)
    elif field == "model.version" and "version" not in model:
        model["updatePolicy"] = "Auto"
    elif "version" in model:
        model.pop("updatePolicy", None)
    elif model.get("updatePolicy") != "Auto":
        model["version"] = VERSIONS[0]
    if "version" not in model:
        model.pop("digest", None)


def _trust(spec: Spec, field: str) -> None:
    bundle = spec["storage"].get("caBundle")
    if bundle is None:
        return
    if field.startswith("storage.caBundle.") and len(bundle) > 1:
        bundle.pop("secretKeyRef" if ".configMapKeyRef" in field else "configMapKeyRef")
    for reference in bundle.values():
        if reference.get("name") not in TRUST:
            reference["name"] = TRUST[0]
    if not bundle:
        spec["storage"].pop("caBundle")


def _digest(spec: Spec, field: str) -> None:
    # A pin belongs to one version.
    if field in ("model.uri", "model.version"):
        spec["model"].pop("digest", None)


def _arguments(spec: Spec, field: str) -> None:
    # The operator's own server takes none.
    runtime = spec.get("runtime", {})
    if runtime.get("args") and "image" not in runtime:
        if field == "runtime.args":
            runtime["image"] = OTHER_IMAGE
        else:
            runtime.pop("args")


def _network(spec: Spec, field: str) -> None:
    for client in spec.get("networkPolicy", {}).get("clients", ()):
        if field.endswith((".cidr", ".except")):
            client.pop("namespaceSelector", None)
            client.pop("podSelector", None)
        elif field.startswith("networkPolicy.clients"):
            client.pop("ipBlock", None)
        if field.endswith(".cidr"):
            client["ipBlock"].pop("except", None)
        elif field.endswith(".except"):
            client["ipBlock"]["cidr"] = WIDE
    if field.startswith("networkPolicy.clients"):
        # What was taken away may have been all that an item said.
        spec["networkPolicy"]["clients"] = [client for client in spec["networkPolicy"]["clients"] if client]


def _pods(spec: Spec, field: str) -> None:
    pods = spec.get("podTemplate", {}).get("spec", {})
    for part, name in (("initContainers", "prepare"), ("containers", "sidecar")):
        for container in pods.get(part, ()):
            container.setdefault("image", TOOL)
            if container["name"] not in NAMES:
                container["name"] = name
    if pods.get("dnsPolicy") == "None" and "nameservers" not in pods.get("dnsConfig", {}):
        if field == "podTemplate.spec.dnsPolicy":
            pods["dnsConfig"] = {"nameservers": ["10.0.0.10"]}
        else:
            pods.pop("dnsPolicy")


def _awake(spec: Spec, field: str) -> None:
    # Who is told to stand still shows nothing of what is asked for next.
    if field != "suspend":
        spec.pop("suspend", None)
    if field != "rollout.paused":
        spec.get("rollout", {}).pop("paused", None)


def may_follow(before: Sequence[Spec], after: Spec) -> bool:
    """Whether nothing that stays in the namespace, once made, stands in the way of `after`."""
    kept = [template for spec in before if (template := _claim(spec))]
    return all(_kind_of_claim(template) == _kind_of_claim(_claim(after)) for template in kept if _claim(after))


def _claim(spec: Spec) -> Spec:
    found: Spec = spec.get("cache", {}).get("claimTemplate", {})
    return found


def _kind_of_claim(template: Spec) -> tuple[str | None, str]:
    return template.get("storageClassName"), template.get("accessMode", "ReadWriteMany")
