"""How far a transfer has come."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias


class Phase(StrEnum):
    """What is being done."""

    WAIT = "Wait"
    CHECK = "Check"
    HASH = "Hash"
    UPLOAD = "Upload"
    DOWNLOAD = "Download"
    VERIFY = "Verify"


@dataclass(frozen=True)
class Progress:
    """How far a phase has come. `reused_bytes`, part of `done_bytes`, were there before and not transferred."""

    phase: Phase
    done_bytes: int = 0
    total_bytes: int = 0
    reused_bytes: int = 0


OnProgress: TypeAlias = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Do nothing with it."""


class ProgressMeter:
    """Counts bytes of one phase and tells a listener after each step."""

    def __init__(self, listener: OnProgress, phase: Phase, total_bytes: int) -> None:
        self._listener = listener
        self._now = Progress(phase=phase, total_bytes=total_bytes)
        listener(self._now)

    def add(self, count: int, *, reused: bool = False) -> None:
        """Count bytes as done; `reused` for those that were there before. A negative count takes them back."""
        self._now = replace(
            self._now,
            done_bytes=self._now.done_bytes + count,
            reused_bytes=self._now.reused_bytes + (count if reused else 0),
        )
        self._listener(self._now)
