"""What is true of the object, for every condition and every reason that there is."""

from typing import Any

import pytest

from mmm_operator import names
from mmm_operator.api.conditions import Condition, ConditionType, Reason
from mmm_operator.api.status import Status
from mmm_operator.diagnose import OWN_WORDS
from mmm_operator.planner import plan
from mmm_operator.snapshot import Manifest, Ref, Resolution, Snapshot, Update
from mmm_repository import errors as repository
from tests.unit.operator.core.build import (
    NAMESPACE,
    NOW,
    SETTINGS,
    digest_of,
    exited,
    last_words,
    make_deployment,
    make_hpa,
    make_mmm,
    make_pod,
    make_report,
    make_snapshot,
    serving_pods,
)
from tests.unit.operator.core.troubles import CASES, VARIANTS, Case, with_refusal
from tests.unit.operator.core.troubles import CLIP as CASES_DRAFT

CLIP = make_mmm().replicas(2)
NEXT = CLIP.version("2").at_generation(2)
SERVER = names.CONTAINER_SERVER


def conditions(snapshot: Snapshot) -> dict[str, Condition]:
    """The conditions that the plan writes; those that are stored already if it writes none."""
    status = plan(snapshot, SETTINGS, NOW).status or snapshot.status
    return {condition.type: condition for condition in status.conditions}


def status_of(snapshot: Snapshot) -> Status:
    return plan(snapshot, SETTINGS, NOW).status or snapshot.status


def unresolved(reason: Reason, message: str = "why") -> Resolution:
    return Resolution("s3://models/clip", "2", reason=reason, message=message)


WITHOUT_MANIFEST = Resolution("s3://models/clip", "1", digest_of("1"), reason=Reason.RESOLVED_WITHOUT_MANIFEST)
SERVING = make_snapshot(CLIP, [make_deployment(CLIP, 2)], serving_pods(CLIP, 2))
SERVED: dict[str, Any] = {"status": status_of(SERVING)}


def settled(**fields: Any) -> Snapshot:
    """Two of two pods serve."""
    return make_snapshot(CLIP, [make_deployment(CLIP, 2)], serving_pods(CLIP, 2), **{**SERVED, **fields})


def updating(*pods: Any, ready: int = 0, stuck: bool = False, **fields: Any) -> Snapshot:
    """Version 1 serves with two pods, version 2 has one."""
    draft = NEXT.having(rollout={"progressDeadlineSeconds": 200}) if stuck else NEXT
    deployments = [make_deployment(CLIP, 2), make_deployment(draft, 1, ready=ready, stuck=stuck)]
    return make_snapshot(draft, deployments, [*serving_pods(CLIP, 2), *pods], **{**SERVED, **fields})


def starting(*pods: Any, **fields: Any) -> Snapshot:
    """The first version, of which no pod serves yet."""
    return make_snapshot(CLIP, [make_deployment(CLIP, 2, ready=0)], pods, **fields)


def autoscaled(serving: int = 2, **hpa: tuple[str, str]) -> Snapshot:
    draft = CLIP.autoscaled(1, 4)
    deployment = make_deployment(draft, 2, ready=serving)
    return make_snapshot(draft, [deployment, make_hpa(draft, **hpa)], serving_pods(draft, serving))


def troubled(case: Case) -> Snapshot:
    """One of two pods serves, the other has this trouble."""
    deployment = with_refusal(make_deployment(SICK, 2, ready=1), case.refused)
    serving = make_pod(SICK, "healthy", born="2025-12-31T00:00:00Z").ready().build()
    pods = [serving, *(of_sick(pod) for pod in (case.pod.build(), *case.leaving))]
    return make_snapshot(SICK, [deployment, *case.claims], pods, pod_events=case.events, status=SICK_SERVED)


def of_sick(pod: Manifest) -> Manifest:
    """The pod as one of the revision that `SICK` asks for, whatever else it asks for."""
    return {**pod, "metadata": {**pod["metadata"], "labels": make_pod(SICK).pod["metadata"]["labels"]}}


def cached(*pods: Any, **fields: Any) -> Snapshot:
    """A model on a claim, of which no pod serves yet."""
    return make_snapshot(CACHED, [make_deployment(CACHED, 2, ready=0)], pods, **fields)


CACHED = SICK = CASES_DRAFT
SICK_SERVED = status_of(make_snapshot(SICK, [make_deployment(SICK, 2)], serving_pods(SICK, 2)))
FETCHER = names.CONTAINER_FETCHER
FETCHING = make_pod(CACHED).running(FETCHER).build()
TOO_SMALL = make_pod(CACHED).failed(FETCHER, last_words("NoSpace")).build()
FETCHED = make_pod(CACHED).succeeded(FETCHER).build()
FAILED = make_pod(NEXT, "new").failed(SERVER, last_words("ModelLoadFailed")).build()
PENDING = make_pod(CLIP.on_gpu(1), "more").unschedulable("0/1 nodes: 1 Insufficient nvidia.com/gpu.").build()
SERVICE = Ref("v1", "Service", NAMESPACE, "clip")
BUDGET = Ref("policy/v1", "PodDisruptionBudget", NAMESPACE, "clip")
ON_CPU = CLIP.on_gpu(1, "CPU")

TABLE: list[tuple[str, Snapshot, dict[str, tuple[str, str]]]] = [
    (
        "nothing was looked at yet",
        make_snapshot(CLIP, resolution=unresolved(Reason.RESOLVING)),
        {
            "Ready": ("False", "Resolving"),
            "Available": ("False", "NoReadyReplicas"),
            "Progressing": ("False", "Resolving"),
            "ModelResolved": ("Unknown", "Resolving"),
            "Accepted": ("True", "Accepted"),
            "Degraded": ("False", "AsAsked"),
        },
    ),
    (
        "what was found has no manifest",
        make_snapshot(CLIP, resolution=WITHOUT_MANIFEST),
        {"ModelResolved": ("True", "ResolvedWithoutManifest"), "Accepted": ("True", "Accepted")},
    ),
    (
        "the first pods load",
        starting(make_pod(CLIP).build()),
        {
            "Ready": ("False", "Starting"),
            "Available": ("False", "NoReadyReplicas"),
            "Progressing": ("True", "Starting"),
            "Stalled": ("False", "Starting"),
            "ModelResolved": ("True", "Resolved"),
            "CapacityAvailable": ("True", "Scheduled"),
        },
    ),
    (
        "it serves",
        SERVING,
        {
            "Ready": ("True", "Ready"),
            "Available": ("True", "Serving"),
            "Progressing": ("False", "Settled"),
            "Stalled": ("False", "Settled"),
            "Accepted": ("True", "Accepted"),
            "ModelResolved": ("True", "Resolved"),
            "CapacityAvailable": ("True", "Scheduled"),
            "Degraded": ("False", "AsAsked"),
        },
    ),
    (
        "more are wanted",
        make_snapshot(CLIP.replicas(3), [make_deployment(CLIP, 2)], serving_pods(CLIP, 2), **SERVED),
        {"Ready": ("False", "Scaling"), "Progressing": ("True", "Scaling"), "Available": ("True", "Serving")},
    ),
    (
        "none is wanted",
        make_snapshot(CLIP.replicas(0), [make_deployment(CLIP, 0)]),
        {
            "Ready": ("True", "ScaledToZero"),
            "Available": ("False", "ScaledToZero"),
            "Progressing": ("False", "Settled"),
        },
    ),
    (
        "none is wanted of what could not serve",
        make_snapshot(CLIP.replicas(0), [make_deployment(CLIP, 0, stuck=True)]),
        {"Ready": ("True", "ScaledToZero"), "Stalled": ("False", "Settled")},
    ),
    (
        "a new version loads",
        updating(make_pod(NEXT).build()),
        {
            "Ready": ("False", "RollingOut"),
            "Progressing": ("True", "RollingOut"),
            "Stalled": ("False", "RollingOut"),
            "Available": ("True", "Serving"),
            "Degraded": ("False", "AsAsked"),
        },
    ),
    (
        "a new version fails",
        updating(FAILED),
        {
            "Ready": ("False", "ModelLoadFailed"),
            "Progressing": ("True", "RollingOut"),
            "Stalled": ("False", "RollingOut"),
        },
    ),
    (
        "a new version failed for too long",
        updating(FAILED, stuck=True),
        {
            "Ready": ("False", "ModelLoadFailed"),
            "Progressing": ("False", "RolledBack"),
            "Stalled": ("True", "RolledBack"),
            "Available": ("True", "Serving"),
            "Degraded": ("True", "RolledBack"),
        },
    ),
    (
        "a new version does not get on, and no pod says why",
        updating(make_pod(NEXT).build(), stuck=True),
        {"Ready": ("False", "ProgressDeadlineExceeded"), "Stalled": ("True", "RolledBack")},
    ),
    (
        "a new version is not there",
        updating(resolution=unresolved(Reason.VERSION_NOT_FOUND)),
        {
            "Ready": ("False", "VersionNotFound"),
            "ModelResolved": ("False", "VersionNotFound"),
            "Available": ("True", "Serving"),
            "Progressing": ("False", "VersionNotFound"),
            "Degraded": ("True", "UpdateBlocked"),
            "Accepted": ("True", "Accepted"),
        },
    ),
    (
        "it is not known yet whether a new version is there",
        settled(resolution=unresolved(Reason.RESOLVING)),
        {"ModelResolved": ("Unknown", "Resolving"), "Degraded": ("False", "AsAsked")},
    ),
    (
        "the spec cannot be read",
        settled(mmm=None, invalid="spec.replicas: Input should be a valid integer"),
        {
            "Ready": ("False", "InvalidSpec"),
            "Accepted": ("False", "InvalidSpec"),
            "Stalled": ("True", "InvalidSpec"),
            "Available": ("True", "Serving"),
            "Degraded": ("True", "UpdateBlocked"),
        },
    ),
    (
        "somebody else has the name of the Service",
        settled(foreign=frozenset({SERVICE})),
        {
            "Ready": ("False", "NameConflict"),
            "Accepted": ("False", "NameConflict"),
            "Stalled": ("True", "NameConflict"),
            "Degraded": ("False", "AsAsked"),
        },
    ),
    (
        "somebody else has the name of a budget that is not needed",
        make_snapshot(make_mmm(), foreign=frozenset({BUDGET})),
        {"Accepted": ("True", "Accepted"), "Ready": ("False", "Starting")},
    ),
    (
        "the API server refuses a write",
        settled(refused="exceeded quota: pods=10"),
        {"Ready": ("False", "Rejected"), "Accepted": ("False", "Rejected"), "Stalled": ("False", "Settled")},
    ),
    (
        "one of the pods that serve fails",
        make_snapshot(
            CLIP,
            [make_deployment(CLIP, 2, ready=1)],
            [*serving_pods(CLIP, 1), make_pod(CLIP, "b").failed(SERVER, exited(1)).build()],
            **SERVED,
        ),
        {
            "Ready": ("False", "ContainerFailed"),
            "Available": ("True", "Serving"),
            "Progressing": ("True", "Scaling"),
            "Degraded": ("True", "ReplicasFailing"),
        },
    ),
    (
        "no GPU is free",
        starting(make_pod(CLIP.on_gpu(1)).unschedulable("1 Insufficient nvidia.com/gpu").build()),
        {"CapacityAvailable": ("False", "InsufficientAccelerator")},
    ),
    (
        "it runs on the CPU instead",
        make_snapshot(
            ON_CPU,
            [make_deployment(ON_CPU, 2)],
            serving_pods(ON_CPU, 2),
            reports={"a": make_report(make_pod(ON_CPU).build(), "cpu")},
        ),
        {"Ready": ("True", "Ready"), "Degraded": ("True", "AcceleratorFallback")},
    ),
    *(
        (
            f"a pod has trouble: {case.name}",
            troubled(case),
            {"Ready": ("False", case.reason.value), "Available": ("True", "Serving"), "Accepted": ("True", "Accepted")},
        )
        for case in (*CASES, *VARIANTS)
    ),
    (
        "pods are too many",
        make_snapshot(CLIP.replicas(1), [make_deployment(CLIP, 2)], serving_pods(CLIP, 2), **SERVED),
        {"Ready": ("False", "Scaling"), "Progressing": ("True", "Scaling"), "Available": ("True", "Serving")},
    ),
    (
        "none is wanted, but one is left",
        make_snapshot(CLIP.replicas(0), [make_deployment(CLIP, 0, existing=1)], serving_pods(CLIP, 1), **SERVED),
        {"Ready": ("False", "Scaling"), "Progressing": ("True", "Scaling")},
    ),
    (
        "a pod is left of another revision",
        make_snapshot(
            NEXT, [make_deployment(CLIP, 0), make_deployment(NEXT, 2)], [*serving_pods(NEXT, 2), *serving_pods(CLIP, 1)]
        ),
        {"Ready": ("False", "RollingOut")},
    ),
    (
        "nobody has looked at the volume",
        cached(),
        {"ModelCached": ("Unknown", "Downloading")},
    ),
    ("the model is fetched", cached(FETCHING), {"ModelCached": ("False", "Downloading")}),
    (
        "the volume is too small",
        cached(TOO_SMALL),
        {"ModelCached": ("False", "NoSpace"), "Ready": ("False", "NoSpace")},
    ),
    ("the model is on the volume", cached(FETCHED), {"ModelCached": ("True", "Cached")}),
    (
        "the model is on the volume, and a pod that comes later does not get there",
        cached(TOO_SMALL, status=status_of(cached(FETCHED))),
        {"ModelCached": ("False", "NoSpace")},
    ),
    (
        "the model is on the volume, and nothing runs any more",
        cached(status=status_of(cached(FETCHED))),
        {"ModelCached": ("True", "Cached")},
    ),
    (
        "another model is on the volume",
        make_snapshot(CACHED.version("2"), status=status_of(cached(FETCHED))),
        {"ModelCached": ("False", "Downloading"), "Progressing": ("True", "Downloading")},
    ),
    (
        "the autoscaler is at its limit",
        autoscaled(
            AbleToScale=("True", "Ok"), ScalingActive=("True", "Ok"), ScalingLimited=("True", "TooManyReplicas")
        ),
        {"AutoscalingActive": ("True", "LimitedByMaximum")},
    ),
    ("the autoscaler is new", autoscaled(), {"AutoscalingActive": ("Unknown", "AutoscalerPending")}),
    (
        "the autoscaler works",
        autoscaled(AbleToScale=("True", "ReadyForNewScale"), ScalingActive=("True", "ValidMetricFound")),
        {"AutoscalingActive": ("True", "AutoscalerActive")},
    ),
    (
        "the autoscaler is blind",
        autoscaled(AbleToScale=("True", "Ok"), ScalingActive=("False", "FailedGetResourceMetric")),
        {"AutoscalingActive": ("False", "MetricsUnavailable"), "Ready": ("True", "Ready")},
    ),
    (
        "no pod has metrics yet",
        autoscaled(0, AbleToScale=("True", "Ok"), ScalingActive=("False", "FailedGetResourceMetric")),
        {"AutoscalingActive": ("Unknown", "AutoscalerPending")},
    ),
    (
        "the autoscaler came before the status",
        autoscaled(AbleToScale=("True", "Ok"), ScalingActive=("False", "InvalidSelector")),
        {"AutoscalingActive": ("Unknown", "AutoscalerPending")},
    ),
    (
        "the autoscaler rests at zero",
        autoscaled(AbleToScale=("True", "Ok"), ScalingActive=("False", "ScalingDisabled")),
        {"AutoscalingActive": ("False", "ScaledToZero")},
    ),
    ("nothing newer is there", settled(update=Update()), {"UpdateAvailable": ("False", "UpToDate")}),
    ("a newer version is there", settled(update=Update(newer="2")), {"UpdateAvailable": ("True", "NewVersion")}),
    (
        "other bytes lie under the version that serves",
        settled(update=Update(newer="2", changed="sha256:feed")),
        {"UpdateAvailable": ("True", "ContentChanged"), "Ready": ("True", "Ready")},
    ),
    (
        "nobody can look any more",
        settled(update=Update(trouble=(Reason.ENDPOINT_FORBIDDEN, "why"))),
        {"UpdateAvailable": ("Unknown", "EndpointForbidden"), "Ready": ("True", "Ready")},
    ),
    (
        "a new process has not looked yet",
        make_snapshot(
            CLIP,
            [make_deployment(CLIP, 2)],
            serving_pods(CLIP, 2),
            status=status_of(settled(update=Update(newer="2"))),
        ),
        {"UpdateAvailable": ("True", "NewVersion")},
    ),
    (
        "what was new for the process before is wanted now",
        make_snapshot(
            NEXT,
            [make_deployment(NEXT, 2)],
            serving_pods(NEXT, 2),
            status=status_of(settled(update=Update(latest=("2", digest_of("2")), newer="2"))),
        ),
        {"UpdateAvailable": ("False", "UpToDate")},
    ),
]


@pytest.mark.parametrize(("snapshot", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_is_true(snapshot: Snapshot, expected: dict[str, tuple[str, str]]) -> None:
    found = conditions(snapshot)
    assert {kind: (found[kind].status, found[kind].reason) for kind in expected} == expected


@pytest.mark.parametrize("snapshot", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
def test_every_condition_is_always_there(snapshot: Snapshot) -> None:
    optional = {
        *(ConditionType.AUTOSCALING_ACTIVE, ConditionType.MODEL_RESOLVED, ConditionType.MODEL_CACHED),
        ConditionType.UPDATE_AVAILABLE,
    }
    assert conditions(snapshot).keys() >= {kind.value for kind in ConditionType if kind not in optional}


def test_without_autoscaling_nothing_is_said_about_it() -> None:
    assert "AutoscalingActive" not in conditions(SERVING)


def test_every_condition_is_in_the_table() -> None:
    assert {kind for _, _, expected in TABLE for kind in expected} == {kind.value for kind in ConditionType}


def test_no_reason_is_dead() -> None:
    """Every documented reason can be met: in the table above, in a pod, or as an answer of the repository."""
    in_table = {reason for _, _, expected in TABLE for _, reason in expected.values()}
    in_repository = {
        error.reason
        for error in vars(repository).values()
        if isinstance(error, type) and issubclass(error, repository.RepositoryError)
    }
    in_resolver = {"CredentialsNotFound", "Resolving"}
    elsewhere = {"Suspended", "Paused"}  # test_suspend
    elsewhere |= {
        "Analyzing",
        "AwaitingPromotion",
        "ErrorRateTooHigh",
        "LatencyTooHigh",
        "AnswersDiffer",
    }  # test_course
    assert {reason.value for reason in Reason} <= in_table | {*OWN_WORDS} | in_repository | in_resolver | elsewhere


@pytest.mark.parametrize("reason", [r for r in OWN_WORDS if r not in ("OutOfMemory",)])
def test_what_the_repository_says_is_the_reason_of_ready(reason: str) -> None:
    found = conditions(make_snapshot(CLIP, resolution=unresolved(OWN_WORDS[reason], "the sentence")))
    assert (found["Ready"].reason, found["Ready"].message) == (reason, "the sentence")


@pytest.mark.parametrize(
    ("snapshot", "kind", "words"),
    [
        (SERVING, "Ready", "2 of 2 pods serve"),
        (SERVING, "ModelResolved", "version 1 is sha256:"),
        (updating(FAILED, stuck=True), "Stalled", "ModelLoadFailed: why"),
        (
            updating(FAILED, stuck=True),
            "Degraded",
            "version 2 was given up, version 1 serves: ModelLoadFailed: why",
        ),
        (settled(foreign=frozenset({SERVICE})), "Accepted", "Service clip exists and belongs to somebody else"),
        (settled(refused="exceeded quota: pods=10"), "Accepted", "exceeded quota: pods=10"),
        (settled(mmm=None, invalid="spec.replicas: no"), "Ready", "spec.replicas: no"),
    ],
)
def test_messages_are_for_people(snapshot: Snapshot, kind: str, words: str) -> None:
    assert words in conditions(snapshot)[kind].message


def test_trouble_in_pods_of_another_revision_is_not_the_target_s() -> None:
    old = make_pod(CLIP, "old").failed(SERVER, exited(1)).build()
    snapshot = make_snapshot(NEXT, [make_deployment(NEXT, 2)], [*serving_pods(NEXT, 2), old])
    assert conditions(snapshot)["Degraded"].reason == "AsAsked"
