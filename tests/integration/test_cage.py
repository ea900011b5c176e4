"""The cage: whoever steals the operator's token can make what the operator makes, and nothing else.

Every rule is tried on a real API server with a token of the operator's rights, on the children that the operator made
itself: something that it lets pass, something that it denies, and ways around it. An operator lives in the same cage.
"""

import copy
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.generate.install import render_chart
from dev.localcluster import LocalCluster
from mmm_operator import names
from mmm_operator.kube.resources import RESOURCES, path
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import Bucket
from tests.integration.cage_rules import DIGEST, FETCHER, RULES, SERVER, TEAM, Change, Rule
from tests.integration.limited import EVERYTHING, LESS, OPTIONAL
from tests.integration.objects import MERGE, Objects, eventually
from tests.integration.operator_process import NAMESPACE, Audit, Operator, install_account

pytestmark = pytest.mark.integration

CAGED = "caged"
CAGED_USER = f"system:serviceaccount:{NAMESPACE}:{CAGED}"
APPLY = "application/apply-patch+yaml"
DRY_RUN = {"dryRun": "All"}
DENIAL = "validation.policy.admission.k8s.io/validation_failure"


@dataclass(frozen=True)
class Thief:
    """Somebody with the operator's token, and the children that the operator made."""

    api: httpx.Client
    namespace: str
    children: dict[str, Manifest]

    def create(self, manifest: Manifest) -> httpx.Response:
        return self.api.post(path(manifest["kind"], self.namespace), json=manifest, params=DRY_RUN)

    def apply(self, manifest: Manifest) -> httpx.Response:
        place = path(manifest["kind"], self.namespace, manifest["metadata"]["name"])
        query = {**DRY_RUN, "fieldManager": "thief", "force": "true"}
        return self.api.patch(place, content=json.dumps(manifest), params=query, headers={"Content-Type": APPLY})

    def delete(self, kind: str, name: str) -> httpx.Response:
        return self.api.delete(path(kind, self.namespace, name), params=DRY_RUN)

    def patch(self, kind: str, name: str, change: Any, how: str, sub: str = "") -> httpx.Response:
        place = path(kind, self.namespace, name, sub)
        return self.api.patch(place, content=json.dumps(change), params=DRY_RUN, headers={"Content-Type": how})

    def another(self, kind: str, change: Change) -> Manifest:
        """A child like the one that is there, changed, under a name of its own."""
        manifest = fresh(self.children[kind])
        for pointer, value in change.items():
            put(manifest, pointer, value)
        return manifest


def fresh(live: Manifest) -> Manifest:
    """The manifest of an object like this one."""
    made = copy.deepcopy(live)
    kept = {key: made["metadata"][key] for key in ("namespace", "labels", "ownerReferences")}
    made["metadata"] = {**kept, "name": f"{made['metadata']['name']}-x"}
    for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "volumeName"):
        made["spec"].pop(key, None)
    made.pop("status", None)
    if made["kind"] == "Job":  # how it knows its own pods, the API server writes itself
        made["spec"].pop("selector", None)
        labels = made["spec"]["template"]["metadata"]["labels"]
        generated = [label for label in labels if label.split("/")[-1] in ("controller-uid", "job-name")]
        for label in generated:
            del labels[label]
    return made


def put(manifest: Any, pointer: str, value: Any) -> None:
    """Sets what a JSON pointer leads to; objects on the way are made, a list grows by one."""
    *way, last = [part.replace("~1", "/") for part in pointer.split("/")[1:]]
    for part in way:
        manifest = manifest[int(part)] if isinstance(manifest, list) else manifest.setdefault(part, {})
    if isinstance(manifest, list):
        manifest[int(last) : int(last) + 1] = [value]
    else:
        manifest[last] = copy.deepcopy(value)


def policies(account: str, *values: str) -> str:
    """The cage of one account, as the chart renders it."""
    return render_chart(
        *("--show-only=templates/cage.yaml", "--set=cage.enabled=true", f"--set=fullnameOverride={account}"),
        *("--set=image.registry=registry.example", "--set=server.image.repository=mmm-server"),
        *values,
        namespace=NAMESPACE,
    )


@pytest.fixture(scope="module")
def caged(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of an account in a cage that is in force."""
    kubeconfig = install_account(cluster, tmp_path_factory.mktemp("caged"), CAGED)
    cage = policies(
        CAGED,
        "--set=cage.allowedImages={registry.example/team/}",
        "--set=cage.allowedServiceAccounts={trusted}",
    )
    cluster.kubectl("apply", "-f", "-", stdin=cage)
    with as_user(kubeconfig) as client:
        for manifest, denial in probes():
            eventually(lambda m=manifest, d=denial: d in Thief(client, "default", {}).create(m).text)  # type: ignore[misc]
    yield kubeconfig
    cluster.kubectl("delete", "--wait=false", "-f", "-", stdin=cage)


def probes() -> Iterator[tuple[Manifest, str]]:
    """For each policy something that it denies and the others would not."""
    labels = names.pod_selector("clip")
    metadata: Manifest = {"name": "clip", "namespace": "default", "labels": names.child_labels("clip")}
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata}
    yield {**budget, "spec": {"selector": {"matchLabels": labels}}}, "its controller must be"
    owner = {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": "clip", "uid": "u", "controller": True}
    owned = {**metadata, "ownerReferences": [owner]}
    yield {**budget, "metadata": owned, "spec": {"selector": {}}}, "must select"
    pod = {"hostNetwork": True, "containers": [{"name": "server", "image": TEAM}]}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": owned, "spec": spec}, "may share its node"


def as_user(kubeconfig: Path) -> httpx.Client:
    """The API server, spoken to with the token of a kubeconfig."""
    config = json.loads(kubeconfig.read_text())
    server = config["clusters"][0]["cluster"]
    headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
    context = ssl.create_default_context(cafile=server["certificate-authority"])
    return httpx.Client(base_url=server["server"], verify=context, timeout=30, headers=headers)


@pytest.fixture(scope="module")
def operator(caged: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator in the cage; at the end nothing in it may have gone wrong."""
    operator = Operator(caged, tmp_path_factory.mktemp("operator") / "operator.log")
    operator.start()
    try:
        operator.wait_until_ready()
        yield operator
    finally:
        code = operator.end()
    assert code == 0
    assert operator.complaints() == []


@pytest.fixture(scope="module")
def thief(
    caged: Path,
    operator: Operator,
    objects_of_module: Objects,
    bucket: Bucket,
    make_mmm: Callable[..., Manifest],
) -> Iterator[Thief]:
    """A thief in a namespace where a model serves with everything that it can have."""
    bucket.publish("cage", "1")
    objects = objects_of_module
    objects.create(make_mmm(model={"uri": "s3://models/cage"}, **EVERYTHING))
    eventually(lambda: objects.make_pods_ready() == 2)
    eventually(lambda: objects.condition("Ready")["status"] == "True")
    kinds = {rule.kind for rule in RULES.values()}
    children = {kind: children_of(objects, kind) for kind in kinds}
    with as_user(caged) as client:
        yield Thief(client, objects.namespace, children)


def children_of(objects: Objects, kind: str) -> Manifest:
    found = objects.list(kind, names.child_labels("clip"))[0]
    return {**found, "apiVersion": RESOURCES[kind].api_version, "kind": kind}


def cases(*sides: str) -> list[Any]:
    return [
        pytest.param(rule, change, id=f"{name}-{side}-{number}")
        for name, rule in RULES.items()
        for side in sides
        for number, change in enumerate(getattr(rule, side))
    ]


def test_every_rule_lets_something_pass_forbids_something_and_sees_through_something() -> None:
    assert [name for name, rule in RULES.items() if not (rule.allow and rule.deny and rule.bypass)] == []


def test_the_api_server_finds_no_fault_with_the_expressions(cluster: LocalCluster, caged: Path) -> None:
    def checked() -> list[Manifest]:
        found = json.loads(cluster.kubectl("get", "validatingadmissionpolicies", "-o", "json"))["items"]
        ours = [item["status"] for item in found if item["metadata"]["name"].startswith(f"{CAGED}.")]
        return ours if all("typeChecking" in status for status in ours) else []

    assert [status["typeChecking"] for status in eventually(checked)] == [{}] * 4


@pytest.mark.parametrize(("rule", "change"), cases("allow"))
def test_it_lets_pass(thief: Thief, rule: Rule, change: Change) -> None:
    answer = thief.create(thief.another(rule.kind, change))
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(("rule", "change"), cases("deny", "bypass"))
def test_it_denies(thief: Thief, rule: Rule, change: Change) -> None:
    made = thief.create(thief.another(rule.kind, change))
    assert (made.status_code, rule.says in made.json()["message"]) == (422, True), made.text
    applied = thief.apply(thief.another(rule.kind, change))
    assert (applied.status_code, rule.says in applied.json()["message"]) == (422, True), applied.text


@pytest.mark.parametrize(("rule", "change"), cases("deny", "bypass"))
def test_what_is_there_cannot_be_made_so_either(thief: Thief, rule: Rule, change: Change) -> None:
    changed = copy.deepcopy(thief.children[rule.kind])
    for pointer, value in change.items():
        put(changed, pointer, value)
    name = thief.children[rule.kind]["metadata"]["name"]
    for key in ("resourceVersion", "managedFields"):
        changed["metadata"].pop(key, None)
    merged = thief.patch(rule.kind, name, merge_of(thief.children[rule.kind], changed), MERGE)
    # What Kubernetes itself keeps immutable, it refuses in its own words.
    assert merged.status_code in (400, 404, 422), merged.text


def merge_of(before: Any, after: Any) -> Any:
    """The merge patch that turns one into the other."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return after
    changed = {key: merge_of(before.get(key), value) for key, value in after.items() if before.get(key) != value}
    return {**dict.fromkeys(before.keys() - after.keys()), **changed}


def test_a_part_of_an_object_is_judged_as_the_whole_that_it_becomes(thief: Thief) -> None:
    deployment = thief.children["Deployment"]
    identity = {key: deployment["metadata"][key] for key in ("name", "namespace")}
    part = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": identity}
    container = {"name": "server", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}
    for pod in ({"hostPID": True}, {"containers": [container]}):
        answer = thief.apply({**part, "spec": {"template": {"spec": pod}}})
        assert (answer.status_code, "denied request" in answer.text) == (422, True), answer.text
    assert thief.apply({**part, "spec": {"replicas": 1}}).status_code == 200


def test_what_belongs_to_no_model_is_neither_changed_nor_deleted(thief: Thief, objects_of_module: Objects) -> None:
    # Labels it has, so that nothing else is wrong with it.
    theirs = thief.another("Deployment", {"/metadata/name": "theirs", "/spec/replicas": 0})
    owners = theirs["metadata"].pop("ownerReferences")
    objects_of_module.create(theirs)
    for change in ({"spec": {"replicas": 9}}, {"metadata": {"ownerReferences": owners}}):
        answer = thief.patch("Deployment", "theirs", change, MERGE)
        assert "it belongs to no MultimodalModel" in answer.text, answer.text
    assert "it belongs to no MultimodalModel" in thief.delete("Deployment", "theirs").text
    assert thief.delete("Deployment", thief.children["Deployment"]["metadata"]["name"]).status_code == 200
    objects_of_module.delete("Deployment", "theirs")


def test_finalizers_stay_as_they_are(thief: Thief) -> None:
    claim = thief.children["PersistentVolumeClaim"]["metadata"]
    assert claim["finalizers"] == ["kubernetes.io/pvc-protection"]
    wishes: tuple[list[str] | None, ...] = ([], None)
    for finalizers in wishes:
        answer = thief.patch("PersistentVolumeClaim", claim["name"], {"metadata": {"finalizers": finalizers}}, MERGE)
        assert "removes no finalizers" in answer.text, answer.text


def test_a_child_cannot_be_given_to_another_model(thief: Thief) -> None:
    service = thief.children["Service"]["metadata"]
    owner = {**service["ownerReferences"][0], "uid": "another"}
    answer = thief.patch("Service", service["name"], {"metadata": {"ownerReferences": [owner]}}, MERGE)
    assert "it belongs to another MultimodalModel" in answer.text, answer.text


def test_roles_do_not_let_a_thief_reach_the_pods_behind_the_rules(thief: Thief) -> None:
    name = thief.children["Deployment"]["metadata"]["name"]
    for sub in ("scale", "status"):
        assert thief.patch("Deployment", name, {"spec": {"replicas": 9}}, MERGE, sub).status_code == 403


def test_not_even_an_account_with_all_rights_gets_out(
    thief: Thief, cluster: LocalCluster, objects_of_module: Objects
) -> None:
    subject = f"--serviceaccount={NAMESPACE}:{CAGED}"
    cluster.kubectl("create", "clusterrolebinding", "escape", "--clusterrole=cluster-admin", subject)
    try:
        eventually(lambda: thief.api.get("/api/v1/nodes").status_code == 200)
        for method, where, body in escapes(thief, objects_of_module):
            answer = thief.api.request(method, where, json=body, params=DRY_RUN)
            assert "the operator" in answer.text, (method, where, answer.text)
            assert answer.status_code == 422
    finally:
        cluster.kubectl("delete", "clusterrolebinding", "escape")


def escapes(thief: Thief, objects: Objects) -> Iterator[tuple[str, str, Manifest]]:
    """What would lead out of the cage for who may do everything."""
    core, here = "/api/v1/namespaces", thief.namespace
    pod = objects.list("Pod")[0]["metadata"]["name"]
    deployment = thief.children["Deployment"]["metadata"]["name"]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    metadata = {"metadata": {"name": "clip-x"}}
    # A pod that nothing else is wrong with: the namespace itself accepts only restricted ones.
    spec = thief.children["Deployment"]["spec"]["template"]["spec"]
    yield "POST", f"{core}/{here}/pods", {"apiVersion": "v1", "kind": "Pod", **metadata, "spec": spec}
    yield (
        "POST",
        f"{core}/{here}/pods/{pod}/eviction",
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}},
    )
    yield "DELETE", f"{core}/{here}/pods/{pod}", {}
    yield "POST", f"{core}/{here}/secrets", {"apiVersion": "v1", "kind": "Secret", **metadata}
    token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
    yield "POST", f"{core}/{here}/serviceaccounts/default/token", token
    yield "POST", f"{rbac}/clusterroles", {"kind": "ClusterRole", **metadata, "rules": []}
    scale = {"kind": "Scale", "metadata": {"name": deployment, "namespace": here}, "spec": {"replicas": 9}}
    yield (
        "PUT",
        f"/apis/apps/v1/namespaces/{here}/deployments/{deployment}/scale",
        {"apiVersion": "autoscaling/v1", **scale},
    )
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **metadata, "spec": {}}
    yield "POST", f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases", lease
    yield "DELETE", f"/apis/{names.API_VERSION}/namespaces/{here}/{names.PLURAL}/clip", {}


def test_images_can_be_confined_to_digests(thief: Thief, cluster: LocalCluster, tmp_path: Path) -> None:
    kubeconfig = install_account(cluster, tmp_path, "strict")
    cage = policies("strict", "--set=cage.requireDigest=true")
    cluster.kubectl("apply", "-f", "-", stdin=cage)
    by_digest = {f"{SERVER}/image": DIGEST, f"{FETCHER}/image": DIGEST}
    try:
        with as_user(kubeconfig) as client:
            strict = Thief(client, thief.namespace, thief.children)
            eventually(lambda: "by digest" in strict.create(strict.another("Deployment", {})).text)
            assert strict.create(strict.another("Deployment", by_digest)).status_code == 201
            short = {**by_digest, f"{FETCHER}/image": "registry.example/mmm-server@sha256:abc"}
            assert "by digest" in strict.create(strict.another("Deployment", short)).text
    finally:
        cluster.kubectl("delete", "--wait=false", "-f", "-", stdin=cage)


def test_an_operator_lives_in_it_as_it_does_outside(
    thief: Thief, operator: Operator, objects_of_module: Objects, bucket: Bucket, cluster: LocalCluster
) -> None:
    objects = objects_of_module
    bucket.publish("cage", "2")
    objects.patch(names.KIND, "clip", {"spec": {**LESS, "model": {"version": "2"}}})

    def rolled() -> bool:
        objects.make_pods_ready()
        gone = [objects.get(kind, "clip") for kind in OPTIONAL]
        return not any(gone) and set(versions(objects)) == {"2"} and objects.condition("Ready")["status"] == "True"

    eventually(rolled, 60)
    objects.patch(names.KIND, "clip", {"spec": {"replicas": 3}})
    eventually(lambda: versions(objects)["2"]["spec"]["replicas"] == 3)
    objects.patch("Service", "clip", {"metadata": {"ownerReferences": None, "labels": {names.LABEL_INSTANCE: "x"}}})
    eventually(lambda: objects.need("Service", "clip")["metadata"]["labels"][names.LABEL_INSTANCE] == "clip")
    assert objects.need("Service", "clip")["metadata"]["ownerReferences"]
    denials = [
        entry
        for entry in Audit(cluster.audit_log, (CAGED_USER,)).requests(namespace=thief.namespace)
        if DENIAL in entry.get("annotations", {})
    ]
    assert [entry["requestURI"] for entry in denials] == []


def versions(objects: Objects) -> dict[str, Manifest]:
    """The model's Deployments by version."""
    found = objects.list("Deployment", names.child_labels("clip"))
    return {item["metadata"]["labels"][names.LABEL_VERSION]: item for item in found}
