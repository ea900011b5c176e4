"""Where the fields of `podTemplate` show: in the pods of the Deployment, beside what the operator puts there."""

from typing import Any

from tests.chaos.generator.became import TEMPLATE, Became, Shown, if_given, nowhere, step


def _in_metadata(part: str) -> Shown:
    def shown(became: Became, value: Any) -> tuple[Any, Any]:
        wanted = _overlay(became, "metadata").get(part, {})
        found = became.at("Deployment", f"spec.template.metadata.{part}") or {}
        return {key: found.get(key) for key in wanted}, wanted

    return shown


def _selector(became: Became, value: Any) -> tuple[Any, Any]:
    wanted = _overlay(became, "spec").get("nodeSelector") or None
    return became.at("Deployment", f"{TEMPLATE}.nodeSelector"), wanted


def _all_of(field: str) -> Shown:
    """Every item of a list, with all that the spec says of it, beside items that are not the user's."""

    def shown(became: Became, value: Any) -> tuple[Any, Any]:
        wanted = _overlay(became, "spec").get(field) or []
        found = became.at("Deployment", f"{TEMPLATE}.{field}") or []
        return [item for item in wanted if not any(_says(other, item) for other in found)], []

    return shown


def _says(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_says(found.get(key), value) for key, value in wanted.items())
    return bool(found == wanted)


def _overlay(became: Became, part: str) -> Any:
    return step(became.spec.get("podTemplate"), part) or {}


def _plainly(*fields: str) -> dict[str, Shown]:
    return {f"podTemplate.spec.{field}": if_given("Deployment", f"{TEMPLATE}.{field}") for field in fields}


def _never(*fields: str) -> dict[str, Shown]:
    return {f"podTemplate.spec.{field}": nowhere("the API server refuses it") for field in fields}


POD_FIELDS: dict[str, Shown] = {
    "podTemplate.metadata.labels.*": _in_metadata("labels"),
    "podTemplate.metadata.annotations.*": _in_metadata("annotations"),
    "podTemplate.spec.nodeSelector.*": _selector,
    "podTemplate.spec.tolerations": _all_of("tolerations"),
    "podTemplate.spec.topologySpreadConstraints": _all_of("topologySpreadConstraints"),
    "podTemplate.spec.volumes.[].name": _all_of("volumes"),
    "podTemplate.spec.initContainers.[].name": _all_of("initContainers"),
    "podTemplate.spec.initContainers.[].image": _all_of("initContainers"),
    "podTemplate.spec.containers.[].name": _all_of("containers"),
    "podTemplate.spec.containers.[].image": _all_of("containers"),
    **_plainly("affinity", "runtimeClassName", "schedulerName", "dnsPolicy", "dnsConfig", "hostAliases"),
    **_never("volumes.[].hostPath"),
    **_never("initContainers.[].securityContext.privileged", "containers.[].securityContext.privileged"),
    **_never("hostNetwork", "hostPID", "hostIPC", "serviceAccountName", "automountServiceAccountToken"),
    **_never("imagePullSecrets", "priorityClassName", "securityContext", "terminationGracePeriodSeconds"),
    **_never("restartPolicy", "nodeName"),
}
