"""The chart in a real cluster: it installs, grants what it says and no more, and leaves the CRD behind."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from dev.localcluster import LocalCluster
from dev.tools import tool
from mmm_operator import rbac
from tests.integration.objects import eventually

pytestmark = pytest.mark.integration

CHART = Path(__file__).resolve().parents[2] / "charts/multimodal-operator"
ACCOUNT = "system:serviceaccount:operators:mmm-multimodal-operator"
# The fixture of the cluster owns the CRD already.
WITHOUT_CRD = "--set=crds.install=false"

Helm = Callable[..., str]


@pytest.fixture(scope="module")
def helm(cluster: LocalCluster) -> Iterator[Helm]:
    """Runs Helm against the cluster; nothing that it installed is left afterwards."""

    def run(*arguments: str) -> str:
        command = [str(tool("helm")), *arguments, f"--kubeconfig={cluster.kubeconfig}", "--namespace=operators"]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    for namespace in ("operators", "team-a", "team-b"):
        cluster.kubectl("create", "namespace", namespace)
    yield run
    run("uninstall", "mmm", "--ignore-not-found")


def may(api: httpx.Client, grant: rbac.Grant, verb: str, namespace: str, user: str = ACCOUNT) -> bool:
    """Whether the API server lets `user` do it; an empty namespace means all of them."""
    resource, _, subresource = grant.resource.partition("/")
    attributes = {
        "group": grant.group,
        "resource": resource,
        "subresource": subresource,
        "verb": verb,
        "namespace": namespace,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    answer = api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", json=review)
    return bool(answer.raise_for_status().json()["status"]["allowed"])


def test_it_installs_and_its_notes_say_what_to_do_next(helm: Helm, cluster: LocalCluster) -> None:
    notes = helm("upgrade", "--install", "mmm", str(CHART), WITHOUT_CRD)
    assert "MultimodalModels in all namespaces" in notes
    assert "kubectl -n operators rollout status deployment/mmm-multimodal-operator" in notes
    assert "mmm-multimodal-operator" in cluster.kubectl("-n", "operators", "get", "deployment", "-o", "name")


def test_the_sample_of_the_notes_is_accepted(helm: Helm, cluster: LocalCluster) -> None:
    notes = helm("upgrade", "--install", "mmm", str(CHART), WITHOUT_CRD)
    sample = notes.split("<<'EOF'\n")[1].split("  EOF\n")[0]
    assert "dry run" in cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=sample)


def test_the_operator_may_do_what_the_table_says_everywhere_and_nothing_else(helm: Helm, api: httpx.Client) -> None:
    helm("upgrade", "--install", "mmm", str(CHART), WITHOUT_CRD)
    for grant in rbac.OPERATOR:
        for verb in grant.verbs:
            assert may(api, grant, verb, ""), (grant, verb)
        for verb in {"get", "list", "watch", "create", "update", "patch", "delete"} - set(grant.verbs):
            assert not may(api, grant, verb, "team-a"), (grant, verb)
    assert not may(api, rbac.Grant("", "pods/exec", {}), "create", "team-a")


def test_with_namespaces_it_may_do_nothing_outside_them(helm: Helm, api: httpx.Client) -> None:
    helm("upgrade", "--install", "mmm", str(CHART), WITHOUT_CRD, "--set=watchNamespaces={team-a}")
    # The API server hears of roles and bindings like anybody else: a moment later, the last one last.
    eventually(lambda: not may(api, rbac.OPERATOR[0], rbac.OPERATOR[0].verbs[0], "team-b"))
    for grant in rbac.OPERATOR:
        for verb in grant.verbs:
            assert may(api, grant, verb, "team-a"), (grant, verb)
            assert not may(api, grant, verb, "team-b"), (grant, verb)
            assert not may(api, grant, verb, ""), (grant, verb)


def test_a_viewer_sees_and_an_editor_changes(helm: Helm, cluster: LocalCluster, api: httpx.Client) -> None:
    helm("upgrade", "--install", "mmm", str(CHART), WITHOUT_CRD)
    model = rbac.EDIT[0]
    for role in ("view", "edit"):
        cluster.kubectl("-n", "team-a", "create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}er")
    # The controller manager adds up the roles a moment later.
    cluster.kubectl(
        "wait",
        "clusterrole/edit",
        "--timeout=30s",
        "--for=jsonpath={.rules[?(@.resources[0]=='multimodalmodels/scale')]}",
    )
    assert eventually(lambda: may(api, model, "list", "team-a", user="viewer"))
    assert eventually(lambda: may(api, model, "watch", "team-a", user="editer"))
    assert eventually(lambda: may(api, model, "create", "team-a", user="editer"))
    assert not may(api, model, "create", "team-a", user="viewer")
    assert not may(api, model, "create", "team-b", user="editer")
    assert not may(api, rbac.OPERATOR[1], "patch", "team-a", user="editer")


def test_the_crd_and_every_object_survive_an_uninstall(cluster: LocalCluster, helm: Helm) -> None:
    helm("uninstall", "mmm", "--ignore-not-found")
    helm("install", "mmm", str(CHART), "--take-ownership", "--force-conflicts")
    helm("uninstall", "mmm")
    assert "multimodalmodels" in cluster.kubectl("get", "crd", "-o", "name")
    assert cluster.kubectl("-n", "operators", "get", "deployment", "-o", "name") == ""
    helm("install", "mmm", str(CHART))
    helm("uninstall", "mmm")
    helm("install", "other", str(CHART), "--take-ownership")
    helm("uninstall", "other")
