"""Pods in, the root cause out."""

import json
from itertools import permutations

import pytest

from mmm_operator import names
from mmm_operator.api.conditions import Reason
from mmm_operator.diagnose import OWN_WORDS, diagnose, diagnose_capacity
from mmm_operator.snapshot import Manifest
from tests.unit.operator.core.build import IMAGE, PodDraft, exited, last_words, make_mmm, make_pod

SERVER, FETCHER = names.CONTAINER_SERVER, names.CONTAINER_FETCHER
POD = make_pod(make_mmm(), "clip-1")
GPU_POD = make_pod(make_mmm().on_gpu(1), "clip-1")
LOADING = POD.succeeded(FETCHER).running(SERVER)

NO_GPU = "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 Insufficient memory. preemption: 0/3 nodes."
NO_MEMORY = "0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient memory."
NO_CPU = "0/3 nodes are available: 3 Insufficient cpu."
TAINT = "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: db}."
NO_SECRET = 'secret "s3" not found'
BAD_START = 'exec: "python": executable file not found in $PATH'
BACK_OFF = f'Back-off pulling image "{IMAGE}"'
EVICTED = 'Usage of EmptyDir volume "models" exceeds the limit "1Gi".'


def looping(container: str, last: Manifest) -> PodDraft:
    return POD.waiting(container, "CrashLoopBackOff", "back-off 10s restarting failed container", last)


def log_line(text: str) -> Manifest:
    """What the kubelet takes from the log where a container left no message."""
    return exited(1, message=text)


TABLE: list[tuple[str, PodDraft, Reason, str]] = [
    # What our containers say of themselves.
    ("fetcher, at once", POD.failed(FETCHER, last_words("AccessDenied")), Reason.ACCESS_DENIED, "why"),
    ("fetcher, in a loop", looping(FETCHER, last_words("VersionNotFound")), Reason.VERSION_NOT_FOUND, "why"),
    ("fetcher, trying again", POD.running(FETCHER, last=last_words("NoSpace")), Reason.NO_SPACE, "why"),
    ("server, at once", LOADING.failed(SERVER, last_words("ModelLoadFailed")), Reason.MODEL_LOAD_FAILED, "why"),
    ("server, in a loop", looping(SERVER, last_words("UnsupportedModel")), Reason.UNSUPPORTED_MODEL, "why"),
    ("server, loading again", POD.running(SERVER, last=last_words("WarmUpFailed")), Reason.WARM_UP_FAILED, "why"),
    ("no sentence", looping(SERVER, exited(3, message='{"reason": "InternalError"}')), Reason.INTERNAL_ERROR, ""),
    (
        "null for a sentence",
        looping(SERVER, exited(3, message='{"reason": "InternalError", "message": null}')),
        Reason.INTERNAL_ERROR,
        "",
    ),
    (
        "last line of the log",
        looping(SERVER, log_line('loading\n{"reason": "OutOfMemory", "message": "too big for the GPU"}\n')),
        Reason.OUT_OF_MEMORY,
        "too big for the GPU",
    ),
    # How they died.
    (
        "server out of memory",
        looping(SERVER, exited(137, reason="OOMKilled")),
        Reason.OUT_OF_MEMORY,
        "container server used more memory than its limit: raise spec.resources.limits.memory",
    ),
    (
        "fetcher out of memory: a limit of ours",
        looping(FETCHER, exited(137, reason="OOMKilled")),
        Reason.OUT_OF_MEMORY,
        "container model-fetcher used more memory than its limit",
    ),
    (
        "exit code",
        looping(SERVER, exited(139)),
        Reason.CONTAINER_FAILED,
        "container server exits with code 139: see kubectl logs clip-1 -c server --previous",
    ),
    (
        "exits without a failure, again and again",
        looping(SERVER, exited(0, reason="Completed")),
        Reason.CONTAINER_FAILED,
        "container server exits with code 0: see kubectl logs clip-1 -c server --previous",
    ),
    (
        "a traceback is no word of ours",
        looping(SERVER, log_line("Traceback (most recent call last):\nValueError")),
        Reason.CONTAINER_FAILED,
        "container server exits with code 1: see kubectl logs clip-1 -c server --previous",
    ),
    *(
        (
            f"strange words: {text[:12]}",
            looping(SERVER, log_line(text)),
            Reason.CONTAINER_FAILED,
            "container server exits with code 1: see kubectl logs clip-1 -c server --previous",
        )
        for text in ('{"reason": "Ready"}', '{"reason": ["x"]}', "[" * 4000, "7", "null", '{"reason": "NoSuchWord"}')
    ),
    # Why they cannot start.
    (
        "image pull",
        POD.waiting(FETCHER, "ErrImagePull", "not found"),
        Reason.IMAGE_PULL_FAILED,
        f"image {IMAGE}: not found",
    ),
    (
        "image pull, waiting",
        POD.waiting(FETCHER, "ImagePullBackOff", BACK_OFF),
        Reason.IMAGE_PULL_FAILED,
        f"image {IMAGE}: {BACK_OFF}",
    ),
    (
        "no image name",
        POD.waiting(SERVER, "InvalidImageName"),
        Reason.IMAGE_PULL_FAILED,
        f"image {IMAGE}: InvalidImageName",
    ),
    (
        "pull policy Never",
        POD.waiting(SERVER, "ErrImageNeverPull", "absent"),
        Reason.IMAGE_PULL_FAILED,
        f"image {IMAGE}: absent",
    ),
    (
        "no Secret",
        POD.waiting(FETCHER, "CreateContainerConfigError", NO_SECRET),
        Reason.CONTAINER_CONFIG_ERROR,
        f"container model-fetcher: {NO_SECRET}",
    ),
    (
        "not one of our images: the runtime says so",
        POD.waiting(FETCHER, "RunContainerError", BAD_START),
        Reason.CONTAINER_FAILED,
        f"container model-fetcher cannot start: {BAD_START}",
    ),
    (
        "not one of our images: in a loop",
        looping(FETCHER, exited(128, reason="StartError", message=BAD_START)),
        Reason.CONTAINER_FAILED,
        f"container model-fetcher cannot start: {BAD_START}",
    ),
    ("evicted", POD.ended("Evicted", EVICTED), Reason.POD_FAILED, f"pod clip-1: Evicted: {EVICTED}"),
    (
        "evicted while it ran",
        LOADING.failed(SERVER, exited(137)).ended("Evicted", EVICTED),
        Reason.POD_FAILED,
        f"pod clip-1: Evicted: {EVICTED}",
    ),
    (
        "ended, and its node does not say why",
        LOADING.failed(SERVER, exited(9)).ended("", ""),
        Reason.CONTAINER_FAILED,
        "container server exits with code 9: see kubectl logs clip-1 -c server --previous",
    ),
    # Why they have no node.
    ("no GPU", GPU_POD.unschedulable(NO_GPU), Reason.INSUFFICIENT_ACCELERATOR, f"pod clip-1: {NO_GPU}"),
    ("no GPU, but none is asked for", POD.unschedulable(NO_GPU), Reason.INSUFFICIENT_MEMORY, f"pod clip-1: {NO_GPU}"),
    ("no memory", POD.unschedulable(NO_MEMORY), Reason.INSUFFICIENT_MEMORY, f"pod clip-1: {NO_MEMORY}"),
    ("no CPU", POD.unschedulable(NO_CPU), Reason.INSUFFICIENT_CPU, f"pod clip-1: {NO_CPU}"),
    ("taint", POD.unschedulable(TAINT), Reason.UNSCHEDULABLE, f"pod clip-1: {TAINT}"),
    ("gated", POD.unschedulable("", "SchedulingGated"), Reason.UNSCHEDULABLE, "pod clip-1: "),
]


@pytest.mark.parametrize(("pod", "reason", "message"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_root_cause(pod: PodDraft, reason: Reason, message: str) -> None:
    trouble = diagnose([pod.build()])
    assert trouble is not None
    assert (trouble.reason, trouble.message) == (reason, message)


@pytest.mark.parametrize("word", OWN_WORDS)
def test_every_word_of_our_containers_becomes_the_reason(word: str) -> None:
    trouble = diagnose([looping(SERVER, last_words(word)).build()])
    assert trouble is not None
    assert trouble.reason == word


@pytest.mark.parametrize(
    "pod",
    [
        POD,
        LOADING,
        POD.ready(),
        POD.running(FETCHER),
        # It failed before, and has recovered.
        POD.succeeded(FETCHER, last=last_words("EndpointUnreachable")),
        LOADING.succeeded(FETCHER, last=last_words("EndpointUnreachable")),
        POD.ready().running(SERVER, ready=True, last=exited(137, reason="OOMKilled")),
        # It is on its way out: what it says is over.
        LOADING.failed(SERVER, last_words("InternalError")).terminating(),
        POD.unschedulable(TAINT).terminating(),
        # It was told to stop and did.
        POD.running(SERVER, last=exited(0, reason="Completed")),
        LOADING.failed(SERVER, exited(0, reason="Completed")),
        POD.waiting(SERVER, "ContainerCreating"),
    ],
)
def test_no_trouble(pod: PodDraft) -> None:
    assert diagnose([pod.build()]) is None


def test_no_pods_have_no_trouble() -> None:
    assert diagnose([]) is None
    assert diagnose_capacity([]) is None


BY_WEIGHT = [
    LOADING.failed(SERVER, last_words("UnsafeArtifact")),
    looping(SERVER, exited(137, reason="OOMKilled")),
    POD.waiting(SERVER, "ImagePullBackOff"),
    POD.waiting(SERVER, "CreateContainerConfigError", NO_SECRET),
    POD.ended("Evicted", EVICTED),
    looping(SERVER, exited(1)),
    POD.unschedulable(TAINT),
]


def test_of_several_pods_the_one_that_explains_most_speaks() -> None:
    for one, two in permutations(range(len(BY_WEIGHT)), 2):
        pods = [BY_WEIGHT[one].build(), BY_WEIGHT[two].build()]
        assert diagnose(pods) == diagnose([BY_WEIGHT[min(one, two)].build()])


def test_a_pod_that_serves_does_not_hide_one_that_cannot() -> None:
    assert diagnose([POD.ready().build(), looping(SERVER, exited(1)).build()]) is not None


def test_an_evicted_pod_is_forgotten_once_its_successor_is_ready() -> None:
    """Kubernetes keeps such a pod for ever: without this the model would be Degraded for ever."""
    evicted = make_pod(make_mmm(), "old", born="2026-01-01T00:00:00Z").ended("Evicted", EVICTED).build()
    successor = make_pod(make_mmm(), "new", born="2026-01-01T00:05:00Z")
    assert diagnose([evicted, successor.ready().build()]) is None
    assert diagnose([evicted, successor.build()]) is not None
    again = make_pod(make_mmm(), "again", born="2026-01-01T00:09:00Z").ended("Evicted", EVICTED).build()
    assert diagnose([again, successor.ready().build()]) is not None


def test_capacity_looks_at_the_scheduler_alone() -> None:
    broken = looping(SERVER, exited(1)).build()
    assert diagnose_capacity([broken]) is None
    trouble = diagnose_capacity([broken, GPU_POD.unschedulable(NO_GPU).build()])
    assert trouble is not None
    assert trouble.reason is Reason.INSUFFICIENT_ACCELERATOR


def test_words_are_bounded() -> None:
    endless = looping(SERVER, exited(3, message=json.dumps({"reason": "InternalError", "message": "x" * 5000})))
    trouble = diagnose([endless.build()])
    assert trouble is not None
    assert len(trouble.message) == 1024


def test_a_pod_of_which_nothing_is_known_yet_is_no_trouble() -> None:
    assert diagnose([{"metadata": {"name": "new"}, "spec": {"containers": []}}]) is None
