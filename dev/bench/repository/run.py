"""The turns in their order, for each number of files."""

from collections.abc import Sequence
from pathlib import Path

from dev.bench.repository.contenders import CONTENDERS, Turn
from dev.bench.repository.measured import Measured
from dev.bench.repository.stage import Stage, open_stage


def measure_all(directory: Path, *, megabytes: int, numbers: Sequence[int], rounds: int) -> list[Measured]:
    """One outcome for each number of files."""
    found = []
    for number in numbers:
        with open_stage(directory / f"files-{number}", megabytes, number) as stage:
            found.append(measure(stage, Measured(megabytes, number), rounds))
    return found


def measure(stage: Stage, found: Measured, rounds: int) -> Measured:
    """Everything about one model."""
    for turn in range(rounds):
        for contender in turned(turn):
            stage.forget(contender)
            note(found, "publish", contender, stage.publish(contender))
            if contender != "mmm":
                stage.forget(contender)
    for turn in range(rounds):
        for contender in turned(turn):
            note(found, "fetch", contender, stage.fetch(contender))
    stage.fetch_and_keep("mmm")
    found.again = [stage.fetch_and_keep("mmm").seconds for _ in range(rounds)]
    return found


def turned(by: int) -> list[str]:
    """The contenders, each first once in so many rounds as there are contenders."""
    names = list(CONTENDERS)
    return names[by % len(names) :] + names[: by % len(names)]


def note(found: Measured, action: str, contender: str, turn: Turn) -> None:
    """Keep what a turn cost, and show it."""
    found.turns.setdefault((action, contender), []).append(turn)
    print(
        f"  {found.files:6} files: {action:7} {contender:5} {turn.seconds:7.2f} s, "
        f"{turn.cpu_seconds:6.2f} s CPU, {turn.memory:5.0f} MiB",
        flush=True,
    )
