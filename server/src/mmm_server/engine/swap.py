"""Going over to another version while the one before it serves: what there is to say, and what to do next.

    wanted.json names another digest ─► Waiting for its files ─► Loading ─► Warming, smoke test ─► Done
                                                 └───────────────┴─────────┴──► Failed: the old one goes on

Pure: the sight is a value, the next move another one.
"""

from dataclasses import dataclass
from enum import StrEnum

from mmm_server.engine.version import Version
from mmm_server.follow_state import Failure


class SwapState(StrEnum):
    """How far a swap is."""

    WAITING = "Waiting"
    LOADING = "Loading"
    WARMING = "Warming"
    DONE = "Done"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Swap:
    """One swap: where to, how far it is, and why it failed."""

    target: Version
    state: SwapState
    reason: str | None = None
    message: str | None = None
    final: bool = (
        True  # a failure that only another wish ends; not one to fetch, which is over when the files are there
    )

    def as_members(self) -> dict[str, object]:
        """What the status page says of it."""
        return {
            "version": self.target.name,
            "digest": self.target.digest,
            "state": self.state.value,
            "reason": self.reason,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class Sight:
    """All that the next move depends on."""

    wanted: Version
    served: Version
    kept: Version | None  # loaded still, and able to serve again at once
    swap: Swap | None
    under_way: bool  # an attempt at the swap's target is running
    there: bool  # the files of the wanted version
    fetch_failure: Failure | None


class Move(StrEnum):
    """What to do."""

    REST = "rest"  # what is served is what is wanted
    GO_ON = "go on"  # with what is under way, or with the old one after a failure
    ABANDON = "abandon"  # the attempt that is under way: something else is wanted by now
    RETURN = "return"  # to the version that is kept
    WAIT = "wait"  # for the files
    REPORT = "report"  # that the files cannot be fetched, and wait on
    BEGIN = "begin"


def next_move(sight: Sight) -> Move:
    """What to do about what is seen."""
    swap = sight.swap
    aims_right = swap is not None and sight.wanted.is_same(swap.target)
    if sight.under_way:
        return Move.GO_ON if aims_right and not sight.wanted.is_same(sight.served) else Move.ABANDON
    if sight.wanted.is_same(sight.served):
        return Move.REST
    if aims_right and swap is not None and swap.state is SwapState.FAILED and swap.final:
        return Move.GO_ON
    if sight.wanted.is_same(sight.kept):
        return Move.RETURN
    if sight.there:
        return Move.BEGIN
    failure = sight.fetch_failure
    return Move.REPORT if failure is not None and failure.digest == sight.wanted.digest else Move.WAIT


def rested(sight: Sight) -> Swap | None:
    """What is left to say once the wanted version serves: that the swap to it is done, if there was one."""
    swap = sight.swap
    if swap is None or swap.state is not SwapState.DONE or not swap.target.is_same(sight.served):
        return None
    return swap
