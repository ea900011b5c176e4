"""Whatever happens in whatever order: each step keeps its promises, and the world comes to rest.

The promises of a single step are `Promises` in cluster.py. What a failing example prints replays it: a list of the
methods of the cluster, in order. With HYPOTHESIS_PROFILE=long the same tests look at fifty times as many worlds.
"""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_operator.planner import plan
from tests.unit.operator.core.build import make_mmm
from tests.unit.operator.core.cluster import BAD, MISSING, Cluster
from tests.unit.operator.examples import examples

# A method of the cluster and what it is called with.
Action = tuple[str, *tuple[int | str, ...]]

OPERATOR: list[Action] = [("reconcile",)]
KUBERNETES: list[Action] = [
    ("run_controllers",),
    ("schedule",),
    ("start_all",),
    ("reap",),
    ("update_statuses",),
    ("start", 0),
    ("start", 1),
]
PEOPLE: list[Action] = [
    *(("version", version) for version in ("1", "2", "3", BAD, MISSING)),
    *(("replicas", replicas) for replicas in range(5)),
]
TROUBLE: list[Action] = [("crash", 0), ("crash", 1), ("crash", 2), ("lose_status",), ("deadline",)]

WANTED = st.integers(1, 4)


def actions(*kinds: list[Action], most: int = 80) -> st.SearchStrategy[list[Action]]:
    """Any actions of these kinds in any order; each kind as often as the others."""
    return st.lists(st.one_of(*map(st.sampled_from, kinds)), max_size=most)


def play(cluster: Cluster, script: list[Action]) -> None:
    for name, *arguments in script:
        getattr(cluster, name)(*arguments)


def settled(wanted: int, version: str = "1", capacity: int | None = None) -> Cluster:
    """A cluster in which `version` serves with `wanted` pods."""
    cluster = Cluster(make_mmm().version(version).replicas(wanted), capacity)
    cluster.settle()
    assert cluster.serving() == wanted
    return cluster


ANYTHING = actions(OPERATOR, KUBERNETES, OPERATOR, KUBERNETES, PEOPLE, TROUBLE)


@examples(120)
@given(ANYTHING, st.sampled_from([None, 1, 2, 4]), st.integers(0, 4))
def test_any_world_keeps_the_promises_and_comes_to_rest(
    script: list[Action], capacity: int | None, replicas: int
) -> None:
    cluster = Cluster(make_mmm().replicas(replicas), capacity)
    play(cluster, script)
    cluster.settle()


@examples(60)
@given(ANYTHING, WANTED)
def test_any_world_heals_once_a_good_version_is_asked_for(script: list[Action], wanted: int) -> None:
    cluster = settled(wanted)
    play(cluster, script)
    cluster.replicas(wanted)
    cluster.version("4")  # one that was not tried before
    cluster.settle()
    assert cluster.sizes() == {cluster.draft.revision().id: wanted}
    assert cluster.serving(cluster.draft.revision().id) == wanted
    assert_all_is_well(cluster)


def assert_all_is_well(cluster: Cluster) -> None:
    assert cluster.says("Ready") == ("True", "Ready")
    assert cluster.says("Available") == ("True", "Serving")
    assert cluster.says("Progressing") == ("False", "Settled")
    assert cluster.says("Stalled") == ("False", "Settled")
    assert cluster.says("Degraded") == ("False", "AsAsked")
    assert cluster.says("Accepted") == ("True", "Accepted")
    assert cluster.says("ModelResolved") == ("True", "Resolved")
    assert cluster.says("CapacityAvailable") == ("True", "Scheduled")


@examples(60)
@given(actions(OPERATOR, KUBERNETES), WANTED)
def test_a_healthy_rollout_serves_at_full_size_with_one_pod_more_at_most(script: list[Action], wanted: int) -> None:
    cluster = settled(wanted)
    cluster.version("2")
    for action in [*script, *OPERATOR, *KUBERNETES[:5]] * 3:
        play(cluster, [action])
        assert cluster.serving() >= wanted
        assert len(cluster.living()) <= wanted + 1
    cluster.settle()
    assert_all_is_well(cluster)


@examples(40)
@given(actions(OPERATOR, KUBERNETES), WANTED)
def test_a_bad_version_never_displaces_the_one_that_serves(script: list[Action], wanted: int) -> None:
    cluster = settled(wanted)
    good = cluster.draft.revision().id
    cluster.version(BAD)
    play(cluster, script)
    cluster.settle()
    assert cluster.serving(good) == cluster.serving() == wanted
    assert cluster.sizes() == {good: wanted}
    assert cluster.says("Ready") == ("False", "ModelLoadFailed")
    assert cluster.says("Available") == ("True", "Serving")
    assert cluster.says("Progressing") == ("False", "RolledBack")
    assert cluster.says("Stalled") == ("True", "RolledBack")
    assert cluster.says("Degraded") == ("True", "RolledBack")
    assert "ModelLoadFailed: these weights make no model" in cluster.condition("Stalled").message
    cluster.version("2")
    cluster.settle()
    assert_all_is_well(cluster)


@examples(40)
@given(actions(OPERATOR, KUBERNETES), WANTED)
def test_a_version_that_does_not_exist_disturbs_nobody(script: list[Action], wanted: int) -> None:
    cluster = settled(wanted)
    before = cluster.sizes()
    cluster.version(MISSING)
    play(cluster, script)
    cluster.settle()
    assert cluster.sizes() == before
    assert cluster.says("Ready") == ("False", "VersionNotFound")
    assert cluster.says("Available") == ("True", "Serving")
    assert cluster.says("Degraded") == ("True", "UpdateBlocked")


@pytest.mark.parametrize("wanted", [1, 3])
@pytest.mark.parametrize(
    "path", [["1", "2", "1"], ["1", "2", "3"], ["1", BAD, "1"], ["1", BAD, "2"], ["1", "2", BAD, "2"]]
)
def test_the_last_word_counts(path: list[str], wanted: int) -> None:
    for rounds in range(6):
        cluster = settled(wanted)
        for version in path:
            cluster.version(version)
            for _ in range(rounds):
                cluster.round()
                assert cluster.serving() >= wanted
        cluster.settle()
        assert cluster.sizes() == {cluster.draft.revision().id: wanted}
        assert_all_is_well(cluster)


def test_going_back_to_a_version_uses_its_deployment_again() -> None:
    cluster = settled(2)
    first = {item["metadata"]["name"] for item in cluster.deployments()}
    for version in ("2", "1"):
        cluster.version(version)
        cluster.settle()
    assert first < {item["metadata"]["name"] for item in cluster.deployments()}
    assert len(cluster.deployments()) == 2


def test_old_revisions_are_kept_up_to_the_limit() -> None:
    cluster = settled(1)
    for number in range(2, 12):
        cluster.version(str(number))
        cluster.settle()
    assert len(cluster.deployments()) == 1 + cluster.draft.build().spec.revision_history_limit


@pytest.mark.parametrize("wanted", [1, 3])
def test_a_bad_version_that_is_asked_for_again_is_tried_again(wanted: int) -> None:
    """Kubernetes times a Deployment only until it is complete for the first time, be it at zero pods."""
    cluster = settled(wanted)
    for version in (BAD, "1", BAD):
        cluster.version(version)
        cluster.reconcile()
        assert cluster.status["model"].get("failed", []) == []
        cluster.settle()
    assert cluster.says("Stalled") == ("True", "RolledBack")
    assert cluster.serving() == wanted


def test_a_model_that_grows_without_room_stalls() -> None:
    cluster = settled(1, capacity=1)
    cluster.replicas(2)
    cluster.settle()
    assert cluster.says("Ready") == ("False", "InsufficientMemory")
    assert cluster.says("Stalled") == ("True", "ProgressDeadlineExceeded")
    assert cluster.says("CapacityAvailable") == ("False", "InsufficientMemory")
    cluster.replicas(1)
    cluster.settle()
    assert_all_is_well(cluster)


def test_room_for_one_pod_is_enough_to_change_versions_by_way_of_zero() -> None:
    """What people with one GPU do: the old version must not take the room that the new one needs."""
    cluster = settled(1, capacity=1)
    cluster.replicas(0)
    cluster.settle()
    assert cluster.says("Ready") == ("True", "ScaledToZero")
    cluster.version("2")
    cluster.replicas(1)
    cluster.settle()
    assert cluster.sizes() == {cluster.draft.revision().id: 1}
    assert_all_is_well(cluster)


def test_a_bad_version_after_zero_gives_way_to_the_one_that_served_before() -> None:
    cluster = settled(2)
    good = cluster.draft.revision().id
    cluster.replicas(0)
    cluster.settle()
    cluster.version(BAD)
    cluster.replicas(2)
    cluster.settle()
    assert cluster.serving(good) == 2
    assert cluster.says("Degraded") == ("True", "RolledBack")


def test_a_lost_status_changes_nothing_that_runs() -> None:
    cluster = settled(3)
    cluster.version("2")
    for _ in range(3):
        cluster.round()
    cluster.lose_status()
    cluster.settle()
    assert cluster.sizes() == {cluster.draft.revision().id: 3}
    assert_all_is_well(cluster)


def test_what_loads_goes_on_although_neither_status_nor_repository_is_there() -> None:
    """After an upgrade the stored status may not fit any more, and the repository has not answered yet."""
    cluster = Cluster(make_mmm().replicas(2))
    cluster.reconcile()
    cluster.run_controllers()
    cluster.update_statuses()
    before = cluster.sizes()
    cluster.version(MISSING)
    cluster.lose_status()
    cluster.reconcile()
    assert cluster.sizes() == before


@pytest.mark.parametrize("version", ["1", BAD, MISSING])
def test_time_alone_changes_nothing_in_a_settled_world(version: str) -> None:
    cluster = settled(2)
    cluster.version(version)
    cluster.settle()
    for later in (timedelta(seconds=1), timedelta(days=400)):
        assert plan(cluster.snapshot(), cluster.settings, cluster.now + later).writes == 0


def test_the_deadline_is_not_slept_through() -> None:
    """Nothing in the cluster changes when a deadline passes, so the plan asks for another look."""
    cluster = settled(1)
    cluster.version(BAD)
    for _ in range(6):
        cluster.round()
    waiting = cluster.reconcile().requeue_after
    assert waiting is not None
    assert 0 < waiting <= cluster.draft.build().spec.rollout.progress_deadline_seconds
    cluster.now += timedelta(seconds=waiting)
    cluster.reconcile()
    assert cluster.says("Stalled") == ("True", "RolledBack")


def test_a_node_that_is_lost_is_waited_for_before_the_model_is_stalled() -> None:
    cluster = settled(2)
    cluster.now += timedelta(days=30)
    cluster.crash(0)
    cluster.reconcile()
    assert cluster.says("Stalled")[0] == "False"
    cluster.settle()
    assert_all_is_well(cluster)


@examples(150)
@given(actions(OPERATOR, KUBERNETES, [("version", "1"), ("version", "2")], most=120), WANTED)
def test_whoever_changes_between_good_versions_never_loses_a_serving_pod(script: list[Action], wanted: int) -> None:
    cluster = settled(wanted)
    for action in script:
        play(cluster, [action])
        assert cluster.serving() >= wanted
    cluster.settle()
    assert_all_is_well(cluster)


@pytest.mark.parametrize("taken_away", [False, True])
def test_going_back_does_not_count_pods_that_go(taken_away: bool) -> None:
    """Just after a rollout the old Deployment, or its status, still has all its pods."""
    cluster = settled(2)
    cluster.version("2")
    cluster.reconcile()
    while cluster.sizes() != {cluster.draft.revision().id: 2}:
        cluster.run_controllers()
        cluster.start_all_and_tell()
        cluster.reconcile()
    if taken_away:
        cluster.run_controllers()
    cluster.version("1")
    for _ in range(3):
        cluster.reconcile()
        cluster.run_controllers()
        assert cluster.serving() >= 2
