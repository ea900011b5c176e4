"""What goes wrong with the pods reaches the MultimodalModel in one word and one sentence, and goes when it is over.

There is no node: the tests say of a pod what a kubelet would. What the scheduler, the controllers and the admission of
the API server say is theirs.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from mmm_operator import names
from mmm_operator.kube.resources import path
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import Bucket
from tests.integration.objects import DONE, STRATEGIC, Objects, eventually, limit
from tests.integration.operator_process import Audit, Operator

pytestmark = pytest.mark.integration

MakeMmm = Callable[..., Manifest]
MODEL = {"uri": "s3://models/status"}
SERVER, FETCHER = names.CONTAINER_SERVER, names.CONTAINER_FETCHER
GPU = "nvidia.com/gpu"
NOWHERE = "nowhere"
CANARY = "c4n4ry-in-the-coal-m1ne"
LONG_AGO = "2026-01-01T00:00:00Z"


@dataclass
class Patient:
    """One MultimodalModel and its pods, whose kubelet the test is."""

    objects: Objects
    name: str
    spec: Manifest = field(default_factory=dict)

    def pods(self) -> list[Manifest]:
        found = self.objects.list("Pod", names.pod_selector(self.name))
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def fetchers(self) -> list[Manifest]:
        """The pods that only fetch."""
        return self.objects.list("Pod", {names.LABEL_NAME: names.FETCH_APP_NAME, names.LABEL_MODEL: self.name})

    def fetches(self) -> None:
        """Those are done."""
        for pod in self.fetchers():
            self.objects.patch("Pod", pod["metadata"]["name"], DONE, "status", STRATEGIC)

    def pod(self) -> Manifest:
        """The newest pod, once there is one."""
        return eventually(lambda: max(self.pods(), key=lambda p: str(p["metadata"]["creationTimestamp"]), default=None))

    def bind(self) -> Manifest:
        """Give the pod a node, as the scheduler would if there were one."""
        pod = self.pod()
        meta = {"name": pod["metadata"]["name"]}
        target = {"apiVersion": "v1", "kind": "Node", "name": NOWHERE}
        where = f"/api/v1/namespaces/{self.objects.namespace}/pods/{meta['name']}/binding"
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": meta, "target": target}
        self.objects.api.post(where, json=binding).raise_for_status()
        return pod

    def comes_to(self, node: str) -> None:
        """Waits until the scheduler has given one of the pods this node."""

        def look() -> bool:
            pods = self.pods()
            found = [pod["spec"].get("nodeName") for pod in pods]
            assert node in found, json.dumps([pod["status"] for pod in pods])
            return True

        eventually(look)

    def show(self, status: Manifest) -> None:
        for pod in self.pods():
            self.objects.patch("Pod", pod["metadata"]["name"], {"status": status}, "status", STRATEGIC)

    def is_gone(self, pod: Manifest) -> None:
        """What a kubelet does last for a pod that is ending."""
        where = path("Pod", self.objects.namespace, pod["metadata"]["name"])
        self.objects.api.delete(where, params={"gracePeriodSeconds": 0}).raise_for_status()

    def told(self, pod: Manifest, reason: str, message: str, container: str = "") -> None:
        """An event, as the kubelet writes it."""
        about = {"kind": "Pod", "apiVersion": "v1", "namespace": self.objects.namespace}
        about |= {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        if container:
            about["fieldPath"] = f"spec.containers{{{container}}}"
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": "kubelet-", "namespace": self.objects.namespace},
            "involvedObject": about,
            "type": "Warning",
            "reason": reason,
            "message": message,
            "firstTimestamp": LONG_AGO,
            "lastTimestamp": LONG_AGO,
            "count": 7,
            "source": {"component": "kubelet", "host": NOWHERE},
        }
        where = f"/api/v1/namespaces/{self.objects.namespace}/events"
        self.objects.api.post(where, json=event).raise_for_status()

    def says(self, kind: str, status: str, reason: str, words: str = "", seconds: float = 60) -> None:
        """Waits until a condition says this."""

        def look() -> bool:
            found = self.objects.condition(kind, self.name)
            assert (found["status"], found["reason"]) == (status, reason), found
            assert words in found["message"], found
            return True

        eventually(look, seconds)

    def heals(self) -> None:
        """All pods become ready, and no word of the trouble stays."""

        def look() -> bool:
            self.show(SERVING)
            ready = self.objects.condition("Ready", self.name)
            assert (ready["status"], ready["reason"]) == ("True", "Ready"), ready
            return True

        eventually(look)
        conditions = self.objects.mmm(self.name)["status"]["conditions"]
        good = {"Stalled": "False", "Progressing": "False", "Degraded": "False"}
        assert {c["type"]: c["status"] for c in conditions} == {
            c["type"]: good.get(c["type"], "True") for c in conditions
        }

    def events(self) -> list[tuple[str, str]]:
        """Type and reason of what the operator told people, oldest first."""
        found = [e for e in self.objects.list("Event") if e["regarding"]["name"] == self.name]
        ours = [e for e in found if e["regarding"]["kind"] == names.KIND]
        return [(e["type"], e["reason"]) for e in sorted(ours, key=lambda e: str(e["eventTime"]))]


def container(name: str, state: Manifest, *, last: Manifest | None = None, **more: object) -> Manifest:
    """The status of one container."""
    fixed = {"name": name, "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    return {**fixed, "state": state, "lastState": last or {}, **more}


def server(state: Manifest, **more: object) -> Manifest:
    """The status of a pod of which only the server matters."""
    return {"phase": "Pending", "containerStatuses": [container(SERVER, state, **more)]}  # type: ignore[arg-type]


def condition(kind: str, status: str) -> Manifest:
    return {"type": kind, "status": status, "lastTransitionTime": LONG_AGO}


def exited(code: int, reason: str = "Error", message: str = "") -> Manifest:
    times = {"startedAt": LONG_AGO, "finishedAt": "2026-01-01T00:01:00Z"}
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, **times}}


LOOPING = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}
RUNNING = {"running": {"startedAt": LONG_AGO}}
SERVING = {
    "phase": "Running",
    "initContainerStatuses": [container(FETCHER, exited(0, "Completed"), ready=True)],
    "containerStatuses": [container(SERVER, RUNNING, ready=True, started=True)],
    "conditions": [condition(kind, "True") for kind in ("Initialized", "ContainersReady", "Ready")],
}
LAST_WORDS = json.dumps({"reason": "ModelLoadFailed", "message": "no such tensor", "token": CANARY})
KUBELET_SAYS: dict[str, tuple[Manifest, str, str]] = {
    "image": (server({"waiting": {"reason": "ImagePullBackOff", "message": "denied"}}), "ImagePullFailed", "denied"),
    "config": (
        server({"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "s3" not found'}}),
        "ContainerConfigError",
        'secret "s3" not found',
    ),
    "memory": (server(LOOPING, last=exited(137, "OOMKilled")), "OutOfMemory", "limits.memory"),
    "exit": (server(LOOPING, last=exited(1, message=f"key={CANARY}")), "ContainerFailed", "code 1"),
    "words": (server(LOOPING, last=exited(3, message=f"{CANARY}\n{LAST_WORDS}")), "ModelLoadFailed", "no such tensor"),
    "silent": (
        {**SERVING, "conditions": [condition("ContainersReady", "True"), condition("Ready", "False")]},
        "NodeLost",
        f"node {NOWHERE}",
    ),
}


@pytest.fixture(scope="module")
def admit(operator: Operator, objects_of_module: Objects, bucket: Bucket, make_mmm: MakeMmm) -> Callable[..., Patient]:
    """Creates a MultimodalModel with one pod, beside a Secret that nobody may ever see."""
    bucket.publish("status", "1")
    bucket.publish("status", "2")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "canary"}, "stringData": {"key": CANARY}}
    objects_of_module.create(secret)

    def create(name: str, **spec: object) -> Patient:
        objects_of_module.create(make_mmm(name=name, model=MODEL, **spec))
        return Patient(objects_of_module, name)

    return create


@pytest.fixture(scope="module", autouse=True)
def nowhere(api: httpx.Client) -> Iterator[None]:
    """A node on which nothing ever starts. It has to exist, else its pods are collected as orphans after a while."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NOWHERE}, "spec": {"unschedulable": True}}
    api.post("/api/v1/nodes", json=node).raise_for_status()
    yield
    api.delete(f"/api/v1/nodes/{NOWHERE}").raise_for_status()


@pytest.fixture(scope="module", autouse=True)
def silent(nowhere: None, admit: Callable[..., Patient]) -> dict[str, Patient]:
    """Models whose pods only events explain; made first, since events of young pods are not read."""
    found = {name: admit(name) for name in ("unmounted", "unsandboxed", "unhealthy")}
    for patient in found.values():
        patient.bind()
    pod = found["unmounted"].pod()
    found["unmounted"].told(pod, "FailedMount", 'MountVolume.SetUp failed for volume "models"')
    pod = found["unsandboxed"].pod()
    found["unsandboxed"].told(pod, "FailedCreatePodSandBox", f'no network for sandbox "{"a" * 64}": no address')
    found["unhealthy"].show(server(RUNNING, started=True))
    pod = found["unhealthy"].pod()
    found["unhealthy"].told(pod, "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", SERVER)
    return found


@pytest.mark.parametrize("name", KUBELET_SAYS)
def test_what_the_kubelet_says_is_the_reason_until_it_is_over(name: str, admit: Callable[..., Patient]) -> None:
    status, reason, words = KUBELET_SAYS[name]
    patient = admit(name)
    patient.bind()
    patient.show(status)
    patient.says("Ready", "False", reason, words)
    patient.heals()
    # Events are sent after the status that they tell of.
    eventually(lambda: ("Normal", "Ready") in patient.events())
    assert patient.events().count(("Warning", reason)) == 1


def test_an_evicted_pod_is_spoken_of_until_its_successor_serves(admit: Callable[..., Patient]) -> None:
    patient = admit("evicted")
    first = patient.bind()
    patient.show({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory"})
    patient.says("Ready", "False", "PodFailed", "low on resource: memory")
    eventually(lambda: len(patient.pods()) == 2)
    second = next(pod for pod in patient.pods() if pod["metadata"]["uid"] != first["metadata"]["uid"])
    patient.objects.delete("Pod", first["metadata"]["name"])
    assert patient.bind()["metadata"]["uid"] == second["metadata"]["uid"]
    patient.heals()


def test_a_crash_is_remembered_and_a_crash_loop_writes_nothing(
    admit: Callable[..., Patient], objects_of_module: Objects, audit: Audit
) -> None:
    patient = admit("crashing")
    patient.bind()
    patient.show(server(LOOPING, last=exited(9)))
    patient.says("Ready", "False", "ContainerFailed")
    (failure,) = objects_of_module.mmm("crashing")["status"]["lastFailures"]
    assert (failure["container"], failure["message"]) == (SERVER, "exits with code 9")
    since = audit.now()
    for state in (RUNNING, LOOPING, RUNNING, LOOPING):
        patient.show(server(state, last=exited(9), restartCount=5))
    patient.show(SERVING)
    patient.says("Ready", "True", "Ready")
    writes = [write for write in audit.writes(since, objects_of_module.namespace) if write.endswith("/status crashing")]
    assert len(writes) <= 2, "not one for each turn of the loop"
    assert objects_of_module.mmm("crashing")["status"]["lastFailures"] == [failure]


# What controllers, scheduler and admission say


def test_without_a_node_the_scheduler_speaks(admit: Callable[..., Patient]) -> None:
    patient = admit("homeless")
    patient.says("Ready", "False", "Unschedulable", "nodes")
    patient.says("CapacityAvailable", "False", "Unschedulable")
    patient.bind()
    patient.heals()


@pytest.mark.parametrize(
    ("kind", "spec", "reason"),
    [
        ("ResourceQuota", {"hard": {"pods": "0"}}, "QuotaExceeded"),
        ("LimitRange", {"limits": [{"type": "Container", "max": {"cpu": "1m"}}]}, "PodsRefused"),
    ],
)
def test_pods_that_the_api_server_refuses(
    kind: str, spec: Manifest, reason: str, objects: Objects, make_mmm: MakeMmm
) -> None:
    where = limit(objects, kind, "tight", spec)
    objects.create(make_mmm(model=MODEL))
    patient = Patient(objects, "clip")
    patient.says("Ready", "False", reason)
    objects.api.delete(where).raise_for_status()
    # The ReplicaSet controller tries again later and later: a touch makes it try now.

    def made() -> bool:
        touch_replica_set(objects)
        return bool(patient.pods())

    eventually(made)
    patient.bind()
    patient.heals()


def touch_replica_set(objects: Objects) -> None:
    where = f"/apis/apps/v1/namespaces/{objects.namespace}/replicasets"
    for item in objects.api.get(where).json()["items"]:
        change = {"metadata": {"annotations": {"touched": item["metadata"]["resourceVersion"]}}}
        headers = {"Content-Type": "application/merge-patch+json"}
        objects.api.patch(f"{where}/{item['metadata']['name']}", json=change, headers=headers)


@pytest.fixture
def node(api: httpx.Client, request: pytest.FixtureRequest) -> Iterator[str]:
    """A node with one accelerator, on which nothing else may run and on which nothing ever starts."""
    name = request.function.__name__.replace("_", "-")
    where = f"/api/v1/nodes/{name}"
    spec = {"taints": [{"key": GPU, "effect": "NoSchedule"}]}
    amounts = {"cpu": "64", "memory": "256Gi", "pods": "10", GPU: "1"}
    metadata = {"name": name, "labels": {"only": name}}
    painted = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec}
    api.post("/api/v1/nodes", json=painted).raise_for_status()
    status = {"capacity": amounts, "allocatable": amounts, "conditions": [condition("Ready", "True")]}
    api.patch(f"{where}/status", json={"status": status}, headers={"Content-Type": STRATEGIC}).raise_for_status()
    yield name
    api.delete(where).raise_for_status()


def on(node: str) -> Manifest:
    """What keeps the pods of a model on this node, and off those of other tests."""
    return {"accelerator": {"count": 1}, "podTemplate": {"spec": {"nodeSelector": {"only": node}}}}


def test_an_accelerator_that_another_pod_holds(node: str, admit: Callable[..., Patient]) -> None:
    patient = admit("scarce", **on(node))
    patient.comes_to(node)
    patient.heals()
    first = patient.pod()
    patient.objects.patch(names.KIND, "scarce", {"spec": {"model": {"version": "2"}}})
    patient.says("Ready", "False", "InsufficientAccelerator", GPU)
    patient.says("Available", "True", "Serving")
    patient.objects.delete("Pod", first["metadata"]["name"])
    patient.says("Ready", "False", "WaitingForOldPodTermination", first["metadata"]["name"])
    patient.is_gone(first)
    patient.comes_to(node)


def test_a_claim_without_a_volume(node: str, admit: Callable[..., Patient], api: httpx.Client) -> None:
    cache = {"type": "PersistentVolumeClaim", "claimTemplate": {"size": "1Gi"}}
    patient = admit("thirsty", cache=cache, **on(node))
    patient.says("Ready", "False", "WaitingForVolume")
    patient.says("ModelCached", "False", "WaitingForVolume")
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "painted"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "hostPath": {"path": "/nowhere"},
            "claimRef": {"namespace": patient.objects.namespace, "name": names.claim_name("thirsty")},
        },
    }
    api.post("/api/v1/persistentvolumes", json=volume).raise_for_status()
    patient.says("ModelCached", "False", "Downloading")
    patient.says("CapacityAvailable", "True", "Scheduled")
    assert patient.pods() == [], "nothing serves before the model is there"
    patient.fetches()
    patient.comes_to(node)
    patient.heals()
    patient.says("ModelCached", "True", "Cached")
    for pod in patient.pods():
        patient.is_gone(pod)


def test_what_a_fetcher_says_is_told_before_anything_serves(node: str, admit: Callable[..., Patient]) -> None:
    patient = admit("hungry", cache={"type": "PersistentVolumeClaim", "claimName": "nowhere"}, **on(node))
    patient.says("Ready", "False", "VolumeFailed", "nowhere")
    (pod,) = patient.fetchers()
    words = '{"reason": "NoSpace", "message": "The volume is full."}'
    failed = {"phase": "Running", "containerStatuses": [container(FETCHER, LOOPING, last=exited(1, message=words))]}
    scheduled = {"conditions": [condition("PodScheduled", "True")]}
    patient.objects.patch("Pod", pod["metadata"]["name"], {"status": failed | scheduled}, "status", STRATEGIC)
    patient.says("Ready", "False", "NoSpace", "The volume is full.")
    patient.says("ModelCached", "False", "NoSpace")
    patient.fetches()
    patient.says("ModelCached", "True", "Cached")
    assert patient.objects.mmm("hungry")["status"]["lastFailures"][0]["reason"] == "NoSpace"


# What only events tell


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("unmounted", "VolumeFailed", "MountVolume.SetUp failed"),
        ("unsandboxed", "SandboxFailed", "no network for sandbox: no address"),
        ("unhealthy", "ProbeFailed", "statuscode: 503"),
    ],
)
def test_what_only_events_tell_is_found_and_forgotten(
    name: str, reason: str, words: str, silent: dict[str, Patient]
) -> None:
    patient = silent[name]
    patient.says("Ready", "False", reason, words)
    patient.heals()
    assert patient.events().count(("Warning", reason)) == 1


def test_no_secret_is_told_to_anybody(
    objects_of_module: Objects, operator: Operator, bucket: Bucket, admit: Callable[..., Patient]
) -> None:
    patient = admit("leaking")
    patient.bind()
    patient.show(server(LOOPING, last=exited(3, message=f"{CANARY}\n{LAST_WORDS}")))
    patient.says("Ready", "False", "ModelLoadFailed")
    ours = [event for event in objects_of_module.list("Event") if event["regarding"]["kind"] == names.KIND]
    said = {
        "status": json.dumps([item["status"] for item in objects_of_module.list(names.KIND)]),
        "events": json.dumps(ours),
        "log": operator.log.read_text(),
        "metrics": operator.answer("/metrics").text,
    }
    assert all(said.values())
    for secret in (CANARY, bucket.server.secret_key):
        assert [place for place, text in said.items() if secret in text] == []
