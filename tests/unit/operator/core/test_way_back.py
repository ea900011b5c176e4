"""After the switch of a BlueGreen the old pods are there for a reason, and the Service has the last word."""

from datetime import timedelta
from typing import Any

import pytest

from mmm_operator import names
from mmm_operator.snapshot import Manifest, Ref
from tests.unit.operator.core.cluster import BAD, Cluster
from tests.unit.operator.core.test_convergence import assert_all_is_well
from tests.unit.operator.core.test_course import gets_traffic, rounds, settled, versions_of

SERVICE = Ref("v1", "Service", "shop", "clip")
DELAY = 60


def switched(wanted: int = 3, capacity: int | None = None) -> Cluster:
    """Version 2 has just got the traffic, and the pods of version 1 are still there."""
    cluster = settled(wanted, capacity, type="BlueGreen", blueGreen={"scaleDownDelaySeconds": DELAY})
    cluster.version("2")
    while gets_traffic(cluster) != "2" or cluster.status["model"]["current"]["version"] != "2":
        cluster.round()
    assert versions_of(cluster) == {"1": wanted, "2": wanted}
    return cluster


def break_new_pods(cluster: Cluster, number: int) -> None:
    """So many of the new pods die, and go on dying."""
    for pod in [pod for pod in cluster.living() if pod.version == "2"][:number]:
        pod.version = BAD
        pod.turn("failed", cluster._moment())
    cluster.update_statuses()


def test_old_pods_answer_when_no_new_one_does_and_stay_for_it() -> None:
    cluster = switched()
    break_new_pods(cluster, 3)
    cluster.reconcile()
    assert gets_traffic(cluster) == "1"
    for _ in range(6):
        cluster.now += timedelta(seconds=DELAY)
        cluster.round()
        assert [pod.version for pod in cluster.answering()] == ["1"] * 3
    assert cluster.says("Available")[0] == "True"
    assert cluster.says("Ready") == ("False", "ModelLoadFailed")


def test_old_pods_stay_as_long_as_they_could_answer_more() -> None:
    cluster = switched()
    break_new_pods(cluster, 1)
    cluster.now += timedelta(seconds=2 * DELAY)
    rounds(cluster, 3)
    assert (gets_traffic(cluster), versions_of(cluster)["1"]) == ("2", 3)


def test_the_new_pods_get_the_traffic_back_once_all_of_them_answer() -> None:
    cluster = switched()
    break_new_pods(cluster, 3)
    rounds(cluster, 2)
    broken = [pod for pod in cluster.living() if pod.revision == cluster.draft.revision().id]
    for number, pod in enumerate(broken):
        assert gets_traffic(cluster) == "1", f"{number} of 3 new pods answer"
        pod.version = "2"
        rounds(cluster, 2)
    assert gets_traffic(cluster) == "2"
    cluster.settle()
    assert versions_of(cluster) == {"2": 3}
    assert_all_is_well(cluster)


def test_old_pods_answer_on_when_the_version_after_the_broken_one_is_broken_too() -> None:
    cluster = switched()
    break_new_pods(cluster, 3)
    rounds(cluster, 3)
    cluster.version(BAD)
    rounds(cluster, 3)
    cluster.deadline()
    for _ in range(8):
        cluster.round()
        assert [pod.version for pod in cluster.answering()] == ["1"] * 3


def test_old_pods_answer_until_enough_of_the_version_after_the_broken_one_do() -> None:
    cluster = switched()
    break_new_pods(cluster, 3)
    rounds(cluster, 3)
    cluster.version("3")
    for started in range(4):
        for _ in range(4):
            cluster.reconcile()
            cluster.run_controllers()
            cluster.schedule()
            cluster.reap()
            cluster.update_statuses()
            cluster.now += timedelta(seconds=DELAY // 3)
            assert len(cluster.answering()) >= 3, f"{started} new pods answer"
        waiting = [pod.version for pod in cluster.living() if pod.state in ("starting", "failed")]
        if "3" in waiting:
            cluster.start(waiting.index("3"))
    cluster.settle()
    assert versions_of(cluster) == {"3": 3}
    assert_all_is_well(cluster)


@pytest.mark.parametrize("wanted", [1, 2])
def test_without_room_for_new_pods_old_ones_answer_until_they_make_it(wanted: int) -> None:
    cluster = switched(wanted, capacity=2 * wanted)
    cluster.capacity = wanted  # a node is gone, and with it every pod that answered
    for pod in [pod for pod in cluster.living() if pod.version == "2"]:
        pod.terminating = True
    cluster.reap()
    cluster.update_statuses()
    for _ in range(4):
        cluster.round()
        assert [pod.version for pod in cluster.answering()] == ["1"] * wanted
    cluster.now += timedelta(seconds=121)
    for _ in range(3 * wanted):
        cluster.round()
        assert len(cluster.answering()) >= wanted - 1
    cluster.settle()
    assert versions_of(cluster) == {"2": wanted}
    assert_all_is_well(cluster)


def test_what_nobody_promoted_is_no_way_back() -> None:
    cluster = settled(2, type="BlueGreen", blueGreen={"promotion": "Manual"})
    cluster.version("2")
    rounds(cluster, 5)
    assert versions_of(cluster) == {"1": 2, "2": 2}
    cluster.version("1")
    for _ in range(2):
        cluster.crash(0)
    cluster.update_statuses()
    cluster.reconcile()
    assert gets_traffic(cluster) == "1"


def test_who_is_available_is_told_of_those_that_the_service_selects() -> None:
    cluster = switched()
    cluster.children[SERVICE] = selecting(cluster.children[SERVICE], "nobody")
    cluster.reconcile()
    assert cluster.says("Available") == ("False", "NoReadyReplicas")
    assert cluster.status["readySummary"] == "0/3"
    cluster.reconcile()
    assert cluster.says("Available")[0] == "True"
    assert (cluster.status["readySummary"], cluster.status["readyReplicas"]) == ("3/3", 6)


# A Service that cannot be written


def selecting(service: Manifest, revision: str) -> Manifest:
    spec = service["spec"]
    return {**service, "spec": {**spec, "selector": {**spec["selector"], names.LABEL_REVISION: revision}}}


@pytest.mark.parametrize(
    "change",
    [{}, {"type": "RollingUpdate"}, {"type": "Recreate"}, {"whenNoCapacity": "ReplaceInPlace"}],
    ids=lambda change: change.get("type") or change.get("whenNoCapacity") or "BlueGreen",
)
def test_the_pods_that_the_service_selects_stay_however_long_it_is_refused(change: dict[str, Any]) -> None:
    """A policy engine for instance refuses each update of it."""
    room = 3 if "whenNoCapacity" in change else None
    cluster = settled(3, room, type="BlueGreen", blueGreen={"scaleDownDelaySeconds": 0}, capacityTimeoutSeconds=0)
    refused = cluster.children[SERVICE]
    cluster.version("2")
    rounds(cluster, 1)
    cluster._edit(cluster.draft.having(rollout={**cluster.draft.spec["rollout"], **change}))
    for _ in range(12):
        cluster.reconcile()
        cluster.children[SERVICE] = refused
        cluster.run_controllers()
        cluster.start_all_and_tell()
        cluster.now += timedelta(seconds=60)
        assert [pod.version for pod in cluster.answering()] == ["1"] * 3
    cluster.settle()
    assert versions_of(cluster) == {"2": 3}
    assert gets_traffic(cluster) in ("", "2")
    assert_all_is_well(cluster)
