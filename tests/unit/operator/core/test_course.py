"""Each type of rollout, step by step: who gets pods, who gets traffic, what people are told, and what ends it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mmm_operator import names
from mmm_operator.api.status import Status
from mmm_operator.planner import plan
from mmm_operator.rollout.verdict import MOST_RESTARTS
from mmm_operator.snapshot import Ref
from mmm_operator.traffic import Traffic
from tests.unit.operator.core.build import make_mmm
from tests.unit.operator.core.cluster import BAD, Cluster
from tests.unit.operator.core.test_convergence import assert_all_is_well

STEP = {"weight": 25, "pauseSeconds": 60, "minRequests": 10, "maxErrorPercent": 5, "maxP95Milliseconds": 200}


def settled(wanted: int, capacity: int | None = None, **rollout: Any) -> Cluster:
    """A cluster in which version 1 serves with `wanted` pods, under this policy."""
    cluster = Cluster(make_mmm().version("1").replicas(wanted).having(rollout=rollout), capacity)
    cluster.settle()
    assert cluster.serving() == wanted
    return cluster


def rounds(cluster: Cluster, number: int) -> None:
    for _ in range(number):
        cluster.round()


def rollout_of(cluster: Cluster) -> Any:
    return Status.model_validate(cluster.status).rollout


def versions_of(cluster: Cluster) -> dict[str, int]:
    """Pods wanted, by version."""
    found, sizes = revisions_of(cluster), cluster.sizes()
    return {found[revision]: size for revision, size in sizes.items()}


def revisions_of(cluster: Cluster) -> dict[str, str]:
    """Versions by revision."""
    labels = (item["metadata"]["labels"] for item in cluster.deployments())
    return {label[names.LABEL_REVISION]: label[names.LABEL_VERSION] for label in labels}


def gets_traffic(cluster: Cluster) -> str:
    """The version that the Service is for; "" for all."""
    service = cluster.children[Ref("v1", "Service", "shop", "clip")]
    revision = service["spec"]["selector"].get(names.LABEL_REVISION, "")
    return revisions_of(cluster).get(str(revision), str(revision))


# No room


@pytest.mark.parametrize("wanted", [1, 2, 4])
def test_without_room_for_one_more_old_pods_make_room(wanted: int) -> None:
    cluster = settled(wanted, capacity=wanted)
    cluster.version("2")
    rounds(cluster, 4)
    assert versions_of(cluster) == {"1": wanted, "2": 1}
    assert rollout_of(cluster).summary == "waiting for memory"
    waits = cluster.reconcile().requeue_after
    assert waits is not None
    assert waits <= 120
    cluster.now += timedelta(seconds=121)
    cluster.reconcile()
    assert versions_of(cluster) == ({"2": 1} if wanted == 1 else {"1": wanted - 1, "2": 1})
    assert rollout_of(cluster).strategy_in_effect == "NoSurge"
    cluster.run_controllers()
    cluster.reconcile()
    assert cluster.says("CapacityAvailable") == ("False", "WaitingForOldPodTermination")
    fewest = wanted
    for _ in range(6 * wanted):
        cluster.round()
        fewest = min(fewest, cluster.serving())
    assert fewest >= wanted - 1
    cluster.settle()
    assert versions_of(cluster) == {"2": wanted}
    assert_all_is_well(cluster)
    assert rollout_of(cluster).strategy_in_effect == ""


def test_several_pods_may_be_missing_where_that_is_allowed() -> None:
    cluster = settled(4, capacity=4, maxUnavailable=3, capacityTimeoutSeconds=0)
    cluster.version("2")
    rounds(cluster, 2)
    cluster.reconcile()
    assert versions_of(cluster) == {"1": 1, "2": 3}
    cluster.settle()
    assert versions_of(cluster) == {"2": 4}


def test_who_waits_for_room_waits_as_long_as_it_takes() -> None:
    cluster = settled(1, capacity=1, whenNoCapacity="Wait")
    cluster.version("2")
    cluster.settle()
    assert versions_of(cluster) == {"1": 1, "2": 1}
    assert cluster.says("Stalled")[0] == "False"
    assert cluster.says("CapacityAvailable") == ("False", "InsufficientMemory")
    assert "the old pods keep theirs" in rollout_of(cluster).message
    cluster.capacity = 2
    cluster.settle()
    assert versions_of(cluster) == {"2": 1}
    assert_all_is_well(cluster)


def test_without_room_a_rollout_can_be_asked_to_fail() -> None:
    cluster = settled(2, capacity=2, whenNoCapacity="Fail")
    cluster.version("2")
    cluster.settle()
    assert versions_of(cluster) == {"1": 2}
    assert cluster.says("Ready") == ("False", "InsufficientMemory")
    assert cluster.says("Degraded") == ("True", "RolledBack")


def test_no_pod_is_taken_away_for_one_that_needs_more_than_it_leaves() -> None:
    cluster = settled(1, capacity=1, capacityTimeoutSeconds=0)
    cluster._edit(cluster.draft.version("2").having(resources={"requests": {"memory": "64Gi"}}))
    for _ in range(20):
        cluster.round()
        assert cluster.serving() == 1
    assert versions_of(cluster) == {"1": 1, "2": 1}
    assert "no old pod has enough of it to give back" in rollout_of(cluster).message


def test_a_bad_version_in_an_old_pods_place_is_taken_back() -> None:
    cluster = settled(1, capacity=1, capacityTimeoutSeconds=0)
    cluster.version(BAD)
    cluster.settle()
    assert versions_of(cluster) == {"1": 1}
    assert cluster.serving() == 1
    assert cluster.says("Degraded") == ("True", "RolledBack")
    failed = Status.model_validate(cluster.status).model.failed
    assert [(item.version, item.reason) for item in failed] == [(BAD, "ModelLoadFailed")]
    cluster.version("2")
    cluster.settle()
    assert versions_of(cluster) == {"2": 1}
    assert_all_is_well(cluster)
    assert Status.model_validate(cluster.status).model.failed == ()


# Going back


@pytest.mark.parametrize("answer", [0, 2], ids=["no old pod answers", "old pods answer"])
def test_nobody_is_given_up_who_alone_answers(answer: int) -> None:
    """One new pod answers, the next one dies again and again, and the old ones may have lost their node."""
    cluster = settled(3)
    cluster.version("2")
    while not cluster.serving(cluster.draft.revision().id):
        cluster.round()
    for _ in range(2):
        cluster.reconcile()
        cluster.run_controllers()
        cluster.schedule()
        cluster.update_statuses()
    bad = next(pod for pod in cluster.living() if pod.version == "2" and not pod.serves)
    bad.version, bad.restarts = BAD, MOST_RESTARTS
    bad.turn("failed", cluster._moment())
    for pod in [pod for pod in cluster.pods if pod.version == "1" and pod.serves][answer:]:
        pod.turn("failed", cluster._moment())
    cluster.update_statuses()
    for _ in range(3):
        cluster.reconcile()
    assert bool(Status.model_validate(cluster.status).model.failed) == bool(answer)


def test_what_failed_is_written_down_before_anything_is_taken_away() -> None:
    cluster = settled(2)
    cluster.version(BAD)
    rounds(cluster, 4)
    cluster.deadline()
    decided = cluster.reconcile()
    assert decided.apply == ()
    assert decided.requeue_after == 1.0
    assert cluster.says("Stalled") == ("True", "RolledBack")
    cluster.reconcile()
    assert versions_of(cluster) == {"1": 2}


def test_without_automatic_rollback_everything_stands_still_and_says_so() -> None:
    cluster = settled(2, autoRollback=False)
    cluster.version(BAD)
    cluster.settle()
    assert versions_of(cluster) == {"1": 2, BAD: 1}
    assert cluster.says("Stalled") == ("True", "ModelLoadFailed")
    assert cluster.says("Degraded") == ("True", "UpdateBlocked")
    cluster.replicas(3)
    cluster.settle()
    assert cluster.serving() == 3
    cluster._edit(cluster.draft.having(rollout={"autoRollback": True}))
    cluster.settle()
    assert versions_of(cluster) == {"1": 3}


def test_the_revisions_tell_their_story() -> None:
    cluster = settled(1)
    cluster.version(BAD)
    cluster.settle()
    told = {item.version: (item.state, item.replicas) for item in Status.model_validate(cluster.status).revisions}
    assert told == {"1": ("Serving", 1), BAD: ("Failed", 0)}
    cluster.version("2")
    cluster.settle()
    told = {item.version: (item.state, item.replicas) for item in Status.model_validate(cluster.status).revisions}
    assert told == {"1": ("Kept", 0), BAD: ("Kept", 0), "2": ("Serving", 1)}


# Recreate


def test_recreate_ends_the_old_pods_before_it_begins_new_ones() -> None:
    cluster = settled(2, type="Recreate")
    cluster.version("2")
    for _ in range(12):
        cluster.reconcile()
        cluster.run_controllers()
        assert len({pod.revision for pod in cluster.pods}) == 1
        cluster.start_all_and_tell()
    cluster.settle()
    assert versions_of(cluster) == {"2": 2}
    assert_all_is_well(cluster)


# BlueGreen


def test_blue_green_gives_all_traffic_at_once_and_keeps_the_old_pods_for_a_while() -> None:
    cluster = settled(2, type="BlueGreen", blueGreen={"scaleDownDelaySeconds": 60})
    assert gets_traffic(cluster) == "1"
    cluster.version("2")
    cluster.reconcile()
    assert versions_of(cluster) == {"1": 2, "2": 2}
    assert gets_traffic(cluster) == "1"
    rounds(cluster, 3)
    assert gets_traffic(cluster) == "2"
    assert versions_of(cluster) == {"1": 2, "2": 2}
    waits = cluster.reconcile().requeue_after
    assert waits is not None
    assert waits <= 60
    cluster.now += timedelta(seconds=61)
    rounds(cluster, 3)
    assert versions_of(cluster) == {"2": 2}
    assert_all_is_well(cluster)


def test_going_back_while_blue_is_there_is_one_switch() -> None:
    cluster = settled(2, type="BlueGreen", blueGreen={"scaleDownDelaySeconds": 600})
    cluster.version("2")
    rounds(cluster, 4)
    assert gets_traffic(cluster) == "2"
    cluster.version("1")
    cluster.reconcile()
    assert gets_traffic(cluster) == "1"


def test_blue_green_waits_for_a_person_if_told_to() -> None:
    cluster = settled(2, type="BlueGreen", blueGreen={"promotion": "Manual", "scaleDownDelaySeconds": 0})
    cluster.version("2")
    cluster.settle()
    assert gets_traffic(cluster) == "1"
    assert cluster.says("Ready") == ("False", "AwaitingPromotion")
    assert cluster.says("Stalled")[0] == "False"
    cluster.promote()
    cluster.settle()
    assert (gets_traffic(cluster), versions_of(cluster)) == ("2", {"2": 2})
    assert_all_is_well(cluster)


def test_a_bad_green_never_gets_traffic() -> None:
    cluster = settled(2, type="BlueGreen")
    cluster.version(BAD)
    for _ in range(10):
        cluster.round()
        assert gets_traffic(cluster) == "1"
    cluster.settle()
    assert versions_of(cluster) == {"1": 2}


def test_a_paused_blue_green_keeps_blue_whole() -> None:
    cluster = settled(2, type="BlueGreen")
    cluster.version("2")
    cluster.reconcile()
    cluster._edit(cluster.draft.having(rollout={"type": "BlueGreen", "paused": True}))
    rounds(cluster, 6)
    assert versions_of(cluster)["1"] == 2
    assert gets_traffic(cluster) == "1"


# Canary


def canary(wanted: int = 4, **step: Any) -> Cluster:
    """Version 1 serves, and version 2 is a canary whose first step has all its pods."""
    cluster = settled(wanted, type="Canary", canary={"steps": [{**STEP, **step}, {"weight": 60, "pauseSeconds": 60}]})
    cluster.version("2")
    rounds(cluster, 6)
    return cluster


NONE = Traffic(0, 0, None, 0, 0)
USUAL = Traffic(1000, 0, 90.0, 0, 0)


def answers(cluster: Cluster, new: Traffic, old: Traffic = USUAL) -> None:
    """A look at what the pods have answered."""
    target = Status.model_validate(cluster.status).model.target
    chosen = target.revision if target else ""
    traffic = {pod.name: new if pod.revision == chosen else NONE for pod in cluster.pods}
    first_old = next(pod.name for pod in cluster.pods if pod.revision != chosen)
    snapshot = replace(cluster.snapshot(), traffic={**traffic, first_old: old})
    cluster.carry_out(plan(snapshot, cluster.settings, cluster.now))


def test_a_canary_gets_its_share_and_no_more() -> None:
    cluster = canary()
    assert versions_of(cluster) == {"1": 3, "2": 1}
    assert (rollout_of(cluster).step, rollout_of(cluster).weight, rollout_of(cluster).summary) == (1, 25, "canary 25 %")
    assert cluster.says("Ready") == ("False", "Analyzing")
    rounds(cluster, 5)
    assert versions_of(cluster) == {"1": 3, "2": 1}


def test_too_few_answers_prove_nothing() -> None:
    cluster = canary()
    cluster.now += timedelta(seconds=3600)
    answers(cluster, Traffic(9, 9, 5000.0, 0, 0))
    assert rollout_of(cluster).step == 1
    assert "9 of 10 answers are there" in rollout_of(cluster).message
    assert cluster.says("Stalled")[0] == "False"


def test_a_good_canary_goes_from_step_to_step_and_then_takes_over() -> None:
    cluster = canary()
    answers(cluster, Traffic(50, 1, 80.0, 0, 0))
    assert rollout_of(cluster).step == 1
    cluster.now += timedelta(seconds=61)
    answers(cluster, Traffic(50, 1, 80.0, 0, 0))
    assert rollout_of(cluster).step == 2
    rounds(cluster, 4)
    assert versions_of(cluster) == {"1": 2, "2": 2}
    cluster.now += timedelta(seconds=61)
    answers(cluster, Traffic(50, 0, 80.0, 0, 0))
    assert rollout_of(cluster).step == 3
    cluster.settle()
    assert versions_of(cluster) == {"2": 4}
    assert_all_is_well(cluster)


@pytest.mark.parametrize(
    ("new", "old", "reason"),
    [
        (Traffic(50, 10, 80.0, 0, 0), Traffic(500, 2, 80.0, 0, 0), "ErrorRateTooHigh"),
        (Traffic(50, 0, 900.0, 0, 0), Traffic(500, 0, 80.0, 0, 0), "LatencyTooHigh"),
    ],
)
def test_a_worse_canary_is_taken_back(new: Traffic, old: Traffic, reason: str) -> None:
    cluster = canary()
    answers(cluster, new, old)
    cluster.settle()
    assert versions_of(cluster) == {"1": 4}
    assert cluster.says("Ready") == ("False", reason)
    assert cluster.says("Degraded") == ("True", "RolledBack")
    assert rollout_of(cluster).summary == "RolledBack"


@pytest.mark.parametrize(("weight", "at_once"), [(25, True), (50, False)])
def test_a_canary_that_failed_answers_only_as_long_as_the_others_need_it(weight: int, at_once: bool) -> None:
    cluster = canary(weight=weight)
    answers(cluster, Traffic(50, 10, 80.0, 0, 0))
    cluster.reconcile()
    assert ({pod.version for pod in cluster.answering()} == {"1"}) is at_once
    assert versions_of(cluster)["2"]
    for _ in range(6):
        cluster.round()
        assert len(cluster.answering()) >= 3
    assert [pod.version for pod in cluster.answering()] == ["1"] * 4
    cluster.version("3")
    cluster.settle()
    assert {pod.version for pod in cluster.answering()} == {"1", "3"}


def test_what_is_no_worse_than_before_is_not_held_against_a_canary() -> None:
    cluster = canary()
    answers(cluster, Traffic(50, 10, 900.0, 0, 0), Traffic(500, 200, 950.0, 0, 0))
    assert rollout_of(cluster).step == 1
    assert cluster.says("Stalled")[0] == "False"


def test_a_canary_whose_answers_differ_is_taken_back() -> None:
    steps = [{"weight": 25, "pauseSeconds": 60, "minRequests": 10}]
    cluster = settled(4, type="Canary", canary={"steps": steps, "mirror": True, "minAgreementPercent": 90})
    cluster.version("2")
    rounds(cluster, 6)
    answers(cluster, Traffic(50, 0, 80.0, 0, 0), Traffic(500, 0, 80.0, 40, 3))
    mirror = rollout_of(cluster).mirror
    assert (mirror.compared, mirror.differing) == (40, 3)
    assert cluster.says("Stalled")[0] == "False"
    answers(cluster, Traffic(50, 0, 80.0, 0, 0), Traffic(500, 0, 80.0, 40, 9))
    cluster.settle()
    assert cluster.says("Ready") == ("False", "AnswersDiffer")
    assert versions_of(cluster) == {"1": 4}


def test_a_step_without_an_end_waits_for_a_person() -> None:
    steps = [{"weight": 50}]
    cluster = settled(2, type="Canary", canary={"steps": steps})
    cluster.version("2")
    cluster.settle()
    assert versions_of(cluster) == {"1": 1, "2": 1}
    assert cluster.says("Ready") == ("False", "AwaitingPromotion")
    cluster.promote()
    cluster.settle()
    assert versions_of(cluster) == {"2": 2}
    assert_all_is_well(cluster)


def test_a_person_may_overrule_a_gate() -> None:
    cluster = canary()
    answers(cluster, Traffic(50, 10, 80.0, 0, 0))
    cluster.settle()
    assert versions_of(cluster) == {"1": 4}
    cluster.promote()
    cluster.settle()
    assert versions_of(cluster) == {"2": 4}


def test_one_pod_has_a_canary_beside_it() -> None:
    cluster = canary(wanted=1)
    assert versions_of(cluster) == {"1": 1, "2": 1}
    assert (rollout_of(cluster).weight, cluster.status["model"]["current"]["version"]) == (50, "1")


def test_a_canary_whose_place_is_forgotten_stays_where_its_size_says() -> None:
    cluster = canary()
    cluster.now += timedelta(seconds=61)
    answers(cluster, Traffic(50, 0, 80.0, 0, 0))
    rounds(cluster, 4)
    assert versions_of(cluster) == {"1": 2, "2": 2}
    cluster.lose_status()
    rounds(cluster, 4)
    assert versions_of(cluster) == {"1": 2, "2": 2}
    assert rollout_of(cluster).step == 2


def test_a_pod_that_becomes_ready_at_last_is_not_late() -> None:
    """The Deployment's own verdict is older than its pods until its controller has looked again."""
    cluster = settled(1, whenNoCapacity="Wait", capacity=1)
    cluster.version("2")
    rounds(cluster, 4)
    cluster.deadline()
    cluster.capacity = 2
    cluster.schedule()
    cluster.start_all()
    for _ in range(3):
        cluster.reconcile()
    assert Status.model_validate(cluster.status).model.failed == ()
    cluster.settle()
    assert versions_of(cluster) == {"2": 1}


def test_gates_hold_while_a_pod_of_the_canary_is_missing() -> None:
    cluster = canary()
    cluster.replicas(8)
    cluster.reconcile()
    answers(cluster, Traffic(50, 40, 80.0, 0, 0))
    rounds(cluster, 3)
    assert cluster.says("Ready") == ("False", "ErrorRateTooHigh")


def test_turning_to_blue_green_in_the_midst_keeps_every_pod_in_traffic() -> None:
    cluster = settled(4)
    cluster.version("2")
    while cluster.serving(cluster.draft.revision().id) < 3:
        cluster.round()
    cluster._edit(cluster.draft.having(rollout={"type": "BlueGreen"}))
    cluster.reconcile()
    assert gets_traffic(cluster) == ""
    cluster.settle()
    assert gets_traffic(cluster) == "2"


@pytest.mark.parametrize("change", [{"paused": True}, {"autoRollback": False}], ids=str)
def test_recreate_never_runs_both(change: dict[str, Any]) -> None:
    cluster = settled(2, type="Recreate")
    cluster.version(BAD)
    rounds(cluster, 3)
    cluster._edit(cluster.draft.having(rollout={"type": "Recreate", **change}))
    for _ in range(20):
        cluster.round()
        assert len({pod.revision for pod in cluster.living()}) <= 1
