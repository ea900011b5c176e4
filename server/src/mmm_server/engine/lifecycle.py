"""The states of the server and which may follow which."""

import threading
from enum import StrEnum

from mmm_server.errors import Fatal


class State(StrEnum):
    """Where the server is in its life."""

    STARTING = "STARTING"
    LOADING = "LOADING"
    WARMING = "WARMING"
    READY = "READY"
    DRAINING = "DRAINING"
    FAILED = "FAILED"


FOLLOWS = {
    State.STARTING: {State.LOADING, State.DRAINING, State.FAILED},
    State.LOADING: {State.WARMING, State.DRAINING, State.FAILED},
    State.WARMING: {State.READY, State.DRAINING, State.FAILED},
    State.READY: {State.DRAINING, State.FAILED},
    State.DRAINING: {State.FAILED},
    State.FAILED: set[State](),
}


class Lifecycle:
    """The current state, safe to read and advance from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = State.STARTING
        self._warm = False
        self.failure: Fatal | None = None

    @property
    def state(self) -> State:
        """The current state."""
        return self._state

    @property
    def ready(self) -> bool:
        """Whether new traffic is wanted."""
        return self._state is State.READY

    @property
    def answering(self) -> bool:
        """Whether requests are answered: also while draining, once the model was warm."""
        return self._warm and self._state is not State.FAILED

    def advance(self, state: State) -> bool:
        """Whether the server is now in `state`; a forbidden step, as READY after a drain began, changes nothing."""
        with self._lock:
            if state not in FOLLOWS[self._state]:
                return False
            self._state = state
            self._warm = self._warm or state is State.READY
            return True

    def fail(self, failure: Fatal) -> bool:
        """Ends in FAILED and keeps the first failure."""
        self.failure = self.failure or failure
        return self.advance(State.FAILED)
