"""How far a transfer has come: told to a listener, and in a small file for everybody else."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

PROGRESS_NAME = ".progress.json"
FILE_SECONDS = 1.0


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


class ProgressFile:
    """A listener that keeps `{"downloadedBytes", "reusedBytes", "totalBytes", "time"}` in a file, and tells another.

    The file is replaced at most once a second, so whoever reads it finds it whole. It is a courtesy: where it cannot be
    written, the transfer goes on.
    """

    def __init__(self, location: Path, then: OnProgress) -> None:
        self._location = location
        self._then = then
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        """Note how far it is, unless that was done a moment ago."""
        self._then(progress)
        now = time.monotonic()
        if now < self._next and progress.done_bytes < progress.total_bytes:
            return
        self._next = now + FILE_SECONDS
        counts = {
            "downloadedBytes": progress.done_bytes,
            "reusedBytes": progress.reused_bytes,
            "totalBytes": progress.total_bytes,
            "time": int(time.time()),
        }
        with suppress(OSError):
            draft = self._location.with_name(f"{self._location.name}.new")
            draft.write_text(json.dumps(counts) + "\n", encoding="utf-8")
            draft.replace(self._location)


def read_progress(location: Path, phase: Phase) -> Progress:
    """What the file says, as progress of the given phase; zeros where there is no such file, or none to be read."""
    try:
        counts = json.loads(location.read_bytes())
        done, total, reused = (int(counts[key]) for key in ("downloadedBytes", "totalBytes", "reusedBytes"))
    except (OSError, ValueError, KeyError, TypeError):
        return Progress(phase=phase)
    return Progress(phase=phase, done_bytes=done, total_bytes=total, reused_bytes=reused)


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
