"""Sizes in, sizes out: one move of a rollout."""

from typing import Any

import pytest

from mmm_operator.revisions import RevisionState
from mmm_operator.rollout.step import next_step, paused_step, surplus_revisions


def rev(name: str, wanted: int, ready: int | None = None, **fields: Any) -> RevisionState:
    """A revision with `wanted` pods, all of which serve unless told otherwise."""
    ready = wanted if ready is None else ready
    known: dict[str, Any] = {"existing": wanted, "available": ready, "created": name, "stuck": False, "due": None}
    known |= {"version": "", "digest": "", "image": "", "default_image": True, **fields}
    return RevisionState(revision=name, wanted=wanted, ready=ready, **known)


STEPS: list[tuple[str, list[RevisionState], str, int, dict[str, int], bool]] = [
    # what it shows · what is · who serves · wanted · sizes next · done
    ("the first revision starts at full size", [], "", 3, {"B": 3}, False),
    ("nothing is wanted", [], "", 0, {"B": 0}, True),
    ("it serves", [rev("B", 3)], "B", 3, {"B": 3}, True),
    ("it grows", [rev("B", 1)], "B", 3, {"B": 3}, False),
    ("it shrinks", [rev("B", 3)], "B", 1, {"B": 1}, True),
    ("it stops", [rev("B", 3)], "B", 0, {"B": 0}, True),
    ("a new one comes with one pod", [rev("A", 3)], "A", 3, {"A": 3, "B": 1}, False),
    ("while it loads nothing moves", [rev("A", 3), rev("B", 1, 0)], "A", 3, {"A": 3, "B": 1}, False),
    ("it serves, so the old one shrinks", [rev("A", 3), rev("B", 1)], "A", 3, {"A": 2, "B": 1}, False),
    ("there is room, so it grows", [rev("A", 2), rev("B", 1)], "A", 3, {"A": 2, "B": 2}, False),
    ("the last old one goes", [rev("A", 1), rev("B", 3)], "B", 3, {"A": 0, "B": 3}, False),
    ("and is gone", [rev("A", 0, existing=0), rev("B", 3)], "B", 3, {"A": 0, "B": 3}, True),
    ("the old one is still there", [rev("A", 0, existing=1), rev("B", 3)], "B", 3, {"A": 0, "B": 3}, False),
    ("fewer are wanted", [rev("A", 3), rev("B", 2)], "A", 2, {"A": 0, "B": 2}, False),
    ("more are wanted", [rev("A", 2), rev("B", 1)], "A", 5, {"A": 4, "B": 2}, False),
    ("none is wanted", [rev("A", 2), rev("B", 1)], "A", 0, {"A": 0, "B": 0}, False),
    ("the new one fails again: the old one fills up", [rev("A", 1), rev("B", 2, 0)], "A", 3, {"A": 3, "B": 2}, False),
    ("it is stuck: one pod goes on trying", [rev("A", 3), rev("B", 2, 0, stuck=True)], "A", 3, {"A": 3, "B": 1}, False),
    (
        "some of it serves, the rest is stuck",
        [rev("A", 1), rev("B", 3, 2, stuck=True)],
        "A",
        3,
        {"A": 1, "B": 3},
        False,
    ),
    ("it is stuck, and nobody else is there", [rev("B", 3, 0, stuck=True)], "", 3, {"B": 3}, False),
    ("it is stuck, and one old pod is left", [rev("A", 1), rev("B", 3, 0, stuck=True)], "", 3, {"A": 1, "B": 1}, False),
    ("all of the old one is down", [rev("A", 3, 0), rev("B", 1, 0)], "A", 3, {"A": 3, "B": 1}, False),
    ("nobody ever served: all room to the new one", [rev("A", 3, 0)], "", 3, {"A": 0, "B": 1}, False),
    ("a third version drops the second", [rev("A", 3), rev("C", 1, 0)], "A", 3, {"A": 3, "C": 0, "B": 1}, False),
    ("but not what serves", [rev("A", 1), rev("C", 3, 2)], "A", 3, {"A": 1, "C": 2, "B": 1}, False),
    (
        "who is known to be good goes last",
        [rev("A", 1), rev("C", 3), rev("B", 1, 0)],
        "A",
        2,
        {"A": 1, "C": 1, "B": 1},
        False,
    ),
    ("what served stays at zero", [rev("A", 0), rev("B", 1, 0)], "A", 1, {"A": 0, "B": 1}, False),
    ("unless the new one cannot", [rev("A", 0), rev("B", 1, 0, stuck=True)], "A", 1, {"A": 1, "B": 1}, False),
]


@pytest.mark.parametrize(
    ("revisions", "current", "wanted", "sizes", "done"), [row[1:] for row in STEPS], ids=[row[0] for row in STEPS]
)
def test_the_next_step(
    revisions: list[RevisionState], current: str, wanted: int, sizes: dict[str, int], done: bool
) -> None:
    step = next_step("B", current, wanted, revisions)
    assert (dict(step.sizes), step.done) == (sizes, done)
    assert step.because


@pytest.mark.parametrize(
    ("revisions", "wanted", "because"),
    [
        ([], 2, "0 of 2 pods are available"),
        ([rev("A", 2)], 2, "0 of 2 new pods are available, 2 old pods keep serving"),
        (
            [rev("A", 2), rev("B", 1, 0, stuck=True)],
            2,
            "0 of 2 new pods are available, 2 old pods keep serving; the new revision makes no progress",
        ),
        ([rev("A", 1), rev("B", 2)], 2, "all 2 new pods are available, 1 old pods are going away"),
        ([rev("B", 2)], 2, "2 of 2 pods are available"),
    ],
)
def test_a_step_says_why(revisions: list[RevisionState], wanted: int, because: str) -> None:
    assert next_step("B", "A", wanted, revisions).because == because


def test_the_oldest_empty_revisions_beyond_the_limit_are_surplus() -> None:
    empty = [rev(name, 0, existing=0) for name in ("A", "B", "C", "D")]
    busy = [rev("E", 1), rev("F", 0, existing=1)]
    found = surplus_revisions("B", "C", [*busy, *reversed(empty)], limit=1)
    assert [state.revision for state in found] == ["A"]
    assert surplus_revisions("", "", empty, limit=4) == ()
    found = surplus_revisions("", "", empty, limit=1, served=["A"])
    assert [state.revision for state in found] == ["B", "C", "D"]
    assert len(surplus_revisions("", "", [*empty, *busy], limit=0)) == 4


PAUSED: list[tuple[str, list[RevisionState], int, dict[str, int]]] = [
    # what it shows · what is; A serves, B is the target · wanted · sizes next
    ("a new revision is not begun", [rev("A", 3)], 3, {"A": 3}),
    ("one that serves partly stays so", [rev("A", 2), rev("B", 1)], 3, {"A": 2, "B": 1}),
    ("one that still loads is not taken back", [rev("A", 3), rev("B", 1, 0)], 3, {"A": 3, "B": 1}),
    ("the pod too many of a surge stays", [rev("A", 3), rev("B", 1)], 3, {"A": 3, "B": 1}),
    ("more are wanted: who serves grows", [rev("A", 2), rev("B", 1)], 5, {"A": 4, "B": 1}),
    ("fewer are wanted: who serves shrinks", [rev("A", 3), rev("B", 1)], 2, {"A": 2, "B": 1}),
    ("new pods fail: who serves fills up", [rev("A", 1), rev("B", 2, 0)], 3, {"A": 3, "B": 2}),
    ("one that was given up meanwhile stays as it is", [rev("A", 3), rev("C", 1, 0)], 3, {"A": 3, "C": 1}),
]


@pytest.mark.parametrize(("what", "revisions", "wanted", "sizes"), PAUSED, ids=[row[0] for row in PAUSED])
def test_a_paused_rollout(what: str, revisions: list[RevisionState], wanted: int, sizes: dict[str, int]) -> None:
    step = paused_step("B", "A", wanted, revisions)
    assert (step.sizes, step.paused, step.done) == (sizes, True, False)
    assert "remove rollout.paused to go on" in step.because


@pytest.mark.parametrize(
    ("revisions", "current", "wanted"),
    [([], "", 3), ([rev("B", 1)], "", 3), ([rev("B", 3), rev("A", 1)], "B", 3), ([rev("A", 2), rev("B", 1)], "A", 0)],
    ids=["the first revision", "nobody served yet", "it serves already", "nothing is wanted"],
)
def test_where_there_is_nothing_to_pause(revisions: list[RevisionState], current: str, wanted: int) -> None:
    assert paused_step("B", current, wanted, revisions) == next_step("B", current, wanted, revisions)
