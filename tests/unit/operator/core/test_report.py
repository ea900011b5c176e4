"""The status and the events that a plan writes."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from mmm_operator.api.conditions import Condition
from mmm_operator.api.status import Status
from mmm_operator.plan import Event, Plan
from mmm_operator.planner import UNREAD_SECONDS, plan
from mmm_operator.report import report_events, timestamp
from mmm_operator.snapshot import Snapshot
from tests.unit.operator.core.build import (
    IMAGE,
    NOW,
    SETTINGS,
    digest_of,
    make_deployment,
    make_mmm,
    make_report,
    make_snapshot,
    serving_pods,
)
from tests.unit.operator.core.cluster import BAD, MISSING, Cluster

CLIP = make_mmm().replicas(2)
PODS = serving_pods(CLIP, 2)
SERVING = make_snapshot(CLIP.at_generation(7), [make_deployment(CLIP, 2)], PODS)


def decide(snapshot: Snapshot) -> Plan:
    return plan(snapshot, SETTINGS, NOW)


def written(snapshot: Snapshot) -> Status:
    status = decide(snapshot).status
    assert status is not None
    return status


# The status


def test_it_counts_and_names_what_runs() -> None:
    status = written(SERVING)
    assert status.observed_generation == 7
    assert (status.replicas, status.ready_replicas, status.available_replicas, status.updated_replicas) == (2, 2, 2, 2)
    assert status.ready_summary == "2/2"
    assert status.url == "http://clip.shop.svc"
    assert status.selector == "app.kubernetes.io/name=multimodal-model,serving.multimodal.dev/model=clip"
    assert status.resolved is not None
    assert status.resolved.server_image == IMAGE


def test_the_selector_is_there_before_anything_runs() -> None:
    """Without it the autoscaler cannot even begin."""
    assert written(make_snapshot(CLIP)).selector


def test_the_url_has_the_port_unless_it_is_the_usual_one() -> None:
    draft = CLIP.having(service={"port": 8000})
    assert written(make_snapshot(draft)).url == "http://clip.shop.svc:8000"


def test_the_url_stays_while_the_spec_cannot_be_read() -> None:
    before = written(make_snapshot(CLIP.having(service={"port": 8000})))
    assert written(make_snapshot(CLIP, mmm=None, invalid="x", status=before)).url == before.url


def test_it_shows_both_ends_of_a_rollout() -> None:
    cluster = Cluster(CLIP)
    cluster.settle()
    began = timestamp(cluster.now)
    cluster.version("2")
    for _ in range(3):
        cluster.round()
    status = Status.model_validate(cluster.status)
    assert status.model.current is not None
    assert status.model.target is not None
    assert (status.model.current.version, status.model.target.version) == ("1", "2")
    assert status.model.target.digest == digest_of("2")
    assert digest_of("2").startswith(f"sha256:{status.model.target.short_digest}")
    assert status.rollout.summary == "1/2"
    assert status.rollout.started_at == began
    assert "old pods keep serving" in status.rollout.message
    cluster.settle()
    status = Status.model_validate(cluster.status)
    assert status.model.current is not None
    assert status.model.previous is not None
    assert (status.model.current.version, status.model.previous.version) == ("2", "1")
    assert (status.rollout.summary, status.rollout.message, status.rollout.started_at) == ("", "", None)


def test_it_remembers_where_a_version_was_found() -> None:
    """So that the repository need not be asked again for what serves."""
    storage = {"endpoint": "http://s3:9000"}
    target = written(make_snapshot(CLIP.having(storage=storage))).model.target
    assert target is not None
    assert (target.uri, target.endpoint) == ("s3://models/clip", "http://s3:9000")


def test_of_a_version_that_nobody_asks_for_it_says_what_the_deployment_says() -> None:
    """The status was lost in the middle of a rollout: where version 1 came from is not known any more."""
    children = [make_deployment(CLIP, 2), make_deployment(CLIP.version("2"), 1, ready=0)]
    model = written(make_snapshot(CLIP.version("2"), children, PODS)).model
    assert model.current is not None
    assert model.target is not None
    assert (model.current.version, model.current.digest, model.current.uri) == ("1", digest_of("1"), "")
    assert (model.target.version, model.target.digest, model.target.uri) == ("2", digest_of("2"), "s3://models/clip")


def test_since_moves_only_with_the_version() -> None:
    cluster = Cluster(CLIP)
    cluster.settle()
    before = Status.model_validate(cluster.status).model.current
    cluster.replicas(3)
    cluster.settle()
    assert Status.model_validate(cluster.status).model.current == before


def test_it_survives_being_stored() -> None:
    """What is read back must equal what was written, or every reconcile would write."""
    for snapshot in (SERVING, make_snapshot(CLIP), make_snapshot(CLIP, mmm=None, invalid="x")):
        status = written(snapshot)
        assert Status.model_validate(status.to_json()) == status
        assert decide(replace(snapshot, status=Status.model_validate(status.to_json()))).status is None


def with_report(**fields: Any) -> Snapshot:
    return replace(SERVING, reports={"a": make_report(PODS[0], **fields)})


def test_it_shows_the_device_and_the_time_to_load() -> None:
    status = written(with_report())
    assert status.acceleration is not None
    assert status.acceleration.to_json() == {
        "device": "cuda",
        "name": "H200",
        "dtype": "bfloat16",
        "memoryBytes": 1,
    }
    assert status.load_seconds == 3


def test_they_are_remembered_when_no_page_can_be_read() -> None:
    status = written(with_report())
    again = replace(SERVING, status=status)
    assert decide(again).status is None


@pytest.mark.parametrize("seconds", [None, -1.0, float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize("memory", [None, -1, 2**63])
def test_a_page_that_makes_no_sense_harms_nobody(seconds: float | None, memory: int | None) -> None:
    strange = {"device": "x" * 999, "device_name": "y" * 999, "dtype": "z" * 999}
    status = written(with_report(**strange, load_seconds=seconds, memory_bytes=memory))
    assert status.acceleration is not None
    assert (status.load_seconds, status.acceleration.memory_bytes) == (None, None)
    assert Status.model_validate(status.to_json()) == status


def test_a_page_that_was_not_read_is_asked_for_again() -> None:
    assert decide(SERVING).requeue_after == UNREAD_SECONDS
    assert decide(with_report()).requeue_after is None


# Events


def condition(kind: str, status: Any, reason: str, message: str = "") -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=timestamp(NOW))


READY = condition("Ready", "True", "Ready", "2 of 2 pods serve")
ROLLING = condition("Ready", "False", "RollingOut", "0 of 2")
FAILING = condition("Ready", "False", "ModelLoadFailed", "no model")
UP = condition("Available", "True", "Serving")
DOWN = condition("Available", "False", "NoReadyReplicas", "no pod answers requests")
EVENTS: list[tuple[str, list[Condition], list[Condition], list[Event]]] = [
    ("nothing new", [READY], [READY], []),
    ("another sentence", [READY], [READY.model_copy(update={"message": "3 of 3"})], []),
    ("good news at the first look", [], [READY, UP], []),
    ("the first pods load", [], [ROLLING, DOWN], [
        Event("Normal", "RollingOut", "Ready: 0 of 2"),
        Event("Normal", "NoReadyReplicas", "Available: no pod answers requests"),
    ]),
    ("it is ready", [ROLLING], [READY], [Event("Normal", "Ready", "Ready: 2 of 2 pods serve")]),
    ("it begins to roll", [READY], [ROLLING], [Event("Normal", "RollingOut", "Ready: 0 of 2")]),
    ("it fails", [ROLLING], [FAILING], [Event("Warning", "ModelLoadFailed", "Ready: no model")]),
    ("it still fails, differently said", [FAILING], [FAILING.model_copy(update={"message": "no"})], []),
    ("it is back", [DOWN], [UP], [Event("Normal", "Serving", "Available: At least one pod answers requests.")]),
    ("an outage", [UP], [DOWN], [Event("Warning", "NoReadyReplicas", "Available: no pod answers requests")]),
    (
        "it is put to rest",
        [UP],
        [condition("Available", "False", "ScaledToZero")],
        [Event("Normal", "ScaledToZero", "Available: `replicas` is 0: nothing runs because nothing is wanted.")],
    ),
    ("not known is no news", [], [condition("ModelResolved", "Unknown", "Resolving")], []),
    (
        "the repository is slow",
        [],
        [condition("Ready", "False", "Resolving", "asked")],
        [Event("Normal", "Resolving", "Ready: asked")],
    ),
    (
        "it stalls",
        [condition("Stalled", "False", "RollingOut")],
        [condition("Stalled", "True", "ProgressDeadlineExceeded", "why")],
        [Event("Warning", "ProgressDeadlineExceeded", "Stalled: why")],
    ),
    (
        "it is not stalled any more",
        [condition("Stalled", "True", "ProgressDeadlineExceeded", "why")],
        [condition("Stalled", "False", "Settled")],
        [Event("Normal", "Settled", "Stalled: Nothing is under way.")],
    ),
    ("progress is no news", [], [condition("Progressing", "True", "RollingOut")], []),
    (
        "one cause, said once",
        [],
        [condition(kind, status, "InvalidSpec", "x") for kind, status in (("Ready", "False"), ("Stalled", "True"))],
        [Event("Warning", "InvalidSpec", "Ready: x")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "events"), [row[1:] for row in EVENTS], ids=[row[0] for row in EVENTS])
def test_events(old: list[Condition], new: list[Condition], events: list[Event]) -> None:
    assert list(report_events(old, new)) == events


def test_the_life_of_a_model_in_events() -> None:
    """What `kubectl describe` shows, and nothing twice."""
    cluster, told = Cluster(CLIP), []
    for version in ("1", BAD, MISSING, "2"):
        cluster.version(version)
        for _ in range(2):
            for _ in range(8):
                told += [(event.type, event.reason) for event in cluster.reconcile().events]
                cluster.round()
            cluster.deadline()
    assert not [one for one, two in pairwise(told) if one == two]
    assert [reason for kind, reason in told if kind == "Warning"] == [
        "ModelLoadFailed",
        "ProgressDeadlineExceeded",
        "UpdateBlocked",
        "VersionNotFound",
    ]
