"""Whatever happens, and whenever: played with real times, every rollout comes to rest, and its promises hold."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mmm_cli.rollout.view import is_over
from mmm_operator import names
from mmm_operator.offline.simulation.answers import Answers
from mmm_operator.offline.simulation.cluster import Cluster, Times
from mmm_operator.offline.simulation.run import Course, gaps, simulate
from mmm_operator.offline.simulation.script import parse_occurrence
from mmm_operator.offline.simulation.world import World
from mmm_operator.snapshot import Key
from tests.unit.operator.core.build import SETTINGS
from tests.unit.operator.examples import WITHOUT_SHRINKING, examples

HOURS = 12 * 3600
OBJECT = {
    **{"apiVersion": names.API_VERSION, "kind": names.KIND},
    "metadata": {"name": "clip", "namespace": "shop"},
}
times = st.sampled_from(["", "", "+1s ", "+7s ", "+25s ", "+50s "])
words = st.sampled_from(
    [
        *("version=1", "version=2", "version=3", "pause", "resume", "promote", "lose-status"),
        *("bad=2", "smoke=2", "hang=3", "errors=2:50", "slow=3:900", "good=2", "good=3"),
    ]
)
happenings = st.lists(st.builds(str.__add__, times, words), min_size=1, max_size=6)
weights = st.lists(st.sampled_from([10, 25, 50, 75]), min_size=1, max_size=3, unique=True).map(sorted)
gates = {"pauseSeconds": 20, "minRequests": 30, "maxErrorPercent": 5, "maxP95Milliseconds": 200}
canaries = weights.map(lambda found: {"steps": [{"weight": weight, **gates} for weight in found]})
policies = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["RollingUpdate", "BlueGreen"]),
        "whenNoCapacity": st.sampled_from(["ReplaceInPlace", "Wait", "Fail"]),
        "capacityTimeoutSeconds": st.sampled_from([0, 30, 120]),
        "progressDeadlineSeconds": st.sampled_from([60, 200]),
        "minReadySeconds": st.sampled_from([0, 5]),
        "autoRollback": st.booleans(),
    }
)
canary_policies = st.builds(lambda policy, canary: {**policy, "type": "Canary", "canary": canary}, policies, canaries)


def play(policy: dict[str, Any], replicas: int, room: int | None, events: list[str]) -> tuple[World, Course]:
    spec = {"replicas": replicas, "model": {"uri": "s3://models/clip", "version": "1"}, "rollout": policy}
    raw = {**OBJECT, "spec": spec}
    world = World(Key("shop", "clip"), raw, Cluster("shop", "clip", Times(), room), SETTINGS, answers=Answers(20))
    # The object serves once before anything happens to it.
    return world, simulate(world, [parse_occurrence(event) for event in ("pause", "resume", *events)], HOURS)


@examples(20, WITHOUT_SHRINKING)
@given(policies | canary_policies, st.integers(1, 4), st.integers(0, 1), happenings)
def test_it_comes_to_rest_and_somebody_always_answers(
    policy: dict[str, Any], replicas: int, spare: int, events: list[str]
) -> None:
    """With one replica and no room for a second pod nobody could promise that."""
    _, course = play(policy, replicas, replicas + spare if replicas > 1 else 2, events)
    assert course.rest is not None
    assert gaps(course.rows, course.ended) == []
    assert course.rows[-1].serving >= replicas - 1


@examples(10, WITHOUT_SHRINKING)
@given(policies | canary_policies, happenings)
def test_the_only_place_is_given_back_to_what_served(policy: dict[str, Any], events: list[str]) -> None:
    world, course = play(policy, 1, 1, [*events, "resume"])
    broken = {*world.cluster.faults, *world.answers.errors, *world.answers.slow}
    assert course.rest is not None
    if policy["autoRollback"] or not broken:
        assert course.rows[-1].serving == 1


@examples(10, WITHOUT_SHRINKING)
@given(policies | canary_policies, st.integers(1, 3), happenings)
def test_with_room_enough_a_good_version_serves_in_the_end_and_who_follows_hears_of_it(
    policy: dict[str, Any], replicas: int, events: list[str]
) -> None:
    world, course = play(policy, replicas, None, [*events, "good=2", "good=3", "resume", "version=4"])
    assert course.ready
    assert is_over(world.snapshot().mmm.model_copy(update={"status": world.status})) is True  # type: ignore[union-attr]
