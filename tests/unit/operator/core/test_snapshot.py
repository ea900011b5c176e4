"""What a Deployment and its pods say about a revision."""

from datetime import timedelta
from typing import Any

import pytest

from mmm_operator import names
from mmm_operator.revisions import RevisionState, parse_revision
from mmm_operator.snapshot import Manifest, Ref
from tests.unit.operator.core.build import (
    IMAGE,
    NAMESPACE,
    NOW,
    digest_of,
    exited,
    make_deployment,
    make_mmm,
    make_pod,
    make_snapshot,
    serving_pods,
)

CLIP = make_mmm().having(rollout={"progressDeadlineSeconds": 600})  # the pods of the tests are five minutes old
SERVING = serving_pods(CLIP, 3)
LOADING = make_pod(CLIP, "new").build()


def state(deployment: Manifest, pods: list[Manifest], later: float = 0.0) -> RevisionState:
    return parse_revision(deployment, pods, NOW + timedelta(seconds=later))


def test_it_knows_what_it_runs() -> None:
    found = state(make_deployment(CLIP, 3), SERVING)
    assert (found.revision, found.version, found.digest, found.image) == (
        CLIP.revision().id,
        "1",
        digest_of("1"),
        IMAGE,
    )
    assert (found.wanted, found.existing, found.ready, found.available) == (3, 3, 3, 3)


@pytest.mark.parametrize(
    ("deployment", "pods", "ready", "available"),
    [
        (make_deployment(CLIP, 3), SERVING, 3, 3),
        (make_deployment(CLIP, 3, ready=2), SERVING, 3, 2),  # the status lags behind
        (make_deployment(CLIP, 3), SERVING[:2], 2, 2),  # a pod is gone
        (make_deployment(CLIP, 3), [*SERVING[:2], LOADING], 2, 2),
        (make_deployment(CLIP, 1, existing=3), SERVING, 1, 1),  # two are about to be taken away
        (make_deployment(CLIP, 3), [], 0, 0),
        (make_deployment(CLIP, 3), serving_pods(CLIP.version("2"), 3), 0, 0),  # pods of another revision
    ],
)
def test_pods_count_while_they_serve_and_stay(
    deployment: Manifest, pods: list[Manifest], ready: int, available: int
) -> None:
    found = state(deployment, pods)
    assert (found.ready, found.available) == (ready, available)


def test_a_pod_on_its_way_out_serves_no_more() -> None:
    leaving = make_pod(CLIP, "old").ready().terminating().build()
    assert state(make_deployment(CLIP, 3), [*SERVING[:2], leaving]).ready == 2


def test_a_deployment_without_a_status_has_no_pods() -> None:
    deployment = {**make_deployment(CLIP, 3), "status": {}}
    assert (state(deployment, []).existing, state(deployment, []).stuck) == (0, False)


def test_the_verdict_of_the_deployment_controller_counts_for_the_present_size_alone() -> None:
    deployment = make_deployment(CLIP, 3, ready=0, stuck=True)
    assert state(deployment, []).stuck
    deployment["metadata"]["generation"] = 2
    assert not state(deployment, []).stuck


@pytest.mark.parametrize(("later", "stuck"), [(0, False), (299, False), (300, True), (9999, True)])
def test_pods_that_are_not_ready_in_time_are_stuck(later: float, stuck: bool) -> None:
    found = state(make_deployment(CLIP, 3), [*SERVING[:2], LOADING], later)
    assert found.stuck is stuck
    assert found.due == NOW + timedelta(seconds=300)


def test_pods_that_serve_are_never_overdue() -> None:
    assert state(make_deployment(CLIP, 3), SERVING, later=10**7).due is None


def test_the_remains_of_an_evicted_pod_are_not_waited_for() -> None:
    evicted = make_pod(CLIP, "old").ended("Evicted", "The node was low on resource: memory.").build()
    assert state(make_deployment(CLIP, 3), [*SERVING, evicted]).due is None
    assert state(make_deployment(CLIP, 3), [*SERVING[:2], evicted]).due is None
    assert state(make_deployment(CLIP, 3), [*SERVING[:2], evicted, LOADING]).due is not None


def test_a_pod_too_many_is_not_waited_for() -> None:
    assert state(make_deployment(CLIP, 2), [*SERVING[:2], LOADING]).due is None


def test_the_clock_starts_anew_when_a_pod_changes() -> None:
    failing = make_pod(CLIP, "b").failed(names.CONTAINER_SERVER, exited(1)).build()
    since = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:04:00Z"}
    failing["status"]["conditions"].append(since)
    assert state(make_deployment(CLIP, 3), [*SERVING[:2], failing]).due == NOW + timedelta(seconds=540)


def test_a_revision_whose_label_was_taken_away_is_known_by_its_selector() -> None:
    deployment = make_deployment(CLIP, 1)
    deployment["metadata"]["labels"] = {}
    assert state(deployment, []).revision == CLIP.revision().id


@pytest.mark.parametrize(
    "manifest", [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "clip", "namespace": NAMESPACE}}]
)
def test_a_reference_reads_like_kubectl(manifest: dict[str, Any]) -> None:
    assert Ref.of(manifest) == Ref("v1", "Service", NAMESPACE, "clip")
    assert str(Ref.of(manifest)) == "Service clip"


def test_children_of_a_kind_come_by_name() -> None:
    snapshot = make_snapshot(CLIP, [make_deployment(CLIP.version(v)) for v in ("3", "1", "2")])
    found = [item["metadata"]["name"] for item in snapshot.of_kind("Deployment")]
    assert found == sorted(found)
    assert len(found) == 3
