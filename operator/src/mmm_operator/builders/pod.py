"""The pod: an init container that fetches and verifies the model, and the server."""

import posixpath
from collections.abc import Mapping

from mmm_operator import names
from mmm_operator.api.base import Quantity
from mmm_operator.api.storage import KeyRef, Storage
from mmm_operator.api.v1alpha1 import Accelerator, MultimodalModel
from mmm_operator.builders.ending import grace_seconds
from mmm_operator.builders.environment import (
    CA_FILE,
    ROLLOUT_DIR,
    build_fetcher_environment,
    build_literals,
    build_server_environment,
)
from mmm_operator.builders.models import build_model_mount, build_model_volume
from mmm_operator.builders.overlay import RESTRICTED, apply_overlay, place_as
from mmm_operator.builders.together import SharedVolume, bind_to_volume
from mmm_operator.quantity import parse_quantity
from mmm_operator.revision import Revision
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Manifest

USER = 65532
CA_DIRECTORY = posixpath.dirname(CA_FILE)
ROLLOUT_MOUNT = {"name": names.VOLUME_ROLLOUT, "mountPath": ROLLOUT_DIR, "readOnly": True}
# What has arrived stays for the next try, so there is nothing to finish.
FETCH_GRACE_SECONDS = 10
DEFAULT_REQUESTS = {"cpu": "500m", "memory": "1Gi"}


def build_pod_template(mmm: MultimodalModel, revision: Revision, settings: Settings, volume: SharedVolume) -> Manifest:
    """The pod template of one revision; allowed by the `restricted` Pod Security Standard."""
    name, overlay = mmm.metadata.name, mmm.spec.pod_template
    selector = names.revision_selector(name, revision.id)
    labels = {**names.child_labels(name), **selector, names.LABEL_VERSION: revision.version}
    template = {
        "metadata": {"labels": labels, "annotations": {names.ANNOTATION_DIGEST: revision.digest}},
        "spec": {
            **_build_pod_spec(mmm, revision),
            "terminationGracePeriodSeconds": grace_seconds(mmm.spec.runtime, settings),
            "initContainers": [_build_init_fetcher(mmm, revision, settings)],
            "containers": [_build_server(mmm, revision, settings)],
            "topologySpreadConstraints": [_build_spread(name, revision)],
        },
    }
    merged = apply_overlay(template, overlay, selector) if overlay else template
    return bind_to_volume(merged, volume)


def build_fetch_template(
    mmm: MultimodalModel, revision: Revision, settings: Settings, volume: SharedVolume
) -> Manifest:
    """The template of pods that only fetch: where a serving pod would run, and without a device."""
    name, overlay = mmm.metadata.name, mmm.spec.pod_template
    labels = {**names.fetch_labels(name), names.LABEL_VERSION: revision.version}
    retention = {"MMM_RETAIN_VERSIONS": str(volume.versions or ""), "MMM_KEEP_DIGESTS": ",".join(volume.keep)}
    fetcher = _build_fetcher(mmm, revision, settings)
    template = {
        "metadata": {"labels": labels, "annotations": {names.ANNOTATION_DIGEST: revision.digest}},
        "spec": {
            **_without_rollout(_build_pod_spec(mmm, revision)),
            "restartPolicy": "OnFailure",
            "terminationGracePeriodSeconds": FETCH_GRACE_SECONDS,
            "containers": [{**fetcher, "env": [*fetcher["env"], *build_literals(retention)]}],
        },
    }
    merged = place_as(template, overlay) if overlay else template
    return bind_to_volume(merged, volume)


def _build_pod_spec(mmm: MultimodalModel, revision: Revision) -> Manifest:
    spec = mmm.spec
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [
            build_model_volume(mmm, revision),
            {"name": names.VOLUME_TMP, "emptyDir": {}},
            _rollout_volume(mmm.metadata.name),
            *_ca_volumes(spec.storage),
        ],
    }
    optional = {
        "serviceAccountName": spec.service_account_name,
        "priorityClassName": spec.priority_class_name,
        "imagePullSecrets": [{"name": item.name} for item in spec.image_pull_secrets],
        "tolerations": _tolerations(spec.accelerator),
    }
    return {**pod, **{key: value for key, value in optional.items() if value}}


def _build_container(name: str, image: str, mmm: MultimodalModel, settings: Settings) -> Manifest:
    policy = mmm.spec.runtime.image_pull_policy
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": policy.value if policy else settings.image_pull_policy,
        "securityContext": dict(RESTRICTED),
        # The containers write {"reason", "message"}; a crash that could not leaves its last log lines.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _build_init_fetcher(mmm: MultimodalModel, revision: Revision, settings: Settings) -> Manifest:
    """The fetcher before the server; where versions are swapped it stays beside it, as a native side-car."""
    fetcher = _build_fetcher(mmm, revision, settings)
    if not revision.swaps:
        return fetcher
    return {
        **fetcher,
        "args": ["fetch", "--follow"],
        "restartPolicy": "Always",
        "startupProbe": _build_probe("/startupz", period=1, failures=3600, port=names.PORT_FETCHER),
        "volumeMounts": [*fetcher["volumeMounts"], ROLLOUT_MOUNT],
    }


def _without_rollout(pod: Manifest) -> Manifest:
    return {**pod, "volumes": [item for item in pod["volumes"] if item["name"] != names.VOLUME_ROLLOUT]}


def _rollout_volume(name: str) -> Manifest:
    """What running pods are told. It need not be there: mostly there is nothing to tell."""
    source = {"name": names.rollout_config_name(name), "optional": True}
    return {"name": names.VOLUME_ROLLOUT, "configMap": source}


def _build_fetcher(mmm: MultimodalModel, revision: Revision, settings: Settings) -> Manifest:
    storage = mmm.spec.storage
    return {
        **_build_container(names.CONTAINER_FETCHER, revision.image, mmm, settings),
        "args": ["fetch"],
        "env": build_fetcher_environment(mmm, revision),
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": [
            build_model_mount(mmm, revision, writes=True),
            {"name": names.VOLUME_TMP, "mountPath": "/tmp"},
            *({"name": item["name"], "mountPath": CA_DIRECTORY, "readOnly": True} for item in _ca_volumes(storage)),
        ],
    }


def _build_server(mmm: MultimodalModel, revision: Revision, settings: Settings) -> Manifest:
    return {
        **_build_container(names.CONTAINER_SERVER, revision.image, mmm, settings),
        "args": ["serve", *mmm.spec.runtime.args],
        "env": build_server_environment(mmm, revision, settings),
        "ports": [
            {"name": names.PORT_NAME_HTTP, "containerPort": names.PORT_HTTP, "protocol": "TCP"},
            {"name": names.PORT_NAME_OPERATIONS, "containerPort": names.PORT_OPERATIONS, "protocol": "TCP"},
        ],
        "resources": _build_resources(mmm),
        "volumeMounts": [
            build_model_mount(mmm, revision, writes=False),
            {"name": names.VOLUME_TMP, "mountPath": "/tmp"},
            ROLLOUT_MOUNT,
        ],
        # Large models load for long: the rollout's deadline, not this probe, decides when that is too long.
        "startupProbe": _build_probe("/startupz", period=1, failures=3600),
        "readinessProbe": _build_probe("/readyz", period=2, failures=2),
        "livenessProbe": _build_probe("/livez", period=10, failures=6),
    }


def _build_probe(path: str, period: int, failures: int, port: str | int = names.PORT_NAME_HTTP) -> Manifest:
    return {
        "httpGet": {"path": path, "port": port, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
        "successThreshold": 1,
    }


def _build_resources(mmm: MultimodalModel) -> Manifest:
    resources, accelerator = mmm.spec.resources, mmm.spec.accelerator
    devices = {accelerator.resource_name: str(accelerator.count)} if accelerator else {}
    requests = {**(resources.requests or _default_requests(resources.limits)), **devices}
    limits = {**resources.limits, **devices}
    built: Manifest = {"requests": {key: str(value) for key, value in requests.items()}}
    if limits:
        built["limits"] = {key: str(value) for key, value in limits.items()}
    return built


def _default_requests(limits: Mapping[str, Quantity]) -> dict[str, Quantity]:
    # A request above its limit is refused.
    return {name: _least(default, limits.get(name, default)) for name, default in DEFAULT_REQUESTS.items()}


def _least(one: Quantity, other: Quantity) -> Quantity:
    return min(one, other, key=lambda quantity: parse_quantity(quantity) or 0)


def _ca_volumes(storage: Storage) -> list[Manifest]:
    """The certificates as a file, which the kubelet keeps up to date."""
    if storage.ca_bundle is None:
        return []
    config_map, secret = storage.ca_bundle.config_map_key_ref, storage.ca_bundle.secret_key_ref
    if config_map is not None:
        source: Manifest = {"configMap": {"name": config_map.name, "items": _ca_item(config_map)}}
    elif secret is not None:
        source = {"secret": {"secretName": secret.name, "items": _ca_item(secret)}}
    else:
        return []
    return [{"name": names.VOLUME_CA, **source}]


def _ca_item(reference: KeyRef) -> list[Manifest]:
    return [{"key": reference.key, "path": posixpath.basename(CA_FILE)}]


def _tolerations(accelerator: Accelerator | None) -> list[Manifest]:
    if accelerator is None:
        return []
    # Device plug-ins' own habit: nodes are tainted with the name of the resource.
    return [{"key": accelerator.resource_name, "operator": "Exists", "effect": "NoSchedule"}]


def _build_spread(name: str, revision: Revision) -> Manifest:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": names.revision_selector(name, revision.id)},
    }
