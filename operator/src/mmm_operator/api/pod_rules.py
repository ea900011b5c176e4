"""What `spec.podTemplate.spec` may hold, as sentences about what it may not.

The API server knows no rule for what it does not know the type of, so the operator looks itself; what CEL can see is
refused there already, with the same words.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mmm_operator import names

MOST_BYTES = 64 * 1024
OUR_CONTAINERS = (names.CONTAINER_SERVER, names.CONTAINER_FETCHER)
OUR_VOLUMES = (names.VOLUME_MODELS, names.VOLUME_TMP, names.VOLUME_CA, names.VOLUME_ROLLOUT)
OUR_PORTS = (names.PORT_HTTP, names.PORT_OPERATIONS, names.PORT_FETCHER)
OUR_PATHS = ("/models", "/tmp", "/etc/multimodal", "/dev", "/proc", "/sys")

ALLOWED = (
    "affinity",
    "containers",
    "dnsConfig",
    "dnsPolicy",
    "hostAliases",
    "initContainers",
    "nodeSelector",
    "runtimeClassName",
    "schedulerName",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
)

_NODE = "a server shares nothing with its node: remove it"
REFUSED = {
    "hostNetwork": ("boolean", _NODE),
    "hostPID": ("boolean", _NODE),
    "hostIPC": ("boolean", _NODE),
    "serviceAccountName": ("string", "write spec.serviceAccountName instead"),
    "automountServiceAccountToken": ("boolean", "a server needs no token of Kubernetes: remove it"),
    "imagePullSecrets": ("array", "write spec.imagePullSecrets instead"),
    "priorityClassName": ("string", "write spec.priorityClassName instead"),
    "securityContext": ("object", "the operator keeps pods restricted: remove it"),
    "terminationGracePeriodSeconds": (
        "integer",
        "requests are finished within the operator's own MMM_OPERATOR_GRACE_SECONDS: remove it, and raise that",
    ),
    "restartPolicy": ("string", "a server is always started again: remove it"),
    "nodeName": ("string", "the scheduler chooses the node: use nodeSelector or affinity"),
}
"""Fields that the operator owns or never allows: their type, and what to do instead."""

SERVER_IS_OURS = "the operator builds server and model-fetcher: write only volumeMounts there, and the rest in the spec"
VOLUME_IS_OURS = "the volumes models, tmp and rollout belong to the operator: write another name"
NO_HOST_PATH = "a server shares nothing with its node: remove hostPath, and use another kind of volume"
NO_PRIVILEGES = "the operator keeps pods restricted: remove privileged"

# As the strictest Pod Security Standard wants them.
VOLUMES = ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret")

Check = Callable[[Mapping[str, Any], str], Iterator[str]]


def pod_mistakes(spec: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each thing that an overlay may not hold, with its path and what to do instead."""
    try:
        size = len(json.dumps(spec))
    except RecursionError:
        size = MOST_BYTES + 1
    if size > MOST_BYTES:
        yield f"it is larger than {MOST_BYTES // 1024} KiB or too deep: remove what is not needed"
        return
    for field in spec:
        if field not in ALLOWED:
            _, instead = REFUSED.get(field, ("", f"it is none of {', '.join(ALLOWED)}: remove it"))
            yield f"{field}: {instead}"
    for field, check in _CHECKS.items():
        yield from _each(spec.get(field, []), field, check)
    yield from _mounts_without_volume(spec)


def _each(items: Any, path: str, check: Check) -> Iterator[str]:
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        yield f"{path}: write a list of objects"
        return
    seen = set()
    for item in items:
        name = item.get("name")
        if not isinstance(name, str) or not name:
            yield f"{path}: every item needs a name"
            continue
        if name in seen:
            yield f"{path}[{name}]: is there twice: remove one"
        seen.add(name)
        yield from check(item, f"{path}[{name}]")


def _volume(volume: Mapping[str, Any], path: str) -> Iterator[str]:
    if volume["name"] in OUR_VOLUMES:
        yield f"{path}: {VOLUME_IS_OURS}"
    if "hostPath" in volume:
        yield f"{path}: {NO_HOST_PATH}"
    if others := sorted(set(volume) - {"name", "hostPath", *VOLUMES}):
        yield f"{path}: {', '.join(others)} is not restricted: use one of {', '.join(VOLUMES)}"
    sources = _objects(_object(volume.get("projected")).get("sources"))
    if any("serviceAccountToken" in source for source in sources):
        yield f"{path}: a server needs no token of Kubernetes: remove serviceAccountToken"


def _container(ours: str) -> Check:
    def check(container: Mapping[str, Any], path: str) -> Iterator[str]:
        yield from _each_mount(container, path)
        if container["name"] == ours:
            if set(container) - {"name", "volumeMounts"}:
                yield f"{path}: {SERVER_IS_OURS}"
            return
        if container["name"] in OUR_CONTAINERS:
            yield f"{path}: this name belongs to the operator: write another one"
        if not container.get("image"):
            yield f"{path}: write its image"
        yield from _ports(container, path)
        yield from _privileges(_object(container.get("securityContext")), f"{path}.securityContext")

    return check


def _each_mount(container: Mapping[str, Any], path: str) -> Iterator[str]:
    mounts = container.get("volumeMounts", [])
    if not isinstance(mounts, list) or not all(isinstance(mount, dict) for mount in mounts):
        yield f"{path}.volumeMounts: write a list of objects"
        return
    ours = container["name"] in OUR_CONTAINERS
    for mount in mounts:
        where = str(mount.get("mountPath", "")).rstrip("/") or "/"
        if not where.startswith("/") or ".." in where.split("/") or "//" in where:
            yield f"{path}.volumeMounts[{where}]: write an absolute path without '..' and '//'"
            continue
        if ours and (where == "/" or any(_within(where, taken) for taken in OUR_PATHS)):
            yield f"{path}.volumeMounts[{where}]: belongs to the operator or to Kubernetes: write another mountPath"
        if mount.get("name") == names.VOLUME_MODELS and (ours or not mount.get("readOnly")):
            yield f"{path}.volumeMounts[{where}]: only others may mount models: write readOnly: true there"
        if mount.get("name") == names.VOLUME_TMP:
            yield f"{path}.volumeMounts[{where}]: tmp belongs to the operator's containers: use a volume of your own"


def _within(path: str, taken: str) -> bool:
    return path == taken or path.startswith(f"{taken}/")


def _ports(container: Mapping[str, Any], path: str) -> Iterator[str]:
    for port in _objects(container.get("ports")):
        taken = (names.PORT_NAME_HTTP, names.PORT_NAME_OPERATIONS)
        if port.get("containerPort") in OUR_PORTS or port.get("name") in taken:
            yield f"{path}.ports: {', '.join(map(str, (*OUR_PORTS, *taken)))} belong to the server: use others"
        if "hostPort" in port or "hostIP" in port:
            yield f"{path}.ports: a server shares nothing with its node: remove hostPort and hostIP"


def _privileges(context: Mapping[str, Any], path: str) -> Iterator[str]:
    capabilities = _object(context.get("capabilities"))
    profile = _object(context.get("seccompProfile"))
    armor = _object(context.get("appArmorProfile"))
    wrong = {
        "privileged": bool(context.get("privileged")),
        "allowPrivilegeEscalation": bool(context.get("allowPrivilegeEscalation")),
        "runAsNonRoot": context.get("runAsNonRoot", True) is not True,
        "runAsUser": context.get("runAsUser", 1) == 0,
        "capabilities": set(map(str, _list(capabilities.get("add")))) > set()
        or ("drop" in capabilities and "ALL" not in _list(capabilities["drop"])),
        "seccompProfile": profile.get("type", "RuntimeDefault") not in ("RuntimeDefault", "Localhost"),
        "appArmorProfile": armor.get("type", "RuntimeDefault") not in ("RuntimeDefault", "Localhost"),
        "procMount": context.get("procMount", "Default") != "Default",
        "seLinuxOptions": "seLinuxOptions" in context,
        "windowsOptions": "windowsOptions" in context,
    }
    for field, is_wrong in wrong.items():
        if is_wrong:
            yield f"{path}.{field}: the operator keeps pods restricted: remove it"


def _mounts_without_volume(spec: Mapping[str, Any]) -> Iterator[str]:
    own = {volume.get("name") for volume in _objects(spec.get("volumes"))}
    for field in ("initContainers", "containers"):
        for container in _objects(spec.get(field)):
            for mount in _objects(container.get("volumeMounts")):
                if mount.get("name") not in (own | set(OUR_VOLUMES)):
                    yield f"{field}[{container.get('name')}].volumeMounts: add {mount.get('name')} to volumes"


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]


_CHECKS: dict[str, Check] = {
    "volumes": _volume,
    "containers": _container(names.CONTAINER_SERVER),
    "initContainers": _container(names.CONTAINER_FETCHER),
}
