"""HotSwap while something else than the version is wrong, or nobody wants anything to happen."""

from datetime import timedelta

from mmm_operator.api.status import Status
from mmm_operator.rollout.verdict import MOST_RESTARTS
from tests.unit.operator.core.cluster import Pod
from tests.unit.operator.core.test_swap import Swapping, ask, looks, swapping


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
