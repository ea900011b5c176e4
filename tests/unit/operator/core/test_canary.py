"""What a canary's gates go by: no evidence is no pass, little of it is no proof, and another step is another one."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_operator.api.conditions import Reason
from mmm_operator.api.rollout import Canary
from mmm_operator.moments import timestamp
from mmm_operator.revisions import RevisionState
from mmm_operator.rollout.canary import FEWEST, Analysis, Remembered, Watched, analyze, fingerprint
from mmm_operator.traffic import Traffic
from tests.unit.operator.core.build import NOW
from tests.unit.operator.core.cluster import Cluster
from tests.unit.operator.core.test_convergence import KUBERNETES, OPERATOR, actions, play
from tests.unit.operator.core.test_course import STEP, answers, rollout_of, rounds, settled, versions_of
from tests.unit.operator.examples import examples

GOAL = RevisionState("new", "2", "sha256:2", "image", True, "", 1, 1, 1, 1, None, False)
NONE = Traffic(0, 0, None, 0, 0)
USUAL = Traffic(10_000, 0, 50.0, 0, 0)
AFTER_ITS_PAUSE = timedelta(seconds=3600)


def canary(mirror: dict[str, Any] | None = None, **step: Any) -> Canary:
    """One step of a minute."""
    return Canary.model_validate({"steps": [{"weight": 25, "pauseSeconds": 60, **step}], **(mirror or {})})


def look(policy: Canary, new: Traffic, old: Traffic = USUAL, unread: str = "", number: int = 1) -> Analysis:
    """A look at that step, long after its pause."""
    at = Remembered(number, timestamp(NOW - AFTER_ITS_PAUSE), fingerprint(policy))
    return analyze(policy, 4, GOAL, at, Watched(new, old, unread), NOW)


MIRROR = {"mirror": True, "minAgreementPercent": 95}


@pytest.mark.parametrize(("asked", "needed"), [(0, 1), (100, 100)])
def test_an_agreement_that_nobody_has_seen_promotes_nobody(asked: int, needed: int) -> None:
    policy = canary(MIRROR, minRequests=asked)
    compared = Traffic(10_000, 0, 50.0, needed - 1, 0)
    found = look(policy, Traffic(500, 0, 50.0, 0, 0), compared)
    assert (found.at.passed, found.failure) == (False, None)
    assert f"{needed - 1} of {needed} mirrored answers were compared" in found.because
    assert look(policy, Traffic(500, 0, 50.0, 0, 0), Traffic(10_000, 0, 50.0, needed, 0)).at.passed


@pytest.mark.parametrize("policy", [canary(maxErrorPercent=1), canary(maxP95Milliseconds=100)])
def test_a_gate_that_cannot_see_a_pod_promotes_nobody(policy: Canary) -> None:
    found = look(policy, NONE, unread="clip-new-1")
    assert not found.at.passed
    assert "clip-new-1 answers, and its metrics cannot be read" in found.because
    assert look(policy, NONE).at.passed, "a pod that was asked for nothing is one that was seen"
    assert look(canary(), NONE, unread="clip-new-1").at.passed, "without a gate nobody looks"


def test_a_gate_begins_with_its_step_however_short_that_is() -> None:
    policy = canary(maxErrorPercent=1, pauseSeconds=0)
    before = Watched(Traffic(500, 0, 50.0, 0, 0), USUAL)
    found = analyze(policy, 4, GOAL, Remembered(1, None, fingerprint(policy)), before, NOW)
    assert (found.at.passed, found.at.since) == (False, timestamp(NOW))


@pytest.mark.parametrize(
    ("policy", "new", "old", "reason"),
    [
        (canary(maxErrorPercent=1), Traffic(1, 1, 50.0, 0, 0), USUAL, Reason.ERROR_RATE_TOO_HIGH),
        (canary(maxP95Milliseconds=100), Traffic(1, 0, 900.0, 0, 0), USUAL, Reason.LATENCY_TOO_HIGH),
        (canary(MIRROR), NONE, Traffic(10_000, 0, 50.0, 1, 1), Reason.ANSWERS_DIFFER),
    ],
    ids=lambda value: value.value if isinstance(value, Reason) else "",
)
def test_one_answer_proves_nothing_and_promotes_nobody(
    policy: Canary, new: Traffic, old: Traffic, reason: Reason
) -> None:
    found = look(policy, new, old)
    assert (found.failure, found.at.step, found.at.passed) == (None, 1, False)
    assert f"{FEWEST} answers are needed to go by that" in found.because
    proven = look(policy, many(new), many(old)).failure
    assert proven is not None
    assert proven.reason is reason


def many(one: Traffic) -> Traffic:
    """The same, again and again."""
    return Traffic(
        FEWEST * one.requests, FEWEST * one.errors, one.p95_ms, FEWEST * one.mirrored, FEWEST * one.differing
    )


def test_who_asks_for_fewer_answers_gets_a_verdict_by_them() -> None:
    found = look(canary(maxErrorPercent=1, minRequests=3), Traffic(3, 3, 50.0, 0, 0))
    assert found.failure is not None


def test_how_many_answers_are_there_is_told_a_hundred_times_at_most() -> None:
    policy = canary(minRequests=100_000)
    told = {look(policy, Traffic(number, 0, 50.0, 0, 0)).because for number in range(0, 100_000, 50)}
    assert len(told) == 100


# Steps that are edited

TIGHTENED = {"weight": 10, "pauseSeconds": 3600, "minRequests": 100_000, "maxErrorPercent": 1}


def waiting(*steps: dict[str, Any]) -> Cluster:
    """Version 2 is a canary that waits for a person in its last step."""
    cluster = settled(4, type="Canary", canary={"steps": list(steps)})
    cluster.version("2")
    cluster.settle()
    assert cluster.says("Ready") == ("False", "AwaitingPromotion")
    assert rollout_of(cluster).step == len(steps)
    return cluster


def edit(cluster: Cluster, *steps: dict[str, Any]) -> None:
    cluster._edit(cluster.draft.having(rollout={**cluster.draft.spec["rollout"], "canary": {"steps": list(steps)}}))


def test_fewer_steps_promote_nobody() -> None:
    cluster = waiting({"weight": 25, "pauseSeconds": 0}, {"weight": 50})
    edit(cluster, TIGHTENED)
    cluster.settle()
    assert versions_of(cluster) == {"1": 3, "2": 1}
    assert (rollout_of(cluster).step, rollout_of(cluster).passed) == (1, False)
    assert cluster.status["model"]["current"]["version"] == "1"


def test_an_edited_step_begins_anew() -> None:
    cluster = waiting({"weight": 50})
    began = rollout_of(cluster).step_started_at
    cluster.now += timedelta(seconds=100)
    edit(cluster, {"weight": 50, "pauseSeconds": 60})
    rounds(cluster, 2)
    assert rollout_of(cluster).step_started_at != began
    assert versions_of(cluster) == {"1": 2, "2": 2}
    cluster.now += timedelta(seconds=61)
    cluster.settle()
    assert versions_of(cluster) == {"2": 4}


@pytest.mark.parametrize("more", [(), ({"weight": 90},)], ids=["fewer", "more"])
def test_who_has_passed_stays_promoted_whatever_the_steps_become(more: tuple[dict[str, Any], ...]) -> None:
    cluster = settled(4, type="Canary", canary={"steps": [{**STEP}, {"weight": 60, "pauseSeconds": 0}]})
    cluster.version("2")
    rounds(cluster, 6)
    cluster.now += timedelta(seconds=61)
    answers(cluster, Traffic(50, 0, 80.0, 0, 0))
    while not rollout_of(cluster).passed:
        cluster.round()
    edit(cluster, {"weight": 10}, *more)
    cluster.settle()
    assert versions_of(cluster) == {"2": 4}


@pytest.mark.parametrize("wanted", [2, 4])
def test_a_step_never_has_all_of_the_pods(wanted: int) -> None:
    """Where each new pod takes the place of an old one, it would be promoted by that."""
    steps = [{"weight": 90}]
    cluster = settled(wanted, wanted, type="Canary", canary={"steps": steps}, capacityTimeoutSeconds=0)
    cluster.version("2")
    cluster.settle()
    assert versions_of(cluster) == {"1": 1, "2": wanted - 1}
    assert cluster.says("Ready") == ("False", "AwaitingPromotion")


BY_HAND = [[{"weight": 10}], [{"weight": 20, "pauseSeconds": 0}, {"weight": 50}], [{"weight": 75}, {"weight": 90}]]


@examples(40)
@given(
    edits=st.lists(st.tuples(st.sampled_from(BY_HAND), actions(OPERATOR, KUBERNETES, most=30)), max_size=4),
    wanted=st.integers(2, 4),
    room=st.sampled_from([None, 0, 1]),
)
def test_no_edit_of_steps_promotes_what_waits_for_a_person(edits: list[Any], wanted: int, room: int | None) -> None:
    capacity = None if room is None else wanted + room
    cluster = settled(wanted, capacity, type="Canary", canary={"steps": BY_HAND[0]}, capacityTimeoutSeconds=0)
    cluster.version("2")
    for steps, script in edits:
        edit(cluster, *steps)
        for action in script:
            play(cluster, [action])
            assert len(cluster.answering()) >= wanted - 1
        assert not rollout_of(cluster).passed
    cluster.settle()
    assert (rollout_of(cluster).passed, cluster.status["model"]["current"]["version"]) == (False, "1")
    assert "1" in versions_of(cluster)


# What is told of copies


def test_a_mirrored_canary_that_waits_for_days_writes_its_figures_seldom() -> None:
    policy = {"steps": [{"weight": 25}], "mirror": True, "minAgreementPercent": 90}
    cluster = settled(4, type="Canary", canary=policy)
    cluster.version("2")
    rounds(cluster, 6)
    mirror = rollout_of(cluster).mirror
    assert (mirror.compared, mirror.differing) == (0, 0), "that copies may be sent is told before any is"
    told = set()
    for number in range(1, 501):
        cluster.now += timedelta(seconds=5)
        answers(cluster, Traffic(10 * number, 0, 50.0, 0, 0), Traffic(30 * number, 0, 50.0, 30 * number, number))
        told.add(rollout_of(cluster).mirror.compared)
    assert len(told) < 80
    assert max(told) > 0.9 * 30 * 500
    answers(cluster, Traffic(5_000, 0, 50.0, 0, 0), Traffic(15_000, 0, 50.0, 15_000, 750))
    assert rollout_of(cluster).mirror.differing == 750, "another share is news"
