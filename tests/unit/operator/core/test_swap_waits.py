"""HotSwap while something else than the version is wrong, or nobody wants anything to happen."""

from datetime import timedelta

import pytest

from mmm_operator.api.status import Status
from mmm_operator.planner import TOLD_SECONDS
from mmm_operator.rollout.verdict import MOST_RESTARTS
from mmm_operator.snapshot import SwapReport
from tests.unit.operator.core.build import digest_of
from tests.unit.operator.core.cluster import Pod
from tests.unit.operator.core.test_convergence import assert_all_is_well
from tests.unit.operator.core.test_swap import Swapping, ask, looks, swapping


def say(cluster: Swapping, state: str, reason: str = "") -> None:
    """Every pod says that of the version that it was told to serve, and the operator hears it."""
    message = "no route to the storage" if reason else ""
    report = SwapReport(digest_of(cluster.told()), state, reason, message)
    cluster.said = {pod.name: report for pod in cluster.pods}
    looks(cluster)


def failed(cluster: Swapping) -> list[str]:
    """Why versions were given up."""
    return [item.reason for item in Status.model_validate(cluster.status).model.failed]


def die(cluster: Swapping, pod: Pod, restarts: int) -> None:
    """The pod is not ready, and has died so often in its life."""
    pod.restarts = restarts
    pod.turn("failed", cluster._moment())
    cluster.update_statuses()
    cluster.reconcile()
    cluster.reconcile()


def test_a_pod_that_finds_no_room_keeps_no_version_alive_that_the_others_do_not_go_over_to() -> None:
    cluster = swapping(3, whenNoCapacity="Wait")
    cluster.capacity = 2
    cluster.evict(0)
    cluster.reap()
    cluster.run_controllers()
    cluster.update_statuses()
    cluster.now += timedelta(minutes=1)
    looks(cluster)
    assert cluster.says("Ready") == ("False", "InsufficientMemory")
    cluster.version("2")
    looks(cluster)
    cluster.deadline()
    looks(cluster)
    assert (failed(cluster), cluster.told()) == (["ProgressDeadlineExceeded"], "1")


def test_storage_that_is_away_for_long_fails_no_version_and_the_status_says_so() -> None:
    cluster = swapping()
    cluster.version("2")
    looks(cluster)
    say(cluster, "Failed", "EndpointUnreachable")
    assert cluster.says("Ready") == ("False", "EndpointUnreachable")
    assert cluster.says("Stalled")[0] == cluster.says("Degraded")[0] == "False"
    assert "no route to the storage" in Status.model_validate(cluster.status).rollout.message
    cluster.deadline()
    looks(cluster)
    assert cluster.told() == "2"
    assert cluster.says("Stalled")[0] == "True"
    assert "no route to the storage" in cluster.condition("Stalled").message
    assert cluster.says("Degraded") == ("True", "UpdateBlocked")
    say(cluster, "Loading")
    assert cluster.says("Stalled")[0] == "False"
    cluster.go_over()
    looks(cluster)
    assert failed(cluster) == []
    assert_all_is_well(cluster)


@pytest.mark.parametrize(("state", "reason"), [("Waiting", ""), ("Failed", "EndpointUnreachable")])
def test_what_came_late_has_all_its_time_to_load(state: str, reason: str) -> None:
    cluster = swapping()
    cluster.version("2")
    looks(cluster)
    say(cluster, state, reason)
    cluster.deadline()
    looks(cluster)
    say(cluster, "Loading")
    assert (cluster.told(), failed(cluster)) == ("2", [])
    cluster.deadline()
    looks(cluster)
    assert (cluster.told(), failed(cluster)) == ("1", ["ProgressDeadlineExceeded"])


@pytest.mark.parametrize("nobody", [{"replicas": 0}, {"suspend": True}], ids=str)
def test_where_no_pod_is_wanted_a_version_that_is_asked_for_moves_nothing(nobody: dict[str, object]) -> None:
    cluster = swapping()
    cluster._edit(cluster.draft.having(**nobody))
    cluster.settle()
    cluster.version("2")
    looks(cluster)
    assert cluster.says("Ready")[0] == "True"
    assert cluster.reconcile().requeue_after == TOLD_SECONDS
    assert cluster.current().version == "1", "the way back"
    cluster.now += timedelta(days=1)
    cluster._edit(cluster.draft.having(replicas=2, suspend=False))
    looks(cluster)
    assert cluster.current().version == "2"
    assert_all_is_well(cluster)


def test_how_often_a_pod_died_before_is_not_held_against_a_version_that_comes_later() -> None:
    cluster = swapping()
    cluster.now += timedelta(hours=1)
    cluster.version("2")
    looks(cluster)
    die(cluster, cluster.pods[0], 3 * MOST_RESTARTS)
    assert (cluster.told(), failed(cluster)) == ("2", [])


def test_a_pod_that_begins_with_the_new_version_and_dies_of_it_fails_it() -> None:
    cluster = swapping()
    cluster.now += timedelta(hours=1)
    cluster.version("2")
    looks(cluster)
    cluster.replicas(3)
    cluster.reconcile()
    cluster.run_controllers()
    cluster.schedule()
    die(cluster, cluster.pods[-1], MOST_RESTARTS)
    assert (cluster.told(), failed(cluster)) == ("1", ["ModelLoadFailed"])


def test_a_version_is_not_given_up_for_what_pods_died_of_before_it_was_asked_for() -> None:
    cluster = swapping()
    cluster.now += timedelta(hours=1)
    ask(cluster, "2", 1)
    cluster.replicas(3)
    cluster.reconcile()
    cluster.run_controllers()
    cluster.schedule()
    cluster.pods[-1].restarts = MOST_RESTARTS
    cluster.now += timedelta(minutes=1)
    cluster.version("3")
    die(cluster, cluster.pods[-1], MOST_RESTARTS)
    assert (cluster.told(), failed(cluster)) == ("3", [])


def test_a_pause_is_seen_and_asks_nobody() -> None:
    cluster = swapping(paused=True)
    cluster.version("2")
    looks(cluster)
    assert cluster.says("Ready") == ("False", "Paused")
    rollout = Status.model_validate(cluster.status).rollout
    assert (rollout.summary, rollout.last_progress_at) == ("0/2 Paused", None)
    assert "remove rollout.paused" in rollout.message
    assert cluster.reconcile().requeue_after == TOLD_SECONDS
    cluster.now += timedelta(days=1)
    cluster.pause(0)
    looks(cluster)
    assert cluster.told() == "2"


def test_what_pods_were_told_before_a_pause_is_followed_to_its_end() -> None:
    cluster = swapping()
    ask(cluster, "2", 1)
    cluster.pause(1)
    looks(cluster)
    assert cluster.says("Ready") == ("False", "Paused")
    waits = cluster.reconcile().requeue_after
    assert waits is not None
    assert waits < TOLD_SECONDS
    cluster.go_over()
    looks(cluster)
    assert cluster.current().version == "2"
    assert_all_is_well(cluster)
