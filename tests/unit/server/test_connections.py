"""The bounds of connections as values: who is late, who stalls, who may come in."""

import math

import pytest

from mmm_server.http.connections import (
    LINGER_SECONDS,
    PATIENCE,
    Guard,
    Phase,
    Reason,
    Unsent,
    old_age,
    overdue,
    sweep_seconds,
)
from mmm_server.http.loop_lag import SLICES, LagMeter
from mmm_server.limits import ConnectionLimits

LIMITS = ConnectionLimits(head_seconds=10, write_stall_seconds=30)


@pytest.mark.parametrize(
    ("phase", "waited", "reason"),
    [
        (Phase.HEAD, 9.9, None),
        (Phase.HEAD, 10.1, Reason.HEAD_TIMEOUT),
        (Phase.LINGER, LINGER_SECONDS - 0.1, None),
        (Phase.LINGER, LINGER_SECONDS + 0.1, Reason.UNREAD_BODY),
        (Phase.BODY, 1000, None),
        (Phase.ANSWER, 1000, None),
        (Phase.IDLE, 1000, None),
    ],
)
def test_only_the_phases_that_nobody_else_watches_are_overdue(
    phase: Phase, waited: float, reason: Reason | None
) -> None:
    assert overdue(phase, waited, LIMITS) is reason


def test_a_reader_that_makes_progress_is_patiently_served_but_not_for_ever() -> None:
    unsent = Unsent()
    unsent.observe(0, 0.0)
    assert not unsent.stalled(100.0, 30)
    size, now = 10_000_000, 100.0
    unsent.observe(size, now)
    while now < 100 + PATIENCE * 30:
        assert not unsent.stalled(now, 30)
        now, size = now + 10, size - 1
        unsent.observe(size, now)
    assert unsent.stalled(now + 1, 30)


def test_a_reader_that_stops_is_noticed_and_one_that_catches_up_begins_anew() -> None:
    unsent = Unsent()
    unsent.observe(1000, 0.0)
    unsent.observe(1000, 29.0)
    assert not unsent.stalled(29.0, 30)
    assert unsent.stalled(31.0, 30)
    unsent.observe(0, 31.0)
    unsent.observe(500, 60.0)
    assert not unsent.stalled(80.0, 30)


def test_a_reader_of_an_answer_in_pieces_makes_progress_while_as_much_is_unsent_as_before() -> None:
    unsent = Unsent()
    unsent.observe(1000, 0.0)
    for now in range(20, PATIENCE * 30, 20):
        unsent.taken(float(now))
        unsent.observe(1000, float(now))
        assert not unsent.stalled(float(now), 30)
    unsent.taken(float(PATIENCE * 30))
    assert unsent.stalled(PATIENCE * 30 + 1.0, 30)


def test_the_guard_counts_in_all_and_per_address() -> None:
    guard = Guard(ConnectionLimits(connections=3, connections_per_peer=2), lambda _: None)
    for _ in range(2):
        assert guard.welcome("a")
        guard.enter("a")
    assert not guard.welcome("a")
    assert guard.welcome("b")
    guard.enter("b")
    assert guard.full()
    assert not guard.welcome("c")
    guard.leave("a")
    assert guard.welcome("c")
    guard.leave("a")
    assert "a" not in guard.peers


def test_zero_means_any_number() -> None:
    guard = Guard(ConnectionLimits(connections=0, connections_per_peer=0), lambda _: None)
    for _ in range(10_000):
        assert guard.welcome("a")
        guard.enter("a")


def test_looking_often_enough_costs_little() -> None:
    assert sweep_seconds(LIMITS) == 1.0
    assert sweep_seconds(ConnectionLimits(head_seconds=1)) == 0.25
    assert sweep_seconds(ConnectionLimits(head_seconds=0.001)) == 0.05


def test_the_longest_delay_is_forgotten_after_a_minute() -> None:
    meter = LagMeter()
    assert meter.longest() == 0.0
    meter.observe(0.0, 0.5)
    for step in range(1, SLICES * 20):
        meter.observe(step * 0.05, 0.001)
    assert meter.longest() == 0.5
    for step in range(SLICES * 20, SLICES * 20 + 40):
        meter.observe(step * 0.05, 0.001)
    assert meter.longest() == 0.001


def test_connections_that_were_opened_together_do_not_become_old_together() -> None:
    assert old_age(30.0, 0.0) == 30.0
    assert old_age(30.0, 0.5) == 27.0
    assert old_age(0.0, 0.5) == math.inf
