"""What the API server makes of a manifest: defaults filled in, zero values left out, quantities rewritten.

Only as much of it as the operator's objects have; `tests/integration` compares with a real API server.
"""

import json
from typing import Any

from mmm_operator.quantity import parse_quantity
from mmm_operator.snapshot import Manifest

BORN = "2026-01-01T00:00:00Z"


def as_stored(manifest: Manifest, live: Manifest | None, born: str = BORN) -> Manifest:
    """`manifest` as a read returns it after it was applied over `live`."""
    stored: Manifest = json.loads(json.dumps(manifest))
    kind, meta = stored["kind"], stored["metadata"]
    if kind in _DEFAULTS:
        _DEFAULTS[kind](stored["spec"])
    content = "data" if kind == "ConfigMap" else "spec"
    new = {"uid": f"uid-{kind}-{meta['name']}", "generation": 0, "creationTimestamp": born}
    old: Manifest = live["metadata"] if live else new
    changed = live is None or live.get(content) != stored.get(content)
    stored["metadata"] = {
        **meta,
        "uid": old["uid"],
        "creationTimestamp": old["creationTimestamp"],
        "generation": old["generation"] + changed,
        "resourceVersion": "1",
    }
    stored["status"] = live.get("status", {}) if live else {}
    return stored


def canonical_quantity(text: str) -> str:
    """A quantity as the API server writes it back; only the forms that the tests use."""
    number = parse_quantity(text)
    assert number is not None, text
    if text.endswith("i"):
        for unit, factor in (("Gi", 1024**3), ("Mi", 1024**2), ("Ki", 1024)):
            if number % factor == 0:
                return f"{number // factor:f}{unit}"
    return f"{number:f}" if number == number.to_integral_value() else f"{(number * 1000).normalize():f}m"


def _default_deployment(spec: Manifest) -> None:
    _drop_zero(spec, "minReadySeconds")
    template = spec["template"]
    template["metadata"].setdefault("creationTimestamp", None)
    _default_pod(template["spec"])


def _default_job(spec: Manifest) -> None:
    template = spec["template"]
    # So that it can tell its own pods; the template stays as it is from now on.
    template["metadata"]["labels"] |= {"batch.kubernetes.io/controller-uid": "uid-of-the-job"}
    template["metadata"].setdefault("creationTimestamp", None)
    spec.update({"completionMode": "NonIndexed", "podReplacementPolicy": "TerminatingOrFailed"})
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": "uid-of-the-job"}}
    _default_pod(template["spec"])


def completed(job: Manifest) -> Manifest:
    """The Job after it has done its work."""
    return {**job, "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}}


def _default_pod(spec: Manifest) -> None:
    for key, value in {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
    }.items():
        spec.setdefault(key, value)
    if "serviceAccountName" in spec:
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        _default_container(container)
    for volume in spec["volumes"]:
        if volume.get("emptyDir", {}).get("sizeLimit"):
            volume["emptyDir"]["sizeLimit"] = canonical_quantity(volume["emptyDir"]["sizeLimit"])


def _default_container(container: Manifest) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    for variable in container.get("env", ()):
        _drop_zero(variable, "value")
    for amounts in container.setdefault("resources", {}).values():
        amounts.update({name: canonical_quantity(amount) for name, amount in amounts.items()})
    # A limit without a request is its own request.
    resources = container["resources"]
    resources["requests"] = {**resources.get("limits", {}), **resources.get("requests", {})}


def _default_service(spec: Manifest) -> None:
    spec.update(
        {
            "clusterIP": "10.0.0.7",
            "clusterIPs": ["10.0.0.7"],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
        }
    )


def _default_claim(spec: Manifest) -> None:
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("storageClassName", "standard")
    requests = spec["resources"]["requests"]
    requests["storage"] = canonical_quantity(requests["storage"])


_DEFAULTS: dict[str, Any] = {
    "Deployment": _default_deployment,
    "Job": _default_job,
    "Service": _default_service,
    "PersistentVolumeClaim": _default_claim,
}


def _drop_zero(of: Manifest, key: str) -> None:
    if not of.get(key, True):
        del of[key]
