"""The status and the events that a plan writes."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from mmm_operator.api.conditions import Condition, Reason
from mmm_operator.api.status import Status
from mmm_operator.moments import timestamp
from mmm_operator.plan import Event, Plan
from mmm_operator.planner import UNREAD_SECONDS, plan
from mmm_operator.report import report_events
from mmm_operator.snapshot import Manifest, Resolution, Snapshot
from tests.unit.operator.core.build import (
    IMAGE,
    NOW,
    SETTINGS,
    digest_of,
    exited,
    make_deployment,
    make_mmm,
    make_pod,
    make_report,
    make_snapshot,
    serving_pods,
)
from tests.unit.operator.core.cluster import BAD, MISSING, Cluster
from tests.unit.operator.core.stored import as_stored

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


def test_where_the_model_is_found_is_told_as_soon_as_it_is_known() -> None:
    """The operator may end before it has written a status, and the next one sees the Deployment first."""
    unresolved = replace(SERVING, resolution=None)
    before = written(unresolved)
    assert before.model.current is not None
    assert before.model.current.uri == ""
    after = written(replace(SERVING, status=before))
    assert after.model.current is not None
    assert (after.model.current.uri, after.model.current.since) == ("s3://models/clip", before.model.current.since)
    assert written(replace(unresolved, status=after, refused="x")).model == after.model


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


# The last failures


def failing(*ends: tuple[str, int], status: Status | None = None) -> Snapshot:
    """A model whose server ended at these moments with these codes, each in a pod of its own."""
    pods = [
        make_pod(CLIP, f"clip-{n}").failed("server", with_end(code, at)).build() for n, (at, code) in enumerate(ends)
    ]
    return make_snapshot(CLIP, [make_deployment(CLIP, 2, ready=0)], pods, status=status)


def with_end(code: int, at: str) -> Manifest:
    return {"terminated": {**exited(code)["terminated"], "finishedAt": at}}


def told(status: Status) -> list[tuple[str, str]]:
    return [(failure.at, failure.message) for failure in status.last_failures]


def test_the_last_failures_are_there_newest_first_and_five_at_most() -> None:
    status = written(failing(*((f"2026-01-01T00:0{n}:00Z", n) for n in range(1, 8))))
    assert told(status) == [(f"2026-01-01T00:0{n}:00Z", f"exits with code {n}") for n in (7, 6, 5, 4, 3)]
    first = status.last_failures[0]
    assert (first.pod, first.container, first.reason) == ("clip-6", "server", "ContainerFailed")


def test_they_stay_when_the_pods_are_gone() -> None:
    before = written(failing(("2026-01-01T00:01:00Z", 1)))
    assert written(replace(SERVING, status=before)).last_failures == before.last_failures


def test_a_crash_loop_is_told_once_an_hour() -> None:
    """Every crash has a time of its own; a status write per crash would never end."""
    first = written(failing(("2026-01-01T00:01:00Z", 1)))
    assert decide(failing(("2026-01-01T00:09:00Z", 1), status=first)).status is None
    later = written(failing(("2026-01-01T01:02:00Z", 1), status=first))
    assert told(later) == [("2026-01-01T01:02:00Z", "exits with code 1")]


def test_many_pods_that_fail_alike_are_one_failure() -> None:
    ends = [(f"2026-01-01T00:0{n}:00Z", 1) for n in range(1, 8)]
    assert told(written(failing(*ends))) == [("2026-01-01T00:01:00Z", "exits with code 1")]


def test_a_failure_without_a_time_is_dated_when_it_is_seen() -> None:
    """A container that its node lost has none; the next look must not date it anew."""
    snapshot = failing(("", 255))
    status = written(snapshot)
    assert told(status) == [(timestamp(NOW), "exits with code 255")]
    later = plan(replace(snapshot, status=status), SETTINGS, NOW + timedelta(hours=9)).status or status
    assert later.last_failures == status.last_failures


def test_progress_is_dated_by_what_was_reached() -> None:
    cluster = Cluster(CLIP)
    cluster.settle()
    cluster.version("2")
    cluster.round()
    cluster.round()
    reached = Status.model_validate(cluster.status).rollout
    assert reached.last_progress_at is not None
    cluster.now += timedelta(seconds=60)
    cluster.reconcile()
    assert Status.model_validate(cluster.status).rollout.last_progress_at == reached.last_progress_at
    cluster.round()
    cluster.round()
    moved = Status.model_validate(cluster.status).rollout
    assert moved.last_progress_at is None or moved.last_progress_at > reached.last_progress_at


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
    ("the first pods load", [], [ROLLING, DOWN], []),
    ("the first pods fail", [], [FAILING], [Event("Warning", "ModelLoadFailed", "Ready: no model")]),
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
        "the repository of a new version is slow",
        [READY],
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
        "RolledBack",
        "VersionNotFound",
        "UpdateBlocked",
    ]


def test_an_object_that_cannot_be_resolved_costs_one_write() -> None:
    unresolved = Resolution("s3://models/clip", "1", reason=Reason.ACCESS_DENIED, message="no")
    snapshot = make_snapshot(make_mmm(), resolution=unresolved)
    first = plan(snapshot, SETTINGS, NOW)
    children = [as_stored(step.manifest, None) for step in first.apply]
    later = make_snapshot(make_mmm(), children, resolution=unresolved, status=first.status)
    assert plan(later, SETTINGS, NOW + timedelta(minutes=5)).writes == 0
