# ruff: noqa: TID251 — the official client's models are the strictest check of manifests that there is
"""The children fit Kubernetes' own types, the strictest Pod Security Standard, and each other."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client.models.v1_deployment import V1Deployment
from kubernetes.client.models.v1_job import V1Job
from kubernetes.client.models.v1_network_policy import V1NetworkPolicy
from kubernetes.client.models.v1_persistent_volume_claim import V1PersistentVolumeClaim
from kubernetes.client.models.v1_pod_disruption_budget import V1PodDisruptionBudget
from kubernetes.client.models.v1_service import V1Service
from kubernetes.client.models.v2_horizontal_pod_autoscaler import V2HorizontalPodAutoscaler
from pydantic import BaseModel

from mmm_operator import names
from mmm_operator.quantity import parse_quantity
from mmm_operator.snapshot import Manifest
from tests.unit.operator.core.build import make_mmm
from tests.unit.operator.core.children import DRAFTS, children_of, container_of, environment_of, pod_of

KUBERNETES: dict[str, type[BaseModel]] = {
    "Deployment": V1Deployment,
    "HorizontalPodAutoscaler": V2HorizontalPodAutoscaler,
    "Job": V1Job,
    "NetworkPolicy": V1NetworkPolicy,
    "PersistentVolumeClaim": V1PersistentVolumeClaim,
    "PodDisruptionBudget": V1PodDisruptionBudget,
    "Service": V1Service,
}
EVERY_DRAFT = pytest.mark.parametrize("draft", DRAFTS.values(), ids=DRAFTS)
CLIP = make_mmm()


@EVERY_DRAFT
def test_every_child_fits_kubernetes_own_types(draft: Any) -> None:
    for kind, manifest in children_of(draft).items():
        parsed = KUBERNETES[kind].model_validate(manifest)
        assert parsed.model_dump(mode="json", by_alias=True, exclude_unset=True) == manifest


def test_every_kind_of_child_is_looked_at() -> None:
    assert set().union(*(children_of(draft) for draft in DRAFTS.values())) == KUBERNETES.keys()


# The Pod Security Standard `restricted`, as far as a pod of ours has the field at all.


@EVERY_DRAFT
def test_the_pod_is_allowed_where_pods_are_restricted(draft: Any) -> None:
    spec = pod_of(draft)["spec"]
    assert list(violations(spec)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("hostNetwork",), True),
        (("hostPID",), True),
        (("securityContext", "runAsNonRoot"), False),
        (("securityContext", "runAsUser"), 0),
        (("securityContext", "seccompProfile", "type"), "Unconfined"),
        (("containers", 0, "securityContext", "privileged"), True),
        (("containers", 0, "securityContext", "allowPrivilegeEscalation"), True),
        (("containers", 0, "securityContext", "capabilities", "drop"), []),
        (("initContainers", 0, "securityContext", "capabilities", "add"), ["SYS_ADMIN"]),
        (("containers", 0, "ports", 0, "hostPort"), 80),
        (("volumes", 0), {"name": "host", "hostPath": {"path": "/"}}),
    ],
    ids=str,
)
def test_these_checks_can_fail(path: tuple[str | int, ...], value: object) -> None:
    spec = inner = pod_of(CLIP)["spec"]
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert list(violations(spec)) != []


def violations(spec: Manifest) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field
    for volume in spec["volumes"]:
        allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"}
        # Image volumes are allowed since there are any; e2e/test_mounted.py runs them where pods are restricted.
        if not (volume.keys() - {"name"}) <= allowed | {"secret", "image"}:
            yield f"volume {volume}"
    for container in (*spec["initContainers"], *spec["containers"]):
        yield from _container_violations(container, spec["securityContext"])


def _container_violations(container: Manifest, pod_context: Manifest) -> Iterator[str]:
    context = {**pod_context, **container["securityContext"]}
    capabilities = context.get("capabilities", {})
    if context.get("privileged") or context.get("allowPrivilegeEscalation", True):
        yield "privileges"
    if "ALL" not in capabilities.get("drop", ()) or set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities"
    if not context.get("runAsNonRoot") or context.get("runAsUser") == 0:
        yield "root"
    if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "seccomp"
    if any("hostPort" in port for port in container.get("ports", ())):
        yield "hostPort"


@EVERY_DRAFT
def test_the_pod_is_more_careful_than_it_must_be(draft: Any) -> None:
    spec = pod_of(draft)["spec"]
    assert spec["automountServiceAccountToken"] is False
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        if container["name"] in (names.CONTAINER_SERVER, names.CONTAINER_FETCHER):
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
    assert all(mount.get("readOnly") for mount in _mounts(spec["containers"][0], "models"))


def _mounts(container: Manifest, volume: str) -> list[Manifest]:
    return [mount for mount in container["volumeMounts"] if mount["name"] == volume]


# The children fit each other.


@EVERY_DRAFT
def test_selectors_select_the_pods(draft: Any) -> None:
    children = children_of(draft)
    labels = pod_of(draft)["metadata"]["labels"]
    for kind, path in (("Service", ("selector",)), ("Deployment", ("selector", "matchLabels"))):
        selector = children[kind]["spec"]
        for key in path:
            selector = selector[key]
        assert selector.items() <= labels.items(), kind


@EVERY_DRAFT
def test_everything_that_is_mounted_exists(draft: Any) -> None:
    spec = pod_of(draft)["spec"]
    volumes = {volume["name"] for volume in spec["volumes"]}
    for container in (*spec["initContainers"], *spec["containers"]):
        assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes
    claims = [v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v]
    made = children_of(draft).get("PersistentVolumeClaim")
    assert claims == ([made["metadata"]["name"]] if made else [])


@EVERY_DRAFT
def test_every_child_dies_with_the_object_and_can_be_found(draft: Any) -> None:
    for child in children_of(draft).values():
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == (names.KIND, draft.name, True)
        assert names.child_labels(draft.name).items() <= child["metadata"]["labels"].items()


LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def test_the_longest_names_and_versions_still_fit() -> None:
    longest = make_mmm("m" * names.MAX_NAME_LENGTH).version("v" + "0" * 61 + "1").autoscaled(1, 2)
    cached = longest.having(cache={"type": "PersistentVolumeClaim", "claimTemplate": {"size": 1}})
    for child in children_of(cached).values():
        assert len(child["metadata"]["name"]) <= 63
        labels = {**child["metadata"]["labels"], **pod_of(cached)["metadata"]["labels"]}
        for key, value in labels.items():
            assert LABEL_VALUE.fullmatch(value), value
            assert LABEL_NAME.fullmatch(key.partition("/")[2]), key


# What the spec says reaches the pod.


def test_a_variable_of_the_user_replaces_ours() -> None:
    """A name that is there twice is refused by server-side apply, so the whole object would be."""
    draft = CLIP.having(runtime={"env": [{"name": "OMP_WAIT_POLICY", "value": "active"}]})
    assert environment_of(draft, names.CONTAINER_SERVER)["OMP_WAIT_POLICY"] == "active"


def test_only_the_fetcher_gets_the_credentials() -> None:
    draft = CLIP.having(storage={"credentialsSecretRef": {"name": "s3", "accessKeyIDKey": "id"}})
    fetcher = container_of(draft, names.CONTAINER_FETCHER)["env"]
    secrets = {item["name"]: item["valueFrom"]["secretKeyRef"] for item in fetcher if "valueFrom" in item}
    assert secrets == {
        "AWS_ACCESS_KEY_ID": {"name": "s3", "key": "id"},
        "AWS_SECRET_ACCESS_KEY": {"name": "s3", "key": "AWS_SECRET_ACCESS_KEY"},
    }
    assert "AWS" not in str(container_of(draft, names.CONTAINER_SERVER))


@pytest.mark.parametrize(
    ("asked", "requests"),
    [
        ({}, {"cpu": "500m", "memory": "1Gi"}),
        ({"requests": {"cpu": 2}}, {"cpu": "2"}),
        ({"limits": {"memory": "8Gi"}}, {"cpu": "500m", "memory": "1Gi"}),
        # A request above its limit is refused.
        ({"limits": {"memory": "512Mi", "cpu": "0.25"}}, {"cpu": "0.25", "memory": "512Mi"}),
    ],
    ids=str,
)
def test_requests_have_defaults_that_respect_the_limits(asked: Manifest, requests: Manifest) -> None:
    resources = container_of(CLIP.having(resources=asked), names.CONTAINER_SERVER)["resources"]
    assert resources["requests"] == requests
    for name, limit in resources.get("limits", {}).items():
        assert (parse_quantity(resources["requests"][name]) or 0) <= (parse_quantity(limit) or 0)


def test_an_accelerator_is_requested_limited_and_tolerated() -> None:
    draft = CLIP.having(accelerator={"resourceName": "amd.com/gpu", "count": 2})
    resources = container_of(draft, names.CONTAINER_SERVER)["resources"]
    assert resources["requests"]["amd.com/gpu"] == resources["limits"]["amd.com/gpu"] == "2"
    (toleration,) = pod_of(draft)["spec"]["tolerations"]
    assert toleration == {"key": "amd.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


def test_a_claim_of_the_user_is_mounted_and_not_made() -> None:
    draft = CLIP.having(cache={"type": "PersistentVolumeClaim", "claimName": "shared"})
    assert "PersistentVolumeClaim" not in children_of(draft)
    models = next(volume for volume in pod_of(draft)["spec"]["volumes"] if volume["name"] == "models")
    assert models["persistentVolumeClaim"] == {"claimName": "shared"}


@pytest.mark.parametrize(("type_", "limit"), [("RollingUpdate", "1.5Gi"), ("HotSwap", "4.5Gi")])
def test_the_cache_has_room_for_what_lies_in_it(type_: str, limit: str) -> None:
    """Each model may be as large as the limit, and where pods go over to other versions there are three of them."""
    draft = CLIP.having(cache={"sizeLimit": "1.5Gi"}, rollout={"type": type_})
    models = next(volume for volume in pod_of(draft)["spec"]["volumes"] if volume["name"] == "models")
    assert models["emptyDir"] == {"sizeLimit": limit}
    assert environment_of(draft, names.CONTAINER_FETCHER)["MMM_MAX_MODEL_BYTES"] == str(3 * 2**29)


@pytest.mark.parametrize(("fallback", "required"), [("Fail", "true"), ("CPU", "false")])
def test_whether_the_server_may_fall_back_to_the_cpu(fallback: str, required: str) -> None:
    environment = environment_of(CLIP.on_gpu(1, fallback), names.CONTAINER_SERVER)
    assert (environment["MMM_DEVICE"], environment["MMM_REQUIRE_ACCELERATOR"]) == ("auto", required)


def test_without_an_accelerator_the_server_looks_for_none() -> None:
    environment = environment_of(CLIP, names.CONTAINER_SERVER)
    assert (environment["MMM_DEVICE"], environment["MMM_REQUIRE_ACCELERATOR"]) == ("cpu", "false")


@pytest.mark.parametrize(
    ("draft", "budget"),
    [
        (CLIP, False),
        (CLIP.replicas(0), False),
        (CLIP.replicas(2), True),
        (CLIP.autoscaled(1, 4), True),
        (CLIP.replicas(3).autoscaled(1, 1), False),
    ],
    ids=["one", "none", "two", "up to four", "autoscaled to one"],
)
def test_a_budget_only_where_it_does_not_block_node_drains(draft: Any, budget: bool) -> None:
    assert ("PodDisruptionBudget" in children_of(draft)) is budget


def test_the_service_keeps_our_labels() -> None:
    draft = CLIP.having(service={"labels": {names.LABEL_MODEL: "theirs", "team": "vision"}})
    labels = children_of(draft)["Service"]["metadata"]["labels"]
    assert (labels[names.LABEL_MODEL], labels["team"]) == ("clip", "vision")


def test_arguments_of_the_user_follow_ours() -> None:
    draft = CLIP.having(runtime={"image": "registry/own:1", "args": ["--verbose"]})
    assert container_of(draft, names.CONTAINER_SERVER)["args"] == ["serve", "--verbose"]
    assert container_of(draft, names.CONTAINER_FETCHER)["args"] == ["fetch"]


def test_an_autoscaler_without_wishes_behaves_as_kubernetes_does() -> None:
    wishes: tuple[Manifest | None, ...] = (None, {}, {"scaleUp": {}}, {"scaleDown": {"policies": []}})
    for behavior in wishes:
        draft = CLIP.having(autoscaling={"maxReplicas": 2, "behavior": behavior})
        assert "behavior" not in children_of(draft)["HorizontalPodAutoscaler"]["spec"]


@pytest.mark.parametrize(
    ("storage", "ports"),
    [
        ({}, [443]),
        ({"endpoint": "http://minio.storage"}, [80]),
        ({"endpoint": "https://[::1]:9000"}, [9000]),
        ({"endpoint": "http://minio:port"}, [80]),
    ],
    ids=str,
)
def test_a_closed_network_lets_the_fetcher_reach_the_store(storage: Manifest, ports: list[int]) -> None:
    policy = children_of(CLIP.having(storage=storage, networkPolicy={}))["NetworkPolicy"]["spec"]
    dns, store = policy["egress"]
    assert [item["port"] for item in dns["ports"]] == [53, 53]
    assert [item["port"] for item in store["ports"]] == ports
    assert policy["ingress"][0]["from"] == [{"podSelector": {}}]


def test_a_closed_network_lets_old_pods_send_copies_to_a_canary() -> None:
    canary = {"type": "Canary", "canary": {"mirror": True, "steps": [{"weight": 20}]}}
    policy = children_of(CLIP.having(networkPolicy={}, rollout=canary))["NetworkPolicy"]["spec"]
    own = {"podSelector": {"matchLabels": {names.LABEL_MODEL: "clip"}}}
    assert own in policy["ingress"][0]["from"]
    assert {"to": [own], "ports": [{"protocol": "TCP", "port": names.PORT_HTTP}]} in policy["egress"]


@pytest.mark.parametrize(("type_", "ports"), [("RollingUpdate", [8081]), ("HotSwap", [8081, 8082])])
def test_a_closed_network_lets_the_operator_see_each_page(type_: str, ports: list[int]) -> None:
    policy = children_of(CLIP.having(networkPolicy={}, rollout={"type": type_}))["NetworkPolicy"]["spec"]
    assert [item["port"] for item in policy["ingress"][1]["ports"]] == ports
