"""`suspend` runs nothing and forgets nothing; `rollout.paused` stands still and lets nobody down."""

import pytest
from hypothesis import given

from mmm_operator.api.status import Status
from tests.unit.operator.core.build import make_mmm
from tests.unit.operator.core.cluster import Cluster
from tests.unit.operator.core.test_convergence import (
    KUBERNETES,
    OPERATOR,
    PEOPLE,
    TROUBLE,
    Action,
    actions,
    play,
)
from tests.unit.operator.examples import examples

SWITCHES: list[Action] = [(what, value) for what in ("suspend", "pause") for value in (0, 1)]


def settled(**changes: object) -> Cluster:
    cluster = Cluster(make_mmm().replicas(3).having(**changes))
    cluster.settle()
    return cluster


def kinds(cluster: Cluster) -> set[str]:
    return {ref.kind for ref in cluster.children}


def test_a_suspended_object_runs_nothing_and_says_so() -> None:
    cluster = settled()
    cluster.suspend(1)
    cluster.settle()
    assert cluster.pods == []
    assert cluster.says("Ready") == ("True", "Suspended")
    assert cluster.says("Available") == ("False", "Suspended")
    assert cluster.says("Progressing") == ("False", "Settled")


def test_a_suspended_object_that_is_new_runs_nothing() -> None:
    cluster = settled(suspend=True)
    assert cluster.pods == []
    assert cluster.says("Ready") == ("True", "Suspended")


@pytest.mark.parametrize("version", ["1", "2", "missing"])
def test_resuming_restores_the_size_whatever_was_wanted_meanwhile(version: str) -> None:
    cluster = settled()
    cluster.suspend(1)
    cluster.settle()
    cluster.version(version)
    cluster.settle()
    assert cluster.pods == []
    cluster.suspend(0)
    cluster.settle()
    assert cluster.serving() == 3


def test_suspending_takes_the_autoscaler_away_and_resuming_brings_it_back() -> None:
    """It would go on writing `replicas`, which is the size to come back to."""
    cluster = settled(autoscaling={"maxReplicas": 4})
    for suspended in (1, 0):
        cluster.suspend(suspended)
        cluster.settle()
        assert ("HorizontalPodAutoscaler" in kinds(cluster)) is not bool(suspended)
        found = {condition.type for condition in Status.model_validate(cluster.status).conditions}
        assert ("AutoscalingActive" in found) is not bool(suspended)
    assert cluster.serving() == 3


def test_a_rollout_in_mid_flight_is_suspended_as_a_whole() -> None:
    cluster = settled()
    cluster.version("2")
    cluster.round()
    cluster.round()
    assert len(cluster.sizes()) == 2
    cluster.suspend(1)
    cluster.settle()
    assert cluster.pods == []


def test_a_network_policy_comes_and_goes() -> None:
    cluster = settled(networkPolicy={})
    assert "NetworkPolicy" in kinds(cluster)
    cluster.draft = make_mmm().replicas(3).at_generation(9)
    cluster.settle()
    assert "NetworkPolicy" not in kinds(cluster)


def test_a_paused_rollout_says_so_where_people_look() -> None:
    cluster = settled(rollout={"paused": True})
    assert cluster.says("Ready") == ("True", "Ready"), "there is nothing to pause yet"
    cluster.version("2")
    cluster.settle()
    assert cluster.says("Ready") == ("False", "Paused")
    assert cluster.says("Progressing") == ("False", "Paused")
    assert cluster.says("Available") == ("True", "Serving")
    assert cluster.status["rollout"]["summary"] == "0/3 Paused"
    assert cluster.sizes() == {cluster.draft.version("1").revision().id: 3}


def test_a_paused_rollout_goes_on_where_it_stood() -> None:
    cluster = settled()
    cluster.version("2")
    cluster.round()
    cluster.round()
    cluster.pause(1)
    before = cluster.sizes()
    cluster.settle()
    assert cluster.sizes() == before
    cluster.pause(0)
    cluster.settle()
    assert cluster.serving(cluster.draft.revision().id) == 3


def test_what_serves_follows_replicas_while_the_rollout_is_paused() -> None:
    cluster = settled(rollout={"paused": True})
    cluster.version("2")
    cluster.settle()
    for replicas in (5, 1, 2):
        cluster.replicas(replicas)
        cluster.settle()
        assert cluster.serving(cluster.draft.version("1").revision().id) == replicas


@examples(60)
@given(script=actions(OPERATOR, KUBERNETES, PEOPLE, TROUBLE, SWITCHES))
def test_however_it_was_switched_about_the_end_is_as_asked(script: list[Action]) -> None:
    cluster = Cluster(make_mmm().replicas(2))
    play(cluster, script)
    cluster.version("1")
    cluster.suspend(0)
    cluster.pause(0)
    cluster.settle()
    assert cluster.serving(cluster.draft.revision().id) == cluster.draft.build().spec.replicas
