"""Pods and what belongs to them in, the root cause out."""

import json
from datetime import datetime, timedelta
from itertools import combinations, permutations
from typing import Any

import pytest

from mmm_operator.api.conditions import CAUSES, Reason
from mmm_operator.diagnose import (
    CHECKS,
    OWN_WORDS,
    Evidence,
    Trouble,
    diagnose,
    diagnose_capacity,
    failures,
    next_look,
    unexplained,
)
from mmm_operator.snapshot import Manifest
from tests.unit.operator.core.build import (
    BORN,
    IMAGE,
    NOW,
    PodDraft,
    exited,
    last_words,
    make_deployment,
    make_mmm,
    make_pod,
)
from tests.unit.operator.core.troubles import (
    CASES,
    CREATING,
    EVICTED,
    FETCHER,
    LOADING,
    NO_CPU,
    NO_GPU,
    NO_MEMORY,
    NO_SECRET,
    POD,
    SERVER,
    SERVES,
    SILENT,
    TAINT,
    VARIANTS,
    Case,
    looping,
    make_claim,
    make_event,
    with_refusal,
    with_status,
)

HOMELESS = make_pod(make_mmm(), "clip-1")
GPU_POD = make_pod(make_mmm().on_gpu(1), "clip-1")
BAD_START = 'exec: "python": executable file not found in $PATH'
BACK_OFF = f'Back-off pulling image "{IMAGE}"'


def trouble_of(*pods: Manifest, **more: Any) -> Trouble | None:
    return diagnose(Evidence(pods, **more))


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
    (
        "no GPU, but none is asked for",
        HOMELESS.unschedulable(NO_GPU),
        Reason.INSUFFICIENT_MEMORY,
        f"pod clip-1: {NO_GPU}",
    ),
    ("no memory", HOMELESS.unschedulable(NO_MEMORY), Reason.INSUFFICIENT_MEMORY, f"pod clip-1: {NO_MEMORY}"),
    ("no CPU", HOMELESS.unschedulable(NO_CPU), Reason.INSUFFICIENT_CPU, f"pod clip-1: {NO_CPU}"),
    ("taint", HOMELESS.unschedulable(TAINT), Reason.UNSCHEDULABLE, f"pod clip-1: {TAINT}"),
    ("gated", HOMELESS.unschedulable("", "SchedulingGated"), Reason.UNSCHEDULABLE, "pod clip-1: "),
]


@pytest.mark.parametrize(("pod", "reason", "message"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_root_cause(pod: PodDraft, reason: Reason, message: str) -> None:
    trouble = trouble_of(pod.build())
    assert trouble is not None
    assert (trouble.reason, trouble.message) == (reason, message)


@pytest.mark.parametrize("word", OWN_WORDS)
def test_every_word_of_our_containers_becomes_the_reason(word: str) -> None:
    trouble = trouble_of(looping(SERVER, last_words(word)).build())
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
        HOMELESS.unschedulable(TAINT).terminating(),
        # It was told to stop and did.
        POD.running(SERVER, last=exited(0, reason="Completed")),
        LOADING.failed(SERVER, exited(0, reason="Completed")),
        POD.waiting(SERVER, "ContainerCreating"),
    ],
)
def test_no_trouble(pod: PodDraft) -> None:
    assert trouble_of(pod.build()) is None


def test_no_pods_have_no_trouble() -> None:
    assert trouble_of() is None
    assert diagnose_capacity(Evidence([])) is None


def test_a_pod_that_serves_does_not_hide_one_that_cannot() -> None:
    assert trouble_of(POD.ready().build(), looping(SERVER, exited(1)).build()) is not None


def test_an_evicted_pod_is_forgotten_once_its_successor_is_ready() -> None:
    """Kubernetes keeps such a pod for ever: without this the model would be Degraded for ever."""
    evicted = make_pod(make_mmm(), "old", born="2026-01-01T00:00:00Z").ended("Evicted", EVICTED).build()
    successor = make_pod(make_mmm(), "new", born="2026-01-01T00:05:00Z")
    assert trouble_of(evicted, successor.ready().build()) is None
    assert trouble_of(evicted, successor.build()) is not None
    again = make_pod(make_mmm(), "again", born="2026-01-01T00:09:00Z").ended("Evicted", EVICTED).build()
    assert trouble_of(again, successor.ready().build()) is not None


def test_capacity_looks_at_the_scheduler_alone() -> None:
    broken = looping(SERVER, exited(1)).build()
    assert diagnose_capacity(Evidence([broken])) is None
    trouble = diagnose_capacity(Evidence([broken, GPU_POD.unschedulable(NO_GPU).build()]))
    assert trouble is not None
    assert trouble.reason is Reason.INSUFFICIENT_ACCELERATOR


def test_words_are_bounded() -> None:
    endless = looping(SERVER, exited(3, message=json.dumps({"reason": "InternalError", "message": "x" * 5000})))
    trouble = trouble_of(endless.build())
    assert trouble is not None
    assert len(trouble.message.encode()) == 512


def test_a_pod_of_which_nothing_is_known_yet_is_no_trouble() -> None:
    assert trouble_of({"metadata": {"name": "new"}, "spec": {"containers": []}}) is None


# Everything else that tells of a pod


@pytest.mark.parametrize("case", [*CASES, *VARIANTS], ids=lambda case: case.name)
def test_every_kind_of_trouble_is_found(case: Case) -> None:
    trouble = diagnose(case.evidence)
    assert trouble is not None
    assert trouble.reason is case.reason
    assert case.message in trouble.message


@pytest.mark.parametrize("case", [*CASES, *VARIANTS], ids=lambda case: case.name)
def test_a_trouble_that_is_over_leaves_no_trace(case: Case) -> None:
    """What told of it, its events above all, may be there for an hour yet."""
    for pod in (SERVES, *([case.over] if case.over else ())):
        assert diagnose(Evidence([pod.build()], case.events, claims=[make_claim("Bound")])) is None


def test_the_order_is_the_documented_one() -> None:
    """Whatever two troubles there are at once, the one that stands earlier in the documentation is the root cause."""
    assert len(CASES) == len(CAUSES) == len(CHECKS)
    for case, (_, reasons) in zip(CASES, CAUSES, strict=True):
        assert case.reason in reasons
    for strong, weak in combinations(CASES, 2):
        pods = [renamed(strong.pod, "b").build(), renamed(weak.pod, "a").build()]
        found = diagnose(
            Evidence(
                pods,
                [event for case in (strong, weak) for event in case.events],
                [strong.deployment, weak.deployment],
                [*strong.claims, *weak.claims],
                [*strong.leaving, *weak.leaving],
            )
        )
        assert found is not None
        assert found.reason is strong.reason, (strong.name, weak.name)


def renamed(pod: PodDraft, name: str) -> PodDraft:
    """The same pod under another name; its uid, by which events name it, stays."""
    return PodDraft({**pod.pod, "metadata": {**pod.pod["metadata"], "name": name}})


def test_it_does_not_matter_in_which_order_things_are_seen() -> None:
    pods = [renamed(case.pod, f"pod-{n}").build() for n, case in enumerate(CASES)]
    events = [event for case in CASES for event in case.events]
    assert diagnose(Evidence(pods, events)) == diagnose(Evidence(pods[::-1], events[::-1]))
    same = [renamed(looping(SERVER, exited(code)), f"pod-{code}").build() for code in (1, 2)]
    assert trouble_of(*same) == trouble_of(*same[::-1])


@pytest.mark.parametrize(
    ("pod", "reason", "text"),
    [
        # It loads, and until then its probes fail as a matter of course.
        (LOADING, "Unhealthy", "Startup probe failed: HTTP probe failed with statuscode: 503"),
        (LOADING, "Unhealthy", "Readiness probe failed: connect: connection refused"),
        # What anybody may say of a pod, and what the pod's own status says better.
        (CREATING, "DNSConfigForming", "Search Line limits were exceeded"),
        (CREATING, "FailedScheduling", "0/1 nodes are available"),
        (CREATING, "BackOff", "Back-off restarting failed container"),
    ],
)
def test_events_that_explain_nothing(pod: PodDraft, reason: str, text: str) -> None:
    assert trouble_of(pod.build(), events=[make_event(pod.build(), reason, text, container=SERVER)]) is None


def test_an_event_speaks_of_its_own_pod_alone() -> None:
    other = make_pod(make_mmm(), "other").build()
    assert trouble_of(CREATING.build(), events=[make_event(other, "FailedMount", "no")]) is None


def test_a_probe_that_failed_before_the_restart_is_over() -> None:
    started = with_status(LOADING.running(SERVER), SERVER, started=True)
    late = {"running": {"startedAt": "2026-01-01T00:03:00Z"}}
    text = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    event = make_event(started.build(), "Unhealthy", text, container=SERVER, at="2026-01-01T00:02:00Z")
    assert trouble_of(started.build(), events=[event]) is not None
    assert trouble_of(with_status(started, SERVER, state=late).build(), events=[event]) is None


def test_of_several_events_the_newest_that_says_why_speaks() -> None:
    pod = CREATING.build()
    told = [
        make_event(pod, "FailedMount", 'configmap "a" not found', at="2026-01-01T00:01:00Z"),
        make_event(pod, "FailedMount", 'configmap "b" not found', at="2026-01-01T00:02:00Z", newer_kind=True),
        make_event(pod, "FailedMount", "Unable to attach or mount volumes: timed out", at="2026-01-01T00:04:00Z"),
    ]
    for events in permutations(told):
        assert trouble_of(pod, events=events) == Trouble(Reason.VOLUME_FAILED, 'pod clip-1: configmap "b" not found')


def test_a_sandbox_that_fails_anew_says_the_same_again() -> None:
    """Otherwise every try of the kubelet would cost a write of the status."""
    pod, text = CREATING.build(), 'failed to setup network for sandbox "%s": no address'
    one, two = (make_event(pod, "FailedCreatePodSandBox", text % (digit * 64)) for digit in "af")
    assert trouble_of(pod, events=[one]) == trouble_of(pod, events=[two])


def test_an_image_says_the_same_while_the_kubelet_waits_and_while_it_tries() -> None:
    wrapped = f'Back-off pulling image "{IMAGE}": ErrImagePull: not found'
    waiting = trouble_of(POD.waiting(SERVER, "ImagePullBackOff", wrapped).build())
    assert waiting == trouble_of(POD.waiting(SERVER, "ErrImagePull", "not found").build())


def test_each_try_to_create_a_pod_says_the_same() -> None:
    texts = [f'pods "clip-{name}" is forbidden: exceeded quota: pods' for name in ("a1b2c", "x7k2p")]
    one, two = (trouble_of(deployments=[with_refusal(make_deployment(make_mmm()), text)]) for text in texts)
    assert one == two == Trouble(Reason.QUOTA_EXCEEDED, "no pod can be created: exceeded quota: pods")


@pytest.mark.parametrize(
    "leaving",
    [
        make_pod(make_mmm(), "old").ready().terminating(),  # holds no accelerator
        make_pod(make_mmm().on_gpu(1), "old").unschedulable(NO_GPU).terminating(),  # has none yet
        make_pod(make_mmm().on_gpu(1), "old").ready().ended("Evicted", "").terminating(),  # has given it back
    ],
)
def test_a_pod_that_is_ending_and_holds_nothing_is_not_waited_for(leaving: PodDraft) -> None:
    gpu = GPU_POD.unschedulable("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
    trouble = trouble_of(gpu.build(), leaving=[leaving.build()])
    assert trouble is not None
    assert trouble.reason is Reason.INSUFFICIENT_ACCELERATOR


def test_a_pod_that_has_a_node_is_not_without_one_whatever_the_scheduler_said_before() -> None:
    pod = make_pod(make_mmm(), "late").unschedulable(TAINT).pod
    assert trouble_of(pod) is not None
    assert trouble_of({**pod, "spec": {**pod["spec"], "nodeName": "node-1"}}) is None


def test_a_pending_claim_is_no_trouble_of_a_pod_that_has_a_node() -> None:
    assert trouble_of(LOADING.build(), claims=[make_claim("Pending")]) is None
    assert trouble_of(CREATING.build(), claims=[make_claim("Pending")]) is None


def test_readiness_gates_of_the_user_are_no_lost_node() -> None:
    gated = PodDraft({**SILENT.pod, "spec": {**SILENT.pod["spec"], "readinessGates": [{"conditionType": "x"}]}})
    assert trouble_of(SILENT.build()) is not None
    assert trouble_of(gated.build()) is None


# Whose events are worth reading


def seen_after(seconds: float, *pods: PodDraft) -> list[str]:
    now = datetime.fromisoformat(BORN) + timedelta(seconds=seconds)
    return [pod["metadata"]["name"] for pod in unexplained([pod.build() for pod in pods], now)]


@pytest.mark.parametrize("pod", [CREATING, LOADING, with_status(looping(SERVER, exited(137)), SERVER)])
def test_a_pod_that_does_not_come_up_and_does_not_say_why_is_unexplained(pod: PodDraft) -> None:
    assert seen_after(9, pod) == []
    assert seen_after(10, pod) == [pod.pod["metadata"]["name"]]


@pytest.mark.parametrize(
    "pod",
    [
        SERVES,
        CREATING.terminating(),
        POD.ended("", ""),
        make_pod(make_mmm(), "without-a-node").unschedulable(TAINT),
        PodDraft({**POD.pod, "spec": make_pod(make_mmm()).pod["spec"], "status": {}}),
        POD.waiting(SERVER, "ImagePullBackOff"),
        looping(SERVER, exited(137, reason="OOMKilled")),
        looping(SERVER, exited(1)),
        looping(SERVER, last_words("InternalError", code=137)),
        SILENT,
    ],
)
def test_a_pod_that_serves_is_ending_or_says_why_is_not(pod: PodDraft) -> None:
    assert seen_after(3600, pod) == []
    assert next_look([pod.build()], NOW) is None


def test_of_many_pods_a_few_are_read() -> None:
    pods = [renamed(CREATING, f"pod-{n}") for n in range(9)]
    assert seen_after(60, *pods[::-1]) == ["pod-0", "pod-1", "pod-2"]


@pytest.mark.parametrize(("age", "wait"), [(0, 10), (9.5, 1), (10, 15), (60, 15), (240, 60), (3600, 120)])
def test_it_looks_again_less_and_less_often(age: float, wait: float) -> None:
    now = datetime.fromisoformat(BORN) + timedelta(seconds=age)
    assert next_look([CREATING.build()], now) == wait


# What failed


def test_failures_are_told_whether_they_are_over_or_not() -> None:
    server = with_end(POD.ready().running(SERVER, ready=True, last=exited(137, reason="OOMKilled")), "lastState")
    assert [(f.pod, f.container, f.reason, f.at) for f in failures(server.build())] == [
        ("clip-1", SERVER, Reason.OUT_OF_MEMORY, "2026-01-01T00:04:00Z")
    ]
    fetcher = POD.failed(FETCHER, last_words("AccessDenied", "no"))
    assert [(f.container, f.reason, f.message) for f in failures(fetcher.build())] == [
        (FETCHER, Reason.ACCESS_DENIED, "no")
    ]
    (evicted,) = failures(POD.ended("Evicted", EVICTED).build())
    assert (evicted.container, evicted.reason) == ("", Reason.POD_FAILED)


def with_end(pod: PodDraft, state: str) -> PodDraft:
    status = pod.pod["status"]["containerStatuses"][0]
    ended = {"terminated": {**status[state]["terminated"], "finishedAt": "2026-01-01T00:04:00Z"}}
    return with_status(pod, SERVER, **{state: ended})


@pytest.mark.parametrize(
    "pod", [POD, SERVES, POD.running(SERVER, last=exited(0)), POD.failed(SERVER, exited(137)).terminating()]
)
def test_what_ended_as_it_should_is_no_failure(pod: PodDraft) -> None:
    assert list(failures(pod.build())) == []
