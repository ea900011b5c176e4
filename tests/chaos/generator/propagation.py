"""Where each field of the spec shows in the children: the table that a new field must be entered into.

The table is written from what the API promises, not from what the builders do. A field that no child shows is entered
with the reason why not.
"""

from collections.abc import Iterator
from typing import Any

from mmm_operator import names
from mmm_operator.quantity import parse_quantity
from tests.chaos.generator.became import FETCHER, SERVER, TEMPLATE, Became, Shown, if_given, in_child, nowhere, step
from tests.chaos.generator.network import NETWORK_FIELDS
from tests.chaos.generator.offer import NEWEST
from tests.chaos.generator.pods import POD_FIELDS
from tests.chaos.generator.rollout import ROLLOUT_FIELDS


def in_env(container: str, name: str, absent: str | None = None) -> Shown:
    """The value as text, in the environment of a container."""

    def shown(became: Became, value: Any) -> tuple[Any, Any]:
        return became.env(container, name), absent if value is None else _text(value)

    return shown


def _quantization(became: Became, value: Any) -> tuple[Any, Any]:
    """In the environment only where it is asked for."""
    return became.env(SERVER, "MMM_QUANTIZATION"), None if value in (None, "None") else value


def secret_key(variable: str) -> Shown:
    """A key of the Secret, in a variable of the fetcher."""

    def shown(became: Became, value: Any) -> tuple[Any, Any]:
        secret = became.spec["storage"].get("credentialsSecretRef")
        wanted = {"name": secret["name"], "key": value} if secret and value else None
        return became.env(FETCHER, variable), wanted

    return shown


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _amount(value: Any) -> Any:
    return parse_quantity(value) if value is not None else None


def _claim(path: str) -> Shown:
    def shown(became: Became, value: Any) -> tuple[Any, Any]:
        if "claimTemplate" not in became.spec["cache"]:
            return None, None  # a claim that is wanted no more keeps its data
        found = became.at("PersistentVolumeClaim", path)
        return (_amount(found), _amount(value)) if path.endswith("storage") else (found, value)

    return shown


def _volume(became: Became, value: Any) -> tuple[Any, Any]:
    cache = became.spec["cache"]
    found = became.at("Deployment", f"{TEMPLATE}.volumes.models")
    if cache["type"] == "EmptyDir":
        return _amount(step(step(found, "emptyDir"), "sizeLimit")), _amount(cache.get("sizeLimit"))
    claim = cache.get("claimName") or f"{became.mmm['metadata']['name']}-models"
    return step(step(found, "persistentVolumeClaim"), "claimName"), claim


def _size_limit(became: Became, value: Any) -> tuple[Any, Any]:
    wanted = None if value is None else str(int(parse_quantity(value) or 0))
    return became.env(FETCHER, "MMM_MAX_MODEL_BYTES"), wanted


def _device_count(became: Became, value: Any) -> tuple[Any, Any]:
    accelerator = became.spec.get("accelerator")
    if accelerator is None:
        return became.env(SERVER, "MMM_DEVICE"), "cpu"
    name = accelerator["resourceName"].replace(".", "~")
    return became.at("Deployment", f"{SERVER}.resources.limits.{name}"), str(accelerator["count"])


def _toleration(became: Became, value: Any) -> tuple[Any, Any]:
    found = became.at("Deployment", f"{TEMPLATE}.tolerations") or []
    return value is None or value in [item.get("key") for item in found], True


def _must_accelerate(became: Became, value: Any) -> tuple[Any, Any]:
    return became.env(SERVER, "MMM_REQUIRE_ACCELERATOR"), "true" if value == "Fail" else "false"


def _all_env(became: Became, value: Any) -> tuple[Any, Any]:
    wanted = {item["name"]: item.get("value", "") for item in became.spec["runtime"].get("env", ())}
    return {name: became.env(SERVER, name) or "" for name in wanted}, wanted


def _amounts(part: str) -> Shown:
    def shown(became: Became, value: Any) -> tuple[Any, Any]:
        wanted = became.spec["resources"].get(part, {})
        found = became.at("Deployment", f"{SERVER}.resources.{part}") or {}
        return {name: _amount(found.get(name)) for name in wanted}, {name: _amount(v) for name, v in wanted.items()}

    return shown


def _replicas(became: Became, value: Any) -> tuple[Any, Any]:
    wanted = 0 if became.spec.get("suspend") else value
    return became.at("Deployment", "spec.replicas"), wanted


def _in_service(part: str) -> Shown:
    def shown(became: Became, value: Any) -> tuple[Any, Any]:
        wanted = became.spec["service"].get(part, {})
        found = became.at("Service", f"metadata.{part}") or {}
        strangers = [key for key in found if not _ours(key) and key not in wanted]
        return ({key: found.get(key) for key in wanted}, strangers), (wanted, [])

    return shown


def _ours(key: str) -> bool:
    return key.startswith(("app.kubernetes.io/", names.GROUP))


def _metrics(became: Became, value: Any) -> tuple[Any, Any]:
    wanted = [item["target"] for item in became.spec.get("autoscaling", {}).get("metrics", ())]
    if became.lacks("HorizontalPodAutoscaler"):
        return None, None
    found = became.at("HorizontalPodAutoscaler", "spec.metrics") or []
    return [item["resource"]["target"]["averageUtilization"] for item in found], wanted


def _pull_secrets(became: Became, value: Any) -> tuple[Any, Any]:
    wanted = [item["name"] for item in became.spec.get("imagePullSecrets", ())]
    return [item["name"] for item in became.at("Deployment", f"{TEMPLATE}.imagePullSecrets") or []], wanted


def _policies(direction: str) -> Shown:
    def shown(became: Became, value: Any) -> tuple[Any, Any]:
        wanted = became.spec.get("autoscaling", {}).get("behavior", {}).get(direction, {}).get("policies")
        if not wanted or became.lacks("HorizontalPodAutoscaler"):
            return None, None
        return became.at("HorizontalPodAutoscaler", f"spec.behavior.{direction}.policies"), wanted

    return shown


def _behavior() -> Iterator[tuple[str, Shown]]:
    for direction in ("scaleUp", "scaleDown"):
        for field in ("stabilizationWindowSeconds", "selectPolicy"):
            path = f"behavior.{direction}.{field}"
            yield f"autoscaling.{path}", if_given("HorizontalPodAutoscaler", f"spec.{path}")
        for field in ("type", "value", "periodSeconds"):
            yield f"autoscaling.behavior.{direction}.policies.[].{field}", _policies(direction)


def _arguments(became: Became, value: Any) -> tuple[Any, Any]:
    return became.at("Deployment", f"{SERVER}.args"), ["serve", *(value or ())]


def _pin(became: Became, value: Any) -> tuple[Any, Any]:
    shown = became.env(SERVER, "MMM_MODEL_DIGEST")
    return shown, shown if value is None else value


def _version(became: Became, value: Any) -> tuple[Any, Any]:
    return became.env(SERVER, "MMM_MODEL_VERSION"), value or NEWEST


def _policy(became: Became, value: Any) -> tuple[Any, Any]:
    shown = became.env(SERVER, "MMM_MODEL_VERSION")
    return shown, NEWEST if value == "Auto" else shown


def _trust(reference: str, field: str) -> Shown:
    """A name or key of the CA bundle, in the volume from which the fetcher has it."""
    source, name = ("configMap", "name") if reference == "configMapKeyRef" else ("secret", "secretName")
    path = f"{source}.{name}" if field == "name" else f"{source}.items.0.key"

    def shown(became: Became, value: Any) -> tuple[Any, Any]:
        wanted = became.spec["storage"].get("caBundle", {}).get(reference, {}).get(field)
        return became.at("Deployment", f"{TEMPLATE}.volumes.store-ca.{path}"), wanted

    return shown


def _service_name(became: Became, value: Any) -> tuple[Any, Any]:
    return became.env(SERVER, "MMM_MODEL_NAME"), value or became.mmm["metadata"]["name"]


def _image(became: Became, value: Any) -> tuple[Any, Any]:
    images = {became.at("Deployment", f"{container}.image") for container in (SERVER, FETCHER)}
    return (images, {value}) if value is not None else (len(images), 1)


def _pull_policy(became: Became, value: Any) -> tuple[Any, Any]:
    shown = became.at("Deployment", f"{SERVER}.imagePullPolicy")
    return shown, value or "IfNotPresent"


PROPAGATION: dict[str, Shown] = {
    "model.uri": in_env(FETCHER, "MMM_SOURCE_URI"),
    "model.version": _version,
    "model.updatePolicy": _policy,
    "model.digest": _pin,
    "model.pollIntervalSeconds": nowhere("it is how often the operator asks the repository"),
    "model.tasks": lambda became, value: (became.env(SERVER, "MMM_MODEL_TASKS"), ",".join(value or ()) or None),
    "model.servedName": _service_name,
    "storage.endpoint": in_env(FETCHER, "MMM_S3_ENDPOINT"),
    "storage.region": in_env(FETCHER, "MMM_S3_REGION"),
    "storage.addressingStyle": in_env(FETCHER, "MMM_S3_ADDRESSING_STYLE"),
    "storage.credentialsSecretRef.name": nowhere("the keys' entries compare it too"),
    "storage.credentialsSecretRef.accessKeyIDKey": secret_key("AWS_ACCESS_KEY_ID"),
    "storage.credentialsSecretRef.secretAccessKeyKey": secret_key("AWS_SECRET_ACCESS_KEY"),
    "storage.credentialsSecretRef.sessionTokenKey": secret_key("AWS_SESSION_TOKEN"),
    **{
        f"storage.caBundle.{reference}.{field}": _trust(reference, field)
        for reference in ("configMapKeyRef", "secretKeyRef")
        for field in ("name", "key")
    },
    "storage.insecureSkipTLSVerify": lambda became, value: (
        became.env(FETCHER, "MMM_S3_INSECURE_SKIP_TLS_VERIFY"),
        "true" if value else None,
    ),
    "cache.type": _volume,
    "cache.claimName": _volume,
    "cache.claimTemplate.size": _claim("spec.resources.requests.storage"),
    "cache.claimTemplate.storageClassName": _claim("spec.storageClassName"),
    "cache.claimTemplate.accessMode": _claim("spec.accessModes.0"),
    "cache.retainVersions": nowhere("a Job is told when it is made, and stays as it is"),
    "cache.sizeLimit": _size_limit,
    "accelerator.resourceName": _toleration,
    "accelerator.count": _device_count,
    "accelerator.fallback": _must_accelerate,
    "runtime.image": _image,
    "runtime.imagePullPolicy": _pull_policy,
    "runtime.dtype": in_env(SERVER, "MMM_DTYPE"),
    "runtime.quantization": _quantization,
    "runtime.maxBatchSize": in_env(SERVER, "MMM_MAX_BATCH_SIZE"),
    "runtime.maxQueueSeconds": in_env(SERVER, "MMM_MAX_QUEUE_SECONDS"),
    "runtime.env.[].name": _all_env,
    "runtime.env.[].value": _all_env,
    "runtime.args": _arguments,
    "resources.requests.*": _amounts("requests"),
    "resources.limits.*": _amounts("limits"),
    "replicas": _replicas,
    "suspend": nowhere("replicas compares it too"),
    "autoscaling.minReplicas": in_child("HorizontalPodAutoscaler", "spec.minReplicas"),
    "autoscaling.maxReplicas": in_child("HorizontalPodAutoscaler", "spec.maxReplicas"),
    "autoscaling.metrics.[].type": nowhere("there is one type, and its target is compared"),
    "autoscaling.metrics.[].target": _metrics,
    **dict(_behavior()),
    "rollout.paused": nowhere("it stops what is under way, and here nothing is"),
    # The API server leaves a zero out.
    "rollout.minReadySeconds": lambda became, value: (became.at("Deployment", "spec.minReadySeconds") or 0, value),
    "rollout.progressDeadlineSeconds": in_child("Deployment", "spec.progressDeadlineSeconds"),
    "service.port": in_child("Service", "spec.ports.http.port"),
    "service.annotations.*": _in_service("annotations"),
    "service.labels.*": _in_service("labels"),
    "serviceAccountName": in_child("Deployment", f"{TEMPLATE}.serviceAccountName"),
    "imagePullSecrets.[].name": _pull_secrets,
    "priorityClassName": in_child("Deployment", f"{TEMPLATE}.priorityClassName"),
    "revisionHistoryLimit": nowhere("it bounds how many old Deployments stay"),
    **ROLLOUT_FIELDS,
    **NETWORK_FIELDS,
    **POD_FIELDS,
}


def unshown(became: Became) -> Iterator[str]:
    """Every field whose child says something else than the spec."""
    for field, shown in PROPAGATION.items():
        value = _value(became.spec, field)
        found, wanted = shown(became, value)
        if found != wanted:
            yield f"{field} is {value!r}, but a child says {found!r} instead of {wanted!r}"


def _value(spec: Any, field: str) -> Any:
    for part in field.split("."):
        if part in ("[]", "*") or not isinstance(spec, dict):
            return None
        spec = spec.get(part)
    return spec
