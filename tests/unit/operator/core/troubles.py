"""One example of every kind of trouble that pods can have, and how it looks when it is over.

For the tests that go through all of them: each must be found, outrank what explains less, and leave no trace.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmm_operator import names
from mmm_operator.api.conditions import Reason
from mmm_operator.diagnose import Evidence
from mmm_operator.snapshot import Manifest
from tests.unit.operator.core.build import (
    BORN,
    Draft,
    PodDraft,
    exited,
    last_words,
    make_deployment,
    make_mmm,
    make_pod,
)

SERVER, FETCHER = names.CONTAINER_SERVER, names.CONTAINER_FETCHER
CLIP = make_mmm().replicas(2).having(cache={"type": "PersistentVolumeClaim", "claimTemplate": {"size": "1Gi"}})
NO_GPU = "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 Insufficient memory. preemption: 0/3 nodes."
NO_MEMORY = "0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient memory."
NO_CPU = "0/3 nodes are available: 3 Insufficient cpu."
NO_LABEL = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
NO_CLAIM = '0/3 nodes are available: persistentvolumeclaim "models" not found.'
UNBOUND = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."
TAINT = "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: db}."
NO_SECRET = 'secret "s3" not found'
EVICTED = 'Usage of EmptyDir volume "models" exceeds the limit "1Gi".'
NO_MOUNT = 'MountVolume.SetUp failed for volume "models" : mount failed: exit status 32'
QUOTA = 'pods "clip-12345678-x7k2p" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=4'
SECURITY = 'pods "clip-12345678-x7k2p" is forbidden: violates PodSecurity "restricted:latest": seccompProfile'


@dataclass(frozen=True)
class Case:
    """A trouble of one pod: what is seen of it, and what must be said.

    `over` is the same pod when it has got over it but is not ready yet.
    """

    name: str
    reason: Reason
    pod: PodDraft
    message: str = ""
    events: tuple[Manifest, ...] = ()
    refused: str = ""
    claims: tuple[Manifest, ...] = ()
    leaving: tuple[Manifest, ...] = ()
    over: PodDraft | None = None

    @property
    def evidence(self) -> Evidence:
        return self.seen(self.pod.build())

    def seen(self, *pods: Manifest) -> Evidence:
        """What is known about `pods` while this trouble lasts."""
        return Evidence(pods, self.events, [self.deployment], self.claims, self.leaving)

    @property
    def deployment(self) -> Manifest:
        return with_refusal(make_deployment(CLIP, 2, ready=0), self.refused)


def with_refusal(deployment: Manifest, message: str) -> Manifest:
    """The Deployment, whose pods the API server refuses with this message, if there is one."""
    if not message:
        return deployment
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    status = deployment["status"]
    return {**deployment, "status": {**status, "conditions": [*status["conditions"], failure]}}


def make_event(
    pod: Manifest, reason: str, text: str, *, at: str = BORN, container: str = "", newer_kind: bool = False
) -> Manifest:
    """A Warning event about a pod, of core/v1 or of events.k8s.io/v1."""
    about = {"kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    if container:
        about["fieldPath"] = f"spec.containers{{{container}}}"
    meta = {"name": f"{about['name']}.{reason}", "creationTimestamp": BORN}
    if newer_kind:
        series = {"count": 2, "lastObservedTime": f"{at[:-1]}.123456Z"}
        more: Manifest = {"regarding": about, "note": text, "series": series, "eventTime": f"{BORN[:-1]}.000001Z"}
    else:
        more = {"involvedObject": about, "message": text, "lastTimestamp": at, "eventTime": None, "series": None}
    return {"metadata": meta, "type": "Warning", "reason": reason, **more}


def make_claim(phase: str) -> Manifest:
    """The claim of the model cache, as it is stored."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": names.claim_name(CLIP.name), "namespace": "shop", "uid": "uid-claim"},
        "spec": {},
        "status": {"phase": phase},
    }


def make_sick(name: str = "clip-1", draft: Draft = CLIP) -> PodDraft:
    """A pod that has a node, its containers not started yet."""
    pod = make_pod(draft, name)
    return replace(pod, pod={**pod.pod, "spec": {**pod.pod["spec"], "nodeName": "node-1"}})


def with_status(pod: PodDraft, container: str, **fields: Any) -> PodDraft:
    """The pod with these fields in the status of a container that is there already."""
    kind = "initContainerStatuses" if container == FETCHER else "containerStatuses"
    statuses: Sequence[Manifest] = pod.pod["status"][kind]
    changed = [{**item, **(fields if item["name"] == container else {})} for item in statuses]
    return replace(pod, pod={**pod.pod, "status": {**pod.pod["status"], kind: changed}})


def with_condition(pod: PodDraft, kind: str, status: str, **more: str) -> PodDraft:
    """The pod with one more condition."""
    conditions = [*pod.pod["status"]["conditions"], {"type": kind, "status": status, **more}]
    return replace(pod, pod={**pod.pod, "status": {**pod.pod["status"], "conditions": conditions}})


def without_node(message: str, draft: Draft = CLIP) -> PodDraft:
    return make_pod(draft, "clip-1").unschedulable(message)


def looping(container: str, last: Manifest) -> PodDraft:
    return POD.waiting(container, "CrashLoopBackOff", "back-off 10s restarting failed container", last)


POD = make_sick()
CREATING = POD.waiting(FETCHER, "PodInitializing")
LOADING = POD.succeeded(FETCHER).running(SERVER)
SET_UP = with_condition(CREATING, "PodReadyToStartContainers", "True")
STARTED = with_status(LOADING, SERVER, started=True)
RESTARTED = with_status(POD.succeeded(FETCHER).running(SERVER, last=exited(0)), SERVER, restartCount=2)
SERVES = POD.ready()
GPU = CLIP.on_gpu(1)
HOLDER = make_sick("clip-0", GPU).ready().terminating().build()
SILENT = with_condition(with_condition(LOADING, "ContainersReady", "True"), "Ready", "False")


def of(pod: PodDraft, reason: str, text: str, **more: Any) -> tuple[Manifest, ...]:
    return (make_event(pod.build(), reason, text, **more),)


# In the order in which they explain: each outranks those below it.
CASES: tuple[Case, ...] = (
    Case("last words", Reason.UNSAFE_ARTIFACT, LOADING.failed(SERVER, last_words("UnsafeArtifact")), "why"),
    Case("memory", Reason.OUT_OF_MEMORY, looping(SERVER, exited(137, reason="OOMKilled")), "limits.memory"),
    Case("image", Reason.IMAGE_PULL_FAILED, POD.waiting(SERVER, "ImagePullBackOff"), "image registry/server:1.0"),
    Case("config", Reason.CONTAINER_CONFIG_ERROR, POD.waiting(SERVER, "CreateContainerConfigError", NO_SECRET), "s3"),
    Case(
        "volume",
        Reason.VOLUME_FAILED,
        CREATING,
        f"pod clip-1: {NO_MOUNT}",
        events=of(CREATING, "FailedMount", NO_MOUNT),
        over=SET_UP,
    ),
    Case(
        "sandbox",
        Reason.SANDBOX_FAILED,
        CREATING,
        "no IP addresses available",
        events=of(CREATING, "FailedCreatePodSandBox", "Failed to create pod sandbox: no IP addresses available"),
        over=SET_UP,
    ),
    Case("eviction", Reason.POD_FAILED, POD.ended("Evicted", EVICTED), "Evicted"),
    Case("silent node", Reason.NODE_LOST, SILENT, "node node-1 of pod clip-1 does not report"),
    Case(
        "probe",
        Reason.PROBE_FAILED,
        STARTED,
        "statuscode: 503",
        events=of(
            STARTED, "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", container=SERVER
        ),
        over=STARTED.running(SERVER),
    ),
    Case("exit", Reason.CONTAINER_FAILED, looping(SERVER, exited(1)), "code 1"),
    Case("quota", Reason.QUOTA_EXCEEDED, LOADING, "exceeded quota: compute", refused=QUOTA),
    Case(
        "room",
        Reason.WAITING_FOR_OLD_POD,
        without_node(NO_GPU, GPU),
        "pod clip-1 waits until clip-0 is gone and gives back memory, nvidia.com/gpu",
        leaving=(HOLDER,),
    ),
    Case(
        "claim",
        Reason.WAITING_FOR_VOLUME,
        replace(POD, pod={**POD.pod, "spec": make_pod(CLIP).pod["spec"], "status": {}}),
        "claim clip-models is pending",
        claims=(make_claim("Pending"),),
    ),
)
# More of the same kinds.
VARIANTS: tuple[Case, ...] = (
    Case("security", Reason.PODS_REFUSED, LOADING, "violates PodSecurity", refused=SECURITY),
    Case("lost volume", Reason.VOLUME_FAILED, LOADING, "claim clip-models has lost", claims=(make_claim("Lost"),)),
    Case("accelerator", Reason.INSUFFICIENT_ACCELERATOR, without_node(NO_GPU, GPU), NO_GPU),
    Case("memory on nodes", Reason.INSUFFICIENT_MEMORY, without_node(NO_MEMORY), NO_MEMORY),
    Case("processors", Reason.INSUFFICIENT_CPU, without_node(NO_CPU), NO_CPU),
    Case("labels", Reason.NODE_SELECTOR_MISMATCH, without_node(NO_LABEL), NO_LABEL),
    Case("no claim", Reason.VOLUME_FAILED, without_node(NO_CLAIM), NO_CLAIM),
    Case("unbound claim", Reason.WAITING_FOR_VOLUME, without_node(UNBOUND), UNBOUND),
    Case("taint", Reason.UNSCHEDULABLE, without_node(TAINT), TAINT),
    Case(
        "attachment",
        Reason.VOLUME_FAILED,
        CREATING,
        "Multi-Attach error",
        events=of(CREATING, "FailedAttachVolume", "Multi-Attach error for volume", newer_kind=True),
        over=LOADING,
    ),
    Case(
        "liveness",
        Reason.PROBE_FAILED,
        RESTARTED,
        "Liveness probe failed: timeout",
        events=of(RESTARTED, "Unhealthy", "Liveness probe failed: timeout", container=SERVER),
    ),
    Case(
        "killed by its startup probe",
        Reason.PROBE_FAILED,
        with_status(looping(SERVER, exited(137)), SERVER, restartCount=1),
        "Startup probe failed: refused",
        events=of(POD, "Unhealthy", "Startup probe failed: refused", container=SERVER),
    ),
)
