"""HotSwap: running pods go over to what they are told, and the status says what they serve, not what they were told."""

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from mmm_operator import names
from mmm_operator.api.status import ModelState, Status
from mmm_operator.snapshot import Ref, ServerReport, Snapshot, SwapReport
from tests.unit.operator.core.build import digest_of, make_mmm
from tests.unit.operator.core.cluster import BAD, Cluster, Pod
from tests.unit.operator.core.test_convergence import assert_all_is_well

CONFIG = Ref("v1", "ConfigMap", "shop", names.rollout_config_name("clip"))


@dataclass
class Swapping(Cluster):
    """A cluster whose pods serve what they are told, once `go_over` lets them; `room` for two versions or not."""

    serves: dict[str, str] = field(default_factory=dict)
    said: dict[str, SwapReport] = field(default_factory=dict)
    room: bool = True

    def told(self) -> str:
        """The version that pods are told to serve."""
        content = self.children[CONFIG].get("data", {}).get("wanted.json")
        return str(json.loads(content)["version"]) if content else ""

    def snapshot(self) -> Snapshot:
        """With what the pods say."""
        found = super().snapshot()
        target = found.status.model.target
        asked = [pod for pod in self.pods if pod.serves and target and pod.revision == target.revision]
        return replace(found, reports={pod.name: self._report(pod) for pod in asked})

    def _report(self, pod: Pod) -> ServerReport:
        version = self.serves.setdefault(pod.name, self.told() or pod.version)
        return ServerReport(pod.name, digest_of(version), "cpu", "", "", None, 1.0, self.said.get(pod.name), version)

    def go_over(self, most: int = 9) -> None:
        """So many pods do what they are told, if they can."""
        wanted = self.told()
        waiting = [pod for pod in self.pods if pod.serves and self.serves.get(pod.name) != wanted]
        for pod in waiting[:most]:
            reason = "" if self.room and wanted != BAD else "SmokeTestFailed" if self.room else "NoRoomForSwap"
            state = "Failed" if reason else "Done"
            self.said[pod.name] = SwapReport(digest_of(wanted), state, reason, "why")
            self.serves[pod.name] = self.serves[pod.name] if reason else wanted

    def current(self) -> ModelState:
        found = Status.model_validate(self.status).model.current
        assert found is not None
        return found


def swapping(wanted: int = 2, **rollout: Any) -> Swapping:
    """Version 1 serves."""
    cluster = Swapping(make_mmm().version("1").replicas(wanted).having(rollout={"type": "HotSwap", **rollout}))
    looks(cluster, 8)
    assert_all_is_well(cluster)
    assert cluster.told() == "1"
    return cluster


def looks(cluster: Swapping, number: int = 4) -> None:
    for _ in range(number):
        cluster.round()


def ask(cluster: Swapping, version: str, most: int = 9) -> None:
    """Another version is asked for, and so many pods do what follows for them."""
    cluster.version(version)
    looks(cluster)
    cluster.go_over(most)
    looks(cluster)


def test_pods_go_over_and_none_is_replaced() -> None:
    cluster = swapping()
    pods = [pod.name for pod in cluster.pods]
    cluster.version("2")
    looks(cluster)
    assert (cluster.told(), cluster.current().version) == ("2", "1")
    assert cluster.says("Ready") == ("False", "RollingOut")
    cluster.go_over(1)
    looks(cluster)
    assert Status.model_validate(cluster.status).rollout.summary == "1/2"
    assert cluster.current().version == "1"
    cluster.go_over()
    looks(cluster)
    assert cluster.current().version == "2"
    assert_all_is_well(cluster)
    assert [pod.name for pod in cluster.pods] == pods
    assert all(pod.told for pod in cluster.pods)


def test_a_version_that_cannot_be_gone_over_to_is_taken_back() -> None:
    cluster = swapping()
    ask(cluster, BAD)
    assert (cluster.told(), cluster.current().version) == ("1", "1")
    assert cluster.says("Ready") == ("False", "SmokeTestFailed")
    assert cluster.says("Degraded") == ("True", "RolledBack")
    assert cluster.says("Available") == ("True", "Serving")
    ask(cluster, "2")
    assert_all_is_well(cluster)


def test_going_back_in_the_midst_is_over_when_every_pod_is_back() -> None:
    cluster = swapping()
    ask(cluster, "2", 1)
    cluster.version("1")
    looks(cluster)
    assert cluster.told() == "1"
    assert cluster.says("Ready")[0] == "False"
    cluster.go_over()
    looks(cluster)
    assert_all_is_well(cluster)


def test_pods_are_replaced_first_when_both_change() -> None:
    cluster = swapping()
    more = {"requests": {"memory": "2Gi"}}
    cluster._edit(cluster.draft.version("2").having(resources=more))
    looks(cluster, 12)
    assert (cluster.told(), cluster.current().version) == ("2", "1")
    assert cluster.says("Ready") == ("False", "RollingOut")
    cluster.go_over()
    looks(cluster)
    assert cluster.current().version == "2"
    assert_all_is_well(cluster)


def test_a_lost_status_is_made_of_what_the_pods_say() -> None:
    cluster = swapping()
    cluster.version("2")
    looks(cluster)
    cluster.go_over(1)
    cluster.lose_status()
    looks(cluster)
    assert cluster.current().version == "1"
    assert cluster.says("Ready")[0] == "False"
    cluster.go_over()
    looks(cluster)
    assert_all_is_well(cluster)


def test_where_two_versions_do_not_fit_new_pods_take_over() -> None:
    cluster = swapping()
    cluster.room = False
    cluster.version("2")
    looks(cluster)
    cluster.go_over()
    cluster.settle()
    assert len(cluster.deployments()) == 2
    assert {cluster.serves[pod.name] for pod in cluster.pods} == {"2"}
    assert cluster.current().version == "2"
    assert_all_is_well(cluster)


def test_time_that_nobody_could_use_fails_no_version() -> None:
    late = timedelta(days=1)
    paused = swapping()
    paused._edit(paused.draft.version("2").having(rollout={"type": "HotSwap", "paused": True}))
    looks(paused)
    assert paused.told() == "1"
    paused.now += late
    paused._edit(paused.draft.having(rollout={"type": "HotSwap", "paused": False}))
    looks(paused)
    assert paused.told() == "2"
    away = swapping()
    away.version("2")
    looks(away)
    away.go_over()
    away.now += late
    looks(away)
    assert_all_is_well(away)


def test_pods_that_do_not_go_over_in_time_are_told_to_stay() -> None:
    cluster = swapping()
    cluster.version("2")
    looks(cluster)
    cluster.deadline()
    looks(cluster)
    assert cluster.told() == "1"
    assert cluster.says("Ready") == ("False", "ProgressDeadlineExceeded")


def test_what_pods_were_told_long_ago_counts_no_more() -> None:
    cluster = swapping()
    for version, type_ in (("2", "RollingUpdate"), ("3", "RollingUpdate"), ("3", "HotSwap")):
        cluster._edit(cluster.draft.version(version).having(rollout={"type": type_}))
        cluster.settle()
    assert {cluster.serves[pod.name] for pod in cluster.pods} == {"3"}
    assert cluster.told() == "3"


def test_pods_that_took_over_for_want_of_memory_stay_when_the_status_is_lost() -> None:
    cluster = swapping()
    cluster.room = False
    cluster.version("2")
    looks(cluster)
    cluster.go_over()
    cluster.settle()
    before = [pod.name for pod in cluster.pods]
    cluster.said.clear()
    cluster.lose_status()
    cluster.settle()
    assert [pod.name for pod in cluster.pods] == before
    assert_all_is_well(cluster)
