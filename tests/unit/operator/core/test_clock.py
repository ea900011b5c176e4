"""The clock of a rollout: what lets it begin anew, what does not, and what nobody is given up for."""

from datetime import timedelta

import pytest

from mmm_operator.api.status import Status
from tests.unit.operator.core.cluster import Cluster
from tests.unit.operator.core.test_convergence import assert_all_is_well
from tests.unit.operator.core.test_course import rollout_of, settled, versions_of

DEADLINE = 60


def failures(cluster: Cluster) -> list[str]:
    return [item.reason for item in Status.model_validate(cluster.status).model.failed]


def hang(cluster: Cluster, version: str = "2") -> None:
    """Pods of the version get nodes and begin, and nothing more; all others become ready."""
    cluster.reconcile()
    cluster.run_controllers()
    cluster.schedule()
    for pod in cluster.living():
        if pod.state == "starting" and pod.version != version:
            pod.turn("ready", cluster._moment())
            cluster.ever_ready.add(pod.revision)
    cluster.reap()
    cluster.update_statuses()


@pytest.mark.parametrize("type_", ["RollingUpdate", "BlueGreen"])
def test_an_autoscaler_does_not_keep_a_version_alive_that_hangs(type_: str) -> None:
    cluster = settled(3, type=type_, progressDeadlineSeconds=DEADLINE)
    cluster.version("2")
    began = cluster.now
    while not failures(cluster) and cluster.now < began + timedelta(seconds=4 * DEADLINE):
        for _ in range(3):
            hang(cluster)
        cluster.now += timedelta(seconds=20)
        cluster.replicas(7 - cluster.draft.build().spec.replicas)  # three and four by turns
    assert failures(cluster) == ["ProgressDeadlineExceeded"]
    assert cluster.now <= began + timedelta(seconds=DEADLINE + 20)


def test_a_pod_that_became_ready_is_progress_for_those_that_start() -> None:
    cluster = settled(3, type="BlueGreen", progressDeadlineSeconds=DEADLINE)
    cluster.version("2")
    for _ in range(3):
        hang(cluster)
        cluster.now += timedelta(seconds=DEADLINE - 10)
        cluster.start(0)
        cluster.update_statuses()
        cluster.reconcile()
    assert failures(cluster) == []
    cluster.settle()
    assert versions_of(cluster) == {"2": 3}


def test_a_rollout_that_was_paused_has_its_time_afterwards() -> None:
    cluster = settled(2, progressDeadlineSeconds=DEADLINE)
    cluster.version("2")
    hang(cluster)
    cluster.pause(1)
    hang(cluster)
    assert rollout_of(cluster).last_progress_at is None
    cluster.now += timedelta(days=1)
    hang(cluster)
    assert cluster.says("Stalled") == ("False", "Paused")
    cluster.pause(0)
    hang(cluster)
    hang(cluster)
    assert failures(cluster) == []
    cluster.settle()
    assert_all_is_well(cluster)
