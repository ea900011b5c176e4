"""The Service of `tests/chaos/rollouts` chooses as kube-proxy does."""

from tests.chaos.rollouts.service import Endpoint, choices

READY = Endpoint(1, serving=True, terminating=False)
LEAVING = Endpoint(2, serving=True, terminating=True)
STARTING = Endpoint(3, serving=False, terminating=False)
DONE = Endpoint(4, serving=False, terminating=True)


def test_ready_endpoints_are_chosen() -> None:
    assert choices([READY, LEAVING, STARTING, DONE]) == [1]


def test_without_a_ready_one_those_that_terminate_but_serve_are() -> None:
    assert choices([LEAVING, STARTING, DONE]) == [2]


def test_without_any_that_serves_none_is() -> None:
    assert choices([STARTING, DONE]) == []
