"""The chart, as the real Helm renders it."""

import functools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from dev.generate.install import render_chart
from dev.tools import tool
from mmm_operator import names, rbac
from mmm_operator.settings import Settings

CHART = Path(__file__).resolve().parents[2] / "charts/multimodal-operator"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())

NAMESPACED = ("--set=watchNamespaces={team-a,team-b}",)
EVERYTHING = (
    "--set=networkPolicy.enabled=true",
    "--set=networkPolicy.from[0].podSelector.matchLabels.app=prometheus",
    "--set=image.registry=registry.example:5000/team/",
    "--set=operator.image.tag=1.2.3",
    f"--set=server.image.digest=sha256:{'a' * 64}",
    "--set=imagePullSecrets[0].name=pull",
    "--set=operator.priorityClassName=system-cluster-critical",
    "--set=operator.podAnnotations.example\\.com/a=b",
    "--set=operator.podLabels.team=ml",
    "--set=operator.nodeSelector.kubernetes\\.io/arch=amd64",
    "--set=operator.tolerations[0].operator=Exists",
    "--set=operator.extraEnv[0].name=HTTPS_PROXY,operator.extraEnv[0].value=http://proxy:3128",
    "--set=operator.resyncSeconds=2000000",
    "--set=serviceAccount.annotations.example\\.com/role=operator",
    '--set-json=operator.affinity={"nodeAffinity":{}}',
)
STANDBY = ("--set=operator.replicas=2",)
CAGED = (
    "--set=cage.enabled=true",
    "--set=cage.allowedImages={registry.example/team/}",
    "--set=cage.requireDigest=true",
)
MODES = {
    "default": (),
    "namespaced": NAMESPACED,
    "standby": STANDBY,
    "caged": CAGED,
    "everything": (*EVERYTHING, *STANDBY, *CAGED),
}


@functools.cache
def render(*arguments: str) -> list[dict[str, Any]]:
    """The objects that the chart makes; every test with the same values gets the same ones."""
    return [document for document in yaml.safe_load_all(render_chart(*arguments, namespace="operators")) if document]


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [item for item in objects if item["kind"] == kind]


def deployment(*arguments: str) -> dict[str, Any]:
    (found,) = of_kind(render(*arguments), "Deployment")
    return found


def container(*arguments: str) -> dict[str, Any]:
    (found,) = deployment(*arguments)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(*arguments: str) -> dict[str, str]:
    """What the operator finds in its environment when it runs in the namespace `operators`."""
    return {item["name"]: value_of(item) for item in container(*arguments)["env"]}


def value_of(item: dict[str, Any]) -> str:
    if "value" in item:
        return str(item["value"])
    assert item["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    return "operators"


def refusal(*arguments: str) -> str:
    """What Helm says against the values; empty if it accepts them."""
    try:
        render(*arguments)
    except subprocess.CalledProcessError as error:
        return str(error.stderr)
    return ""


# --- Helm's own opinion ---


def test_helm_lints_it_without_a_warning() -> None:
    result = subprocess.run([tool("helm"), "lint", "--strict", CHART], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert "[WARNING]" not in result.stdout


@pytest.mark.parametrize("arguments", MODES.values(), ids=MODES)
def test_every_object_is_named_labelled_and_unique(arguments: tuple[str, ...]) -> None:
    objects = render(*arguments)
    keys = [(item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]) for item in objects]
    assert len(keys) == len(set(keys))
    for item in objects:
        if "helm.sh/hook" not in item["metadata"].get("annotations", {}):
            assert item["metadata"]["labels"]["app.kubernetes.io/part-of"] == "multimodal-operator", keys


# --- values ---


def test_the_default_values_fit_the_schema_which_is_valid_itself() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(VALUES)


def described(node: dict[str, Any], values: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every value of values.yaml with its schema."""
    node = {**SCHEMA["$defs"].get(node.get("$ref", "").removeprefix("#/$defs/"), {}), **node}
    yield path, node
    if isinstance(values, dict) and "properties" in node:
        for name, value in values.items():
            yield from described(node["properties"][name], value, f"{path}.{name}")


def test_every_value_is_described_and_no_object_is_open() -> None:
    for path, node in list(described(SCHEMA, VALUES))[1:]:
        assert node["description"].endswith("."), path
        assert "properties" not in node or node["additionalProperties"] is False, path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("replicas=2", "'replicas' not allowed"),
        ("operator.replicas=-1", "minimum: got -1, want 0"),
        ("cage.allowedImages={docker}", "does not match pattern"),
        ("cage.allowedImages={registry.example/a:tag}", "does not match pattern"),
        ("cage.allowedServiceAccounts={A}", "does not match pattern"),
        ("server.image.repo=x", "'repo' not allowed"),
        ("operator.workers=0", "minimum: got 0, want 1"),
        ("operator.workers=many", "got string, want integer"),
        ("operator.logLevel=info", "value must be one of 'DEBUG', 'INFO'"),
        ("image.pullPolicy=Sometimes", "value must be one of 'Always', 'IfNotPresent'"),
        ("operator.image.digest=latest", "does not match pattern"),
        ("watchNamespaces=team-a", "got string, want array"),
        ("watchNamespaces={Team}", "does not match pattern"),
        ("crds.install=perhaps", "got string, want boolean"),
        ("server.graceSeconds=1", "minimum: got 1, want 10"),
        ("operator.resources.claims={a}", "'claims' not allowed"),
    ],
)
def test_unknown_and_wrong_values_are_refused(arguments: str, message: str) -> None:
    assert message in refusal(f"--set={arguments}")


def test_it_may_be_a_part_of_another_chart() -> None:
    assert refusal("--set=global.imageRegistry=x") == ""


# --- the Deployment ---


def test_one_operator_runs_and_an_upgrade_starts_the_next_before_it_ends() -> None:
    spec = deployment()["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert of_kind(render(), "PodDisruptionBudget") == []


def test_a_standby_is_kept_apart_from_drains_and_from_the_other() -> None:
    spec = deployment(*STANDBY)["spec"]
    labels = spec["template"]["metadata"]["labels"].items()
    assert spec["replicas"] == 2
    (budget,) = of_kind(render(*STANDBY), "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels
    (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"].items() <= labels


def test_the_lease_is_the_one_that_the_role_names() -> None:
    variables = environment("--set=fullnameOverride=ours")
    (role,) = of_kind(render("--set=fullnameOverride=ours"), "Role")
    assert role["metadata"]["namespace"] == variables["MMM_OPERATOR_LEASE_NAMESPACE"]
    named = [rule for rule in role["rules"] if "resourceNames" in rule]
    assert [rule["resourceNames"] for rule in named] == [[variables["MMM_OPERATOR_LEASE_NAME"]]]


def test_the_token_ends_in_an_hour_and_is_in_one_container() -> None:
    pod = deployment()["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    (token,) = [volume["projected"]["sources"] for volume in pod["volumes"] if volume["name"] == "token"]
    assert token[0] == {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}
    (mount,) = [item for item in pod["containers"][0]["volumeMounts"] if item["name"] == "token"]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"


def test_every_setting_of_the_operator_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = environment(*NAMESPACED)
    assert set(variables) == {f"MMM_OPERATOR_{name.upper()}" for name in Settings.model_fields}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings().namespaces == ("team-a", "team-b")


def test_the_values_default_to_what_the_operator_defaults_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    own = {"server_image", "lease_namespace", "lease_name"}
    defaults = {name: field.default for name, field in Settings.model_fields.items() if name not in own}
    assert Settings().model_dump(exclude=own) == defaults


def test_large_numbers_are_not_written_as_floats() -> None:
    assert environment(*EVERYTHING)["MMM_OPERATOR_RESYNC_SECONDS"] == "2000000"


def test_images_are_named_by_registry_tag_and_digest() -> None:
    assert container()["image"] == "multimodal-operator/operator:0.1.0"
    assert container(*EVERYTHING)["image"] == "registry.example:5000/team/multimodal-operator/operator:1.2.3"
    server = environment(*EVERYTHING)["MMM_OPERATOR_SERVER_IMAGE"]
    assert server == f"registry.example:5000/team/multimodal-operator/server@sha256:{'a' * 64}"


def test_the_kubelet_asks_the_operator_how_it_is() -> None:
    operator = container("--set=operator.httpPort=9090")
    assert operator["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert operator["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert operator["ports"] == [{"name": "http", "containerPort": 9090}]
    assert operator["args"] == ["run"]


def pods(*arguments: str) -> list[dict[str, Any]]:
    objects = render(*arguments)
    tests = [item["spec"] for item in of_kind(objects, "Pod")]
    return [*tests, *(item["spec"]["template"]["spec"] for item in of_kind(objects, "Deployment"))]


@pytest.mark.parametrize("arguments", MODES.values(), ids=MODES)
def test_every_pod_meets_the_restricted_standard(arguments: tuple[str, ...]) -> None:
    assert len(pods(*arguments)) == 2
    for pod in pods(*arguments):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert all({"emptyDir", "projected"} & set(volume) for volume in pod.get("volumes", ()))
        for each in pod["containers"]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert each["resources"]["requests"]
            assert each["resources"]["limits"]["memory"]


def test_extra_settings_reach_the_pod() -> None:
    template = deployment(*EVERYTHING)["spec"]["template"]
    pod = template["spec"]
    assert template["metadata"]["annotations"] == {"example.com/a": "b"}
    assert template["metadata"]["labels"]["team"] == "ml"
    assert pod["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["affinity"] == {"nodeAffinity": {}}
    assert pod["priorityClassName"] == "system-cluster-critical"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert environment(*EVERYTHING)["HTTPS_PROXY"] == "http://proxy:3128"


def test_the_services_select_the_pod() -> None:
    objects = render(*EVERYTHING)
    labels = deployment(*EVERYTHING)["spec"]["template"]["metadata"]["labels"].items()
    (service,), (policy,) = of_kind(objects, "Service"), of_kind(objects, "NetworkPolicy")
    assert service["spec"]["selector"].items() <= labels
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert policy["spec"]["ingress"][0]["from"] == [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]


# --- roles ---


def all_rules(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule for kind in ("Role", "ClusterRole") for role in of_kind(objects, kind) for rule in role["rules"]]


@pytest.mark.parametrize("arguments", MODES.values(), ids=MODES)
def test_no_rule_has_a_wildcard_and_secrets_are_only_read_by_name(arguments: tuple[str, ...]) -> None:
    rules = all_rules(render(*arguments))
    assert rules
    for rule in rules:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        if "secrets" in rule["resources"]:
            assert rule["verbs"] == ["get"]


@pytest.mark.parametrize("arguments", MODES.values(), ids=MODES)
def test_the_operator_cannot_make_itself_stronger(arguments: tuple[str, ...]) -> None:
    verbs = {verb for rule in all_rules(render(*arguments)) for verb in rule["verbs"]}
    resources = {resource for rule in all_rules(render(*arguments)) for resource in rule["resources"]}
    assert not verbs & {"impersonate", "escalate", "bind"}
    assert not resources & {
        "roles",
        "rolebindings",
        "clusterroles",
        "clusterrolebindings",
        "serviceaccounts/token",
        "pods/exec",
    }


def test_the_rules_are_the_table() -> None:
    (role,) = [item for item in of_kind(render(), "ClusterRole") if item["metadata"]["name"] == "multimodal-operator"]
    (lease,) = of_kind(render(), "Role")
    for rendered, table in ((role, rbac.OPERATOR), (lease, rbac.LEASE)):
        found = [(rule["apiGroups"], rule["resources"], rule["verbs"]) for rule in rendered["rules"]]
        assert found == [([grant.group], [grant.resource], list(grant.verbs)) for grant in table]
        assert [rule.get("resourceNames") for rule in rendered["rules"]] == [
            ["multimodal-operator"] if grant.named else None for grant in table
        ]


@pytest.mark.parametrize("grant", [*rbac.OPERATOR, *rbac.LEASE], ids=lambda grant: grant.resource)
def test_every_verb_has_a_reason(grant: rbac.Grant) -> None:
    assert all(grant.because.values())


def test_with_namespaces_nothing_is_cluster_wide_but_the_crd() -> None:
    objects = render(*NAMESPACED)
    assert {item["kind"] for item in objects if "namespace" not in item["metadata"]} == {"CustomResourceDefinition"}
    roles, bindings = of_kind(objects, "Role"), of_kind(objects, "RoleBinding")
    assert [role["metadata"]["namespace"] for role in roles] == ["operators", "team-a", "team-b"]
    for role, binding in zip(roles, bindings, strict=True):
        assert binding["roleRef"] == {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": role["metadata"]["name"],
        }
        assert binding["metadata"]["namespace"] == role["metadata"]["namespace"]
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "multimodal-operator", "namespace": "operators"}
        ]


def test_the_binding_names_the_account_of_the_pod() -> None:
    arguments = ("--set=serviceAccount.create=false", "--set=serviceAccount.name=ours")
    objects = render(*arguments)
    assert of_kind(objects, "ServiceAccount") == []
    (binding,) = of_kind(objects, "ClusterRoleBinding")
    assert binding["subjects"][0]["name"] == "ours"
    assert deployment(*arguments)["spec"]["template"]["spec"]["serviceAccountName"] == "ours"


def test_kubernetes_own_roles_learn_about_multimodalmodels() -> None:
    roles = {item["metadata"]["name"]: item for item in of_kind(render(), "ClusterRole")}
    view, edit = roles["multimodal-operator-view"], roles["multimodal-operator-edit"]
    assert view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert len(of_kind(render("--set=rbac.userRoles=false"), "ClusterRole")) == 1
    assert all_rules(render("--set=rbac.create=false")) == []


# --- the CRD ---


def test_the_crd_survives_an_uninstall_unless_told_otherwise() -> None:
    (crd,) = of_kind(render(), "CustomResourceDefinition")
    assert crd["metadata"]["name"] == f"{names.PLURAL}.{names.GROUP}"
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    (crd,) = of_kind(render("--set=crds.keep=false"), "CustomResourceDefinition")
    assert "annotations" not in crd["metadata"]
    assert of_kind(render("--set=crds.install=false"), "CustomResourceDefinition") == []


def test_the_crd_is_the_one_for_kubectl() -> None:
    (crd,) = of_kind(render(), "CustomResourceDefinition")
    applied = yaml.safe_load((CHART.parents[1] / "crds/multimodalmodels.serving.multimodal.dev.yaml").read_text())
    assert crd["spec"] == applied["spec"]


def test_the_install_manifest_knows_nothing_of_helm() -> None:
    text = (CHART.parents[1] / "manifests/install.yaml").read_text()
    assert "helm" not in text.lower().replace("charts/multimodal-operator", "")
