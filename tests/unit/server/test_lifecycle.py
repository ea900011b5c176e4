import pytest

from mmm_server.engine.lifecycle import FOLLOWS, Lifecycle, State
from mmm_server.errors import InternalError, ModelLoadFailed

USUAL = (State.LOADING, State.WARMING, State.READY)


def make_lifecycle(*states: State) -> Lifecycle:
    lifecycle = Lifecycle()
    for state in states:
        assert lifecycle.advance(state)
    return lifecycle


def test_only_a_warm_server_is_ready() -> None:
    lifecycle = Lifecycle()
    for state in USUAL:
        assert not lifecycle.ready
        assert not lifecycle.answering
        lifecycle.advance(state)
    assert lifecycle.ready
    assert lifecycle.answering


def test_a_draining_server_still_answers_but_wants_no_traffic() -> None:
    lifecycle = make_lifecycle(*USUAL, State.DRAINING)
    assert (lifecycle.ready, lifecycle.answering) == (False, True)


def test_a_server_that_never_was_ready_does_not_answer_while_draining() -> None:
    assert not make_lifecycle(State.LOADING, State.DRAINING).answering


def test_loading_that_ends_after_a_drain_began_does_not_make_it_ready_again() -> None:
    lifecycle = make_lifecycle(State.LOADING, State.DRAINING)
    assert not lifecycle.advance(State.WARMING)
    assert not lifecycle.advance(State.READY)
    assert lifecycle.state is State.DRAINING


@pytest.mark.parametrize("states", [(), USUAL[:1], USUAL, (*USUAL, State.DRAINING)])
def test_every_state_can_fail_and_the_first_failure_is_kept(states: tuple[State, ...]) -> None:
    lifecycle = make_lifecycle(*states)
    first = ModelLoadFailed("first")
    assert lifecycle.fail(first)
    assert not lifecycle.fail(InternalError("second"))
    assert lifecycle.failure is first
    assert not lifecycle.answering


def test_nothing_follows_failure() -> None:
    assert FOLLOWS[State.FAILED] == set()
    assert set(FOLLOWS) == set(State)
