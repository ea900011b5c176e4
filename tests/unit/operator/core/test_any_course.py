"""Whatever happens in whatever order, under any policy: each step keeps its promises, and the world comes to rest."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_operator.traffic import Traffic
from tests.unit.operator.core.build import make_mmm
from tests.unit.operator.core.cluster import Cluster
from tests.unit.operator.core.test_convergence import (
    ANYTHING,
    KUBERNETES,
    OPERATOR,
    PEOPLE,
    TROUBLE,
    WANTED,
    Action,
    actions,
    assert_all_is_well,
    play,
)
from tests.unit.operator.core.test_course import answers, canary, settled
from tests.unit.operator.examples import examples

TYPES: list[dict[str, Any]] = [
    {},
    {"type": "Recreate"},
    {"type": "BlueGreen"},
    {"type": "Canary", "canary": {"steps": [{"weight": 20, "pauseSeconds": 0}, {"weight": 60, "pauseSeconds": 0}]}},
    {"whenNoCapacity": "Wait"},
    {"whenNoCapacity": "Fail"},
    {"capacityTimeoutSeconds": 0, "maxUnavailable": 2},
]
# Who forgets who served while that one answers nothing takes for it who is ready: so nothing is forgotten here.
KEPT = [action for action in TROUBLE if action != ("lose_status",)]
REMEMBERED = actions(OPERATOR, KUBERNETES, OPERATOR, KUBERNETES, PEOPLE, [*KEPT, ("evict", 0), ("evict", 1)])


STANDING: list[dict[str, Any]] = [
    {"type": "BlueGreen", "autoRollback": False},
    {"type": "BlueGreen", "blueGreen": {"promotion": "Manual"}, "capacityTimeoutSeconds": 30},
    {"autoRollback": False},
]
CONSENT: list[Action] = [("promote",), ("promote",)]


@pytest.mark.parametrize("rollout", TYPES + STANDING, ids=str)
@examples(25)
@given(script=ANYTHING, capacity=st.sampled_from([None, 1, 2, 4]), wanted=st.integers(0, 4))
def test_any_world_keeps_the_promises_under_any_policy(
    rollout: dict[str, Any], script: list[Action], capacity: int | None, wanted: int
) -> None:
    cluster = Cluster(make_mmm().replicas(wanted).having(rollout=rollout), capacity)
    play(cluster, script)
    cluster.settle()


@pytest.mark.parametrize("rollout", [policy for policy in TYPES if "whenNoCapacity" not in policy], ids=str)
@examples(15)
@given(script=ANYTHING, wanted=WANTED)
def test_a_good_version_gets_through_where_there_is_room_for_those_that_are_wanted(
    rollout: dict[str, Any], script: list[Action], wanted: int
) -> None:
    cluster = settled(wanted, capacity=wanted, **rollout)
    play(cluster, script)
    cluster.replicas(wanted)
    cluster.version("4")  # one that was not tried before
    cluster.settle()
    assert cluster.sizes() == {cluster.draft.revision().id: wanted}
    assert_all_is_well(cluster)


@examples(40)
@given(script=actions(OPERATOR, KUBERNETES, [("version", "1"), ("version", "2")], most=100), wanted=WANTED)
def test_without_room_no_more_are_missing_than_may_be(script: list[Action], wanted: int) -> None:
    cluster = settled(wanted, capacity=wanted, capacityTimeoutSeconds=0)
    for action in script:
        play(cluster, [action])
        assert cluster.serving() >= wanted - 1
    cluster.settle()
    assert_all_is_well(cluster)


@examples(60)
@given(script=REMEMBERED, capacity=st.sampled_from([None, 1, 2, 3, 5]), wanted=WANTED)
def test_nothing_new_answers_before_it_is_promoted_by_hand(
    script: list[Action], capacity: int | None, wanted: int
) -> None:
    by_hand = {"type": "BlueGreen", "blueGreen": {"promotion": "Manual"}, "capacityTimeoutSeconds": 0}
    cluster = settled(wanted, None, **by_hand)
    cluster.capacity = None if capacity is None else max(capacity, wanted)
    old = cluster.draft.revision().id
    for action in [*script, ("settle",)]:
        play(cluster, [action])
        assert {pod.revision for pod in cluster.answering()} <= {old}
    if cluster.draft.build().spec.replicas <= wanted:
        assert len(cluster.answering()) == cluster.draft.build().spec.replicas


@examples(40)
@given(script=actions(OPERATOR, KUBERNETES), wanted=WANTED, weight=st.sampled_from([10, 25, 50]))
def test_a_canary_that_failed_never_comes_back_into_traffic(script: list[Action], wanted: int, weight: int) -> None:
    cluster = canary(wanted, weight=weight)
    answers(cluster, Traffic(50, 10, 80.0, 0, 0))
    alone = False
    for action in [*script, ("settle",)]:
        play(cluster, [action])
        assert len(cluster.answering()) >= max(1, wanted - 1)
        versions = {pod.version for pod in cluster.answering()}
        assert versions == {"1"} or not alone
        alone = versions == {"1"}
    assert alone


@examples(60)
@given(
    script=actions(OPERATOR, KUBERNETES, OPERATOR, KUBERNETES, PEOPLE, [*KEPT, *CONSENT]),
    capacity=st.sampled_from([None, 1, 2, 3, 5]),
    wanted=WANTED,
)
def test_consent_may_come_and_go(script: list[Action], capacity: int | None, wanted: int) -> None:
    by_hand = {"type": "BlueGreen", "blueGreen": {"promotion": "Manual"}, "capacityTimeoutSeconds": 0}
    cluster = settled(wanted, None, **by_hand)
    cluster.capacity = None if capacity is None else max(capacity, wanted)
    play(cluster, script)
    cluster.settle()
