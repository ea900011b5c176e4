"""A BlueGreen that cannot have what it wants: old pods answer until somebody, or the new ones, may say otherwise."""

from typing import Any

import pytest

from tests.unit.operator.core.build import make_mmm
from tests.unit.operator.core.cluster import BAD, Cluster
from tests.unit.operator.core.test_convergence import assert_all_is_well
from tests.unit.operator.core.test_course import gets_traffic, rollout_of, rounds, settled, versions_of


def test_without_room_no_pod_makes_way_for_what_nobody_has_promoted() -> None:
    by_hand = {"promotion": "Manual", "scaleDownDelaySeconds": 0}
    cluster = settled(1, capacity=1, type="BlueGreen", blueGreen=by_hand, capacityTimeoutSeconds=0)
    cluster.version("2")
    cluster.settle()
    assert (gets_traffic(cluster), versions_of(cluster), cluster.serving()) == ("1", {"1": 1, "2": 1}, 1)
    assert cluster.says("Stalled")[0] == "False"
    assert cluster.says("CapacityAvailable") == ("False", "InsufficientMemory")
    assert rollout_of(cluster).summary == "waiting for memory"
    assert "until there is more or the new revision is promoted" in rollout_of(cluster).message
    cluster.promote()
    cluster.settle()
    assert versions_of(cluster) == {"2": 1}
    assert_all_is_well(cluster)


@pytest.mark.parametrize("change", [{}, {"paused": True}, {"autoRollback": False}], ids=str)
def test_what_waits_for_a_person_takes_no_room_from_what_serves(change: dict[str, Any]) -> None:
    cluster = settled(1, capacity=1, type="BlueGreen", blueGreen={"promotion": "Manual"}, whenNoCapacity="Wait")
    cluster.version("2")
    rounds(cluster, 4)
    cluster.evict(0)
    cluster.reap()
    cluster.schedule()  # the pod that was there first has the place
    cluster._edit(cluster.draft.having(rollout={**cluster.draft.spec["rollout"], **change}))
    cluster.settle()
    assert [pod.version for pod in cluster.answering()] == ["1"]


def test_who_stops_at_a_bad_green_keeps_blue_whole() -> None:
    cluster = settled(4, type="BlueGreen", autoRollback=False)
    cluster.version("2")
    cluster.reconcile()
    cluster.run_controllers()
    for pod in [pod for pod in cluster.pods if pod.version == "2"][:1]:
        pod.version = BAD
    cluster.settle()
    assert cluster.says("Stalled") == ("True", "ModelLoadFailed")
    assert [pod.version for pod in cluster.answering()] == ["1"] * 4


def test_a_bad_green_that_nobody_takes_back_leaves_its_room_to_blue() -> None:
    """It will never answer; what did has lost its node, and there is no other room."""
    cluster = settled(1, capacity=2, type="BlueGreen", autoRollback=False)
    cluster.version("2")
    cluster.reconcile()
    cluster.run_controllers()
    for pod in [pod for pod in cluster.pods if pod.version == "2"]:
        pod.version = BAD
    cluster.settle()
    assert cluster.says("Stalled") == ("True", "ModelLoadFailed")
    cluster.capacity = 1
    cluster.evict(0)
    cluster.settle()
    assert [pod.version for pod in cluster.answering()] == ["1"]
    assert cluster.says("Stalled") == ("True", "ModelLoadFailed")


def test_who_answers_before_it_counts_as_serving_keeps_the_requests() -> None:
    cluster = Cluster(make_mmm().version("1").having(rollout={"type": "BlueGreen"}))
    cluster.reconcile()
    cluster.run_controllers()
    cluster.schedule()
    cluster.start_all()
    cluster.version("2")
    cluster.reconcile()
    assert [pod.version for pod in cluster.answering()] == ["1"]
    cluster.settle()
    assert_all_is_well(cluster)


@pytest.mark.parametrize("wanted", [2, 3, 4])
def test_another_version_in_the_midst_takes_nobody_away_who_answers(wanted: int) -> None:
    """Promoted without room the old pods make way one by one; who comes next has nobody's consent."""
    by_hand = {"type": "BlueGreen", "blueGreen": {"promotion": "Manual"}, "capacityTimeoutSeconds": 0}
    cluster = settled(wanted, capacity=wanted, **by_hand)
    cluster.version("2")
    rounds(cluster, 3)
    cluster.promote()
    while "2" not in {pod.version for pod in cluster.answering()}:
        cluster.round()
    cluster.version("3")
    for _ in range(12):
        cluster.round()
        assert len(cluster.answering()) >= wanted - 1
        assert "3" not in {pod.version for pod in cluster.answering()}
    cluster.promote()
    cluster.settle()
    assert versions_of(cluster) == {"3": wanted}
    assert_all_is_well(cluster)


def test_turning_to_consent_in_the_midst_takes_nobody_away_who_answers() -> None:
    cluster = settled(4)
    cluster.version("2")
    while cluster.serving(cluster.draft.revision().id) < 2:
        cluster.round()
    cluster._edit(cluster.draft.having(rollout={"type": "BlueGreen", "blueGreen": {"promotion": "Manual"}}))
    for _ in range(6):
        cluster.round()
        assert len(cluster.answering()) >= 4
    assert {pod.version for pod in cluster.answering()} == {"1"}
    cluster.promote()
    cluster.settle()
    assert gets_traffic(cluster) == "2"


def test_old_pods_that_are_kept_take_no_room_from_those_that_answer() -> None:
    cluster = settled(2, capacity=4, type="BlueGreen", blueGreen={"scaleDownDelaySeconds": 86400})
    cluster.version("2")
    rounds(cluster, 4)
    assert versions_of(cluster) == {"1": 2, "2": 2}
    cluster.capacity = 3  # a node is gone, and with it one of the pods that answered
    cluster.evict(3)
    rounds(cluster, 5)
    assert [pod.version for pod in cluster.answering()] == ["2", "2"]


def test_what_awaits_a_person_is_not_promoted_by_another_type() -> None:
    cluster = settled(3, type="BlueGreen", blueGreen={"promotion": "Manual"})
    cluster.version("2")
    rounds(cluster, 5)
    assert cluster.says("Ready")[1] == "AwaitingPromotion"
    cluster._edit(cluster.draft.having(rollout={"type": "Canary", "canary": {"steps": [{"weight": 34}]}}))
    rounds(cluster, 6)
    assert cluster.says("Ready")[1] == "AwaitingPromotion"
    assert cluster.status["model"]["current"]["version"] == "1"
    assert sorted(pod.version for pod in cluster.answering()) == ["1", "1", "2"]
