"""The clock of a rollout: what lets it begin anew, what does not, and what nobody is given up for."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mmm_operator.api.conditions import Reason
from mmm_operator.api.status import Status
from mmm_operator.planner import plan
from mmm_operator.snapshot import Manifest, Resolution, is_ready, pod_revision
from tests.unit.operator.core.cluster import BAD, Cluster
from tests.unit.operator.core.test_convergence import assert_all_is_well
from tests.unit.operator.core.test_course import rollout_of, rounds, settled, versions_of

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


def stay(cluster: Cluster, number: int) -> None:
    """So many rounds in which pods that were told to end do not."""
    for _ in range(number):
        cluster.reconcile()
        cluster.run_controllers()
        cluster.schedule()
        cluster.update_statuses()


def test_old_pods_that_do_not_end_are_not_held_against_the_new_version() -> None:
    cluster = settled(1, capacity=1, capacityTimeoutSeconds=0)
    cluster.version("2")
    stay(cluster, 6)
    assert cluster.says("Ready") == ("False", "WaitingForOldPodTermination")
    assert cluster.says("Stalled")[0] == "False"
    cluster.deadline()
    stay(cluster, 4)
    assert cluster.says("Stalled") == ("True", "ProgressDeadlineExceeded")
    assert "is gone" in cluster.condition("Stalled").message
    cluster.reap()
    # The scheduler has not looked yet.
    cluster.reconcile()
    cluster.reconcile()
    assert failures(cluster) == []
    cluster.settle()
    assert versions_of(cluster) == {"2": 1}
    assert_all_is_well(cluster)


def test_what_finds_no_room_although_the_old_pod_is_gone_is_given_up() -> None:
    cluster = settled(1, capacity=1, capacityTimeoutSeconds=0)
    cluster.version("2")
    stay(cluster, 6)
    cluster.deadline()
    stay(cluster, 4)
    cluster.capacity = 0
    cluster.reap()
    stay(cluster, 4)
    assert failures(cluster) == []
    cluster.deadline()
    stay(cluster, 4)
    assert failures(cluster) == ["InsufficientMemory"]


def test_what_was_given_up_for_want_of_room_is_dated_once() -> None:
    cluster = settled(2, capacity=2, capacityTimeoutSeconds=0, whenNoCapacity="Fail")
    cluster.version("2")
    cluster.settle()
    assert cluster.says("Ready") == ("False", "InsufficientMemory")
    rest = cluster.now + timedelta(seconds=5)
    assert plan(cluster.snapshot(), cluster.settings, rest).status is None


def test_storage_that_is_away_in_the_midst_gives_nobody_more_time() -> None:
    cluster = settled(2, progressDeadlineSeconds=DEADLINE)
    cluster.version("2")
    hang(cluster)
    away = Resolution("s3://models/clip", "2", reason=Reason.ENDPOINT_UNREACHABLE, message="no route")
    for found in (away, away, None):
        cluster.now += timedelta(seconds=DEADLINE // 3)
        seen = cluster.snapshot()
        cluster.carry_out(plan(replace(seen, resolution=found or seen.resolution), cluster.settings, cluster.now))
    assert failures(cluster) == ["ProgressDeadlineExceeded"]


def test_an_image_that_comes_late_leaves_its_pods_all_their_time() -> None:
    cluster = settled(2, progressDeadlineSeconds=DEADLINE)
    cluster.version("2")
    hang(cluster)
    pulls = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no route"}}}
    for seconds, server in ((1, pulls), (DEADLINE, pulls), (1, {}), (1, {})):
        look_at(cluster, seconds, server)
        assert failures(cluster) == []
    look_at(cluster, DEADLINE, {})
    assert failures(cluster) == ["ProgressDeadlineExceeded"]


def test_an_image_that_comes_late_leaves_all_its_time_also_where_old_and_new_pods_together_are_enough() -> None:
    cluster = settled(3, type="BlueGreen", progressDeadlineSeconds=DEADLINE)
    cluster.version("2")
    hang(cluster)
    cluster.start(0)
    cluster.crash(0)
    assert [pod.version for pod in cluster.answering()] == ["1", "1"]
    cluster.update_statuses()
    pulls = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no route"}}}
    for seconds, server in ((1, pulls), (DEADLINE, pulls), (1, {}), (1, {}), (DEADLINE - 10, {})):
        look_at(cluster, seconds, server)
        assert failures(cluster) == []
    look_at(cluster, 20, {})
    assert failures(cluster) == ["ProgressDeadlineExceeded"]


def look_at(cluster: Cluster, seconds: int, server: Manifest) -> None:
    """A look so much later, in which this is so of the servers of the target that are not ready."""
    cluster.now += timedelta(seconds=seconds)
    seen, target = cluster.snapshot(), cluster.draft.revision().id
    idle = {pod["metadata"]["name"] for pod in seen.pods if pod_revision(pod) == target and not is_ready(pod)}
    pods = tuple(_with_server(pod, server) if pod["metadata"]["name"] in idle else pod for pod in seen.pods)
    cluster.carry_out(plan(replace(seen, pods=pods), cluster.settings, cluster.now))


def _with_server(pod: Manifest, more: Manifest) -> Manifest:
    (server,) = pod["status"]["containerStatuses"]
    return {**pod, "status": {**pod["status"], "containerStatuses": [{**server, **more}]}}


def test_recreate_says_when_old_pods_do_not_end_and_waits_for_them() -> None:
    cluster = settled(2, type="Recreate")
    for pod in cluster.pods:
        pod.born = cluster._moment()  # here a pod was told to end when it began
    cluster.version("2")
    stay(cluster, 4)
    assert cluster.says("Stalled")[0] == "False"
    waits = cluster.reconcile().requeue_after
    assert waits is not None
    assert waits <= cluster.draft.build().spec.rollout.progress_deadline_seconds
    cluster.deadline()
    stay(cluster, 4)
    assert cluster.says("Stalled") == ("True", "ProgressDeadlineExceeded")
    assert all(pod.name in cluster.condition("Stalled").message for pod in cluster.pods)
    assert failures(cluster) == []
    cluster.reap()
    cluster.settle()
    assert_all_is_well(cluster)


def test_a_bad_version_is_given_up_though_others_end_beside_it() -> None:
    cluster = settled(2, capacityTimeoutSeconds=0)
    cluster.version(BAD)
    rounds(cluster, 4)
    cluster.evict(0)
    cluster.deadline()
    stay(cluster, 2)
    assert failures(cluster) == ["ModelLoadFailed"]
