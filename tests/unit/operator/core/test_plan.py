"""A plan for any world, however odd, and only for what it must touch."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mmm_operator import names
from mmm_operator.api.conditions import Reason
from mmm_operator.api.status import Status
from mmm_operator.plan import Plan
from mmm_operator.planner import plan
from mmm_operator.snapshot import Manifest, Ref, Resolution, Snapshot
from tests.unit.operator.core.build import (
    NAMESPACE,
    NOW,
    SETTINGS,
    exited,
    make_deployment,
    make_mmm,
    make_pod,
    make_snapshot,
    serving_pods,
)
from tests.unit.operator.core.cluster import Cluster
from tests.unit.operator.core.test_drift import Path, put

CLIP = make_mmm().replicas(2)
BROKEN = make_pod(CLIP, "broken").failed(names.CONTAINER_SERVER, exited(1)).build()


def decide(snapshot: Snapshot) -> Plan:
    return plan(snapshot, SETTINGS, NOW)


def settled(**changes: Any) -> Cluster:
    cluster = Cluster(make_mmm().replicas(2).having(**changes))
    cluster.settle()
    return cluster


def kinds(found: Plan) -> list[str]:
    return [step.manifest["kind"] for step in found.apply]


# Any world


def branches(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every part of an object."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from branches(item, (*path, key))


# Without these the API server takes no object.
REQUIRED = {
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "uid",
    "spec",
    "template",
    "containers",
    "type",
    "status",
}


def optional(manifest: Manifest) -> Iterator[Path]:
    return (path for path in branches(manifest) if path[-1] not in REQUIRED and not isinstance(path[-1], int))


def test_whatever_is_missing_from_a_deployment_there_is_a_plan() -> None:
    cluster = settled()
    (live,) = cluster.deployments()
    for path in optional(live):
        cut = put(live, path, None)
        decide(make_snapshot(CLIP, [cut], serving_pods(CLIP, 2), status=Status.model_validate(cluster.status)))


def test_whatever_is_missing_from_a_pod_there_is_a_plan() -> None:
    for pod in (BROKEN, *serving_pods(CLIP, 1), make_pod(CLIP).unschedulable("full").build()):
        for path in optional(pod):
            decide(make_snapshot(CLIP, [make_deployment(CLIP, 2)], [put(pod, path, None)]))


@pytest.mark.parametrize("status", [Status(), None], ids=["no status", "a status"])
@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("resolved", [None, True, False])
def test_whatever_is_known_there_is_a_plan(status: Status | None, readable: bool, resolved: bool | None) -> None:
    cluster = settled()
    whole = cluster.snapshot()
    answers = {None: None, True: whole.resolution, False: Resolution("", "1", reason=Reason.ACCESS_DENIED)}
    found = replace(
        whole,
        mmm=whole.mmm if readable else None,
        resolution=answers[resolved],
        status=whole.status if status is None else status,
    )
    assert [step for step in decide(found).apply if step.manifest["spec"].get("replicas", 2) != 2] == []


@pytest.mark.parametrize("label", [names.LABEL_REVISION, names.LABEL_VERSION, names.LABEL_INSTANCE])
def test_a_label_that_somebody_took_away_comes_back(label: str) -> None:
    cluster = settled()
    (live,) = cluster.deployments()
    del live["metadata"]["labels"][label]
    found = cluster.reconcile()
    assert kinds(found) == ["Deployment"]
    assert label in found.because
    assert cluster.reconcile().writes == 0


def test_absurd_labels_and_annotations_end_in_a_status_that_can_be_stored() -> None:
    deployment = make_deployment(CLIP, 2)
    deployment["metadata"]["annotations"][names.ANNOTATION_DIGEST] = "x" * 9999
    found = decide(make_snapshot(CLIP, [deployment], serving_pods(CLIP, 2), mmm=None, invalid="spec: odd"))
    assert found.status is not None
    assert Status.model_validate(found.status.to_json()) == found.status


def test_a_plan_changes_nothing_that_it_looks_at() -> None:
    cluster = settled()
    cluster.version("2")
    for _ in range(4):
        cluster.round()
        seen = cluster.snapshot()
        before = copy.deepcopy(seen)
        found = decide(seen)
        assert seen == before
        assert decide(seen) == found


# Only what it must


def test_the_first_plan_creates_the_children_in_the_order_in_which_they_are_needed() -> None:
    cache = {"type": "PersistentVolumeClaim", "claimTemplate": {"size": "1Gi"}}
    found = decide(make_snapshot(CLIP.autoscaled(1, 4).having(cache=cache)))
    assert kinds(found) == [
        "PersistentVolumeClaim",
        "Service",
        "PodDisruptionBudget",
        "Job",
        "HorizontalPodAutoscaler",
    ]
    assert all(step.create for step in found.apply)
    assert found.because.startswith("create PersistentVolumeClaim clip-models; create Service clip")


def test_while_the_version_is_not_known_no_pod_is_asked_for() -> None:
    unknown = Resolution("s3://models/clip", "1", reason=Reason.ENDPOINT_UNREACHABLE, message="no answer")
    found = decide(make_snapshot(CLIP, resolution=unknown))
    assert kinds(found) == ["Service", "PodDisruptionBudget"]
    assert found.requeue_after == 60.0


def test_nothing_is_written_while_the_spec_cannot_be_read() -> None:
    cluster = settled()
    found = decide(replace(cluster.snapshot(), mmm=None, invalid="spec.replicas: no"))
    assert (found.apply, found.delete) == ((), ())
    assert found.status is not None
    assert found.status.ready_summary == "2/2"


def test_a_rollout_stands_still_while_the_spec_cannot_be_read() -> None:
    cluster = settled()
    cluster.version("2")
    for _ in range(2):
        cluster.round()
    found = decide(replace(cluster.snapshot(), mmm=None, invalid="spec.replicas: no"))
    assert (found.apply, found.delete) == ((), ())


@pytest.mark.parametrize("replicas", [0, 1])
def test_only_pods_that_serve_are_asked_for_their_page(replicas: int) -> None:
    draft = CLIP.replicas(replicas)
    found = decide(make_snapshot(draft, [make_deployment(draft, replicas)], serving_pods(draft, replicas)))
    assert (found.requeue_after is not None) == (replicas > 0)


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "Deployment"])
def test_an_object_of_somebody_else_is_left_alone(kind: str) -> None:
    first = {step.manifest["kind"]: Ref.of(step.manifest) for step in decide(make_snapshot(CLIP)).apply}
    found = decide(make_snapshot(CLIP, foreign=frozenset({first[kind]})))
    assert kind not in kinds(found)
    assert len(kinds(found)) == len(first) - 1
    assert found.status is not None
    assert "NameConflict" in {condition.reason for condition in found.status.conditions}


def test_what_is_not_needed_any_more_is_deleted() -> None:
    cluster = Cluster(CLIP.autoscaled(1, 4))
    cluster.settle()
    cluster.draft = replace(CLIP.replicas(1), generation=9)
    deleted = [delete.ref.kind for delete in cluster.reconcile().delete]
    assert deleted == ["HorizontalPodAutoscaler", "PodDisruptionBudget"]


def test_turning_autoscaling_on_or_off_keeps_the_size() -> None:
    cluster = settled()
    for draft in (cluster.draft.autoscaled(1, 4), cluster.draft):
        cluster.draft = draft.at_generation(cluster.draft.generation + 1)
        cluster.settle()
        assert cluster.serving() == 2


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "Deployment"])
def test_a_child_that_was_deleted_is_made_again(kind: str) -> None:
    cluster = settled()
    ref = next(ref for ref in cluster.children if ref.kind == kind)
    del cluster.children[ref]
    found = cluster.reconcile()
    assert [(Ref.of(step.manifest), step.create) for step in found.apply] == [(ref, True)]


def test_a_child_that_somebody_resized_gets_its_size_back() -> None:
    cluster = settled()
    (live,) = cluster.deployments()
    live["spec"]["replicas"] = 7
    found = cluster.reconcile()
    assert "spec.replicas is 7 instead of 2" in found.because


def test_an_old_deployment_keeps_everything_but_its_size() -> None:
    cluster = settled()
    old = copy.deepcopy(cluster.deployments()[0])
    cluster.version("2")
    cluster.settle()
    now = cluster.children[Ref("apps/v1", "Deployment", NAMESPACE, old["metadata"]["name"])]
    assert now["spec"] == {**old["spec"], "replicas": 0}
    assert now["metadata"]["labels"] == old["metadata"]["labels"]
    assert now["metadata"]["ownerReferences"] == old["metadata"]["ownerReferences"]
