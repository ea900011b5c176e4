"""What was seen of one rollout, and the figures that follow from it; seconds count from the change of the spec."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from dev.bench.report import Figure

STATES = ("ready", "starting", "ending")


@dataclass(frozen=True)
class Pods:
    """The pods at one moment: for each version how many are in each of the states."""

    at: float
    versions: dict[str, dict[str, int]]

    def count(self, *states: str) -> int:
        """Pods of all versions in these states."""
        return sum(found.get(state, 0) for found in self.versions.values() for state in states)


@dataclass(frozen=True)
class Answers:
    """What came back in the second before `at`: answers of each version, and requests that failed."""

    at: float
    versions: dict[str, int]
    failed: int


@dataclass(frozen=True)
class Mark:
    """Something that happened."""

    at: float
    text: str


@dataclass(frozen=True)
class Timeline:
    """One rollout from `old` to `new`."""

    policy: str
    setting: str
    old: str
    new: str
    replicas: int
    pods: tuple[Pods, ...]
    answers: tuple[Answers, ...]
    marks: tuple[Mark, ...]

    @property
    def ends(self) -> float:
        """When the last thing was seen."""
        return max(self.pods[-1].at, self.answers[-1].at)


def from_json(found: dict[str, Any]) -> Timeline:
    """The timeline that `asdict` was made of."""
    parts = {name: found[name] for name in ("policy", "setting", "old", "new", "replicas")}
    return Timeline(
        **parts,
        pods=tuple(Pods(**item) for item in found["pods"]),
        answers=tuple(Answers(**item) for item in found["answers"]),
        marks=tuple(Mark(**item) for item in found["marks"]),
    )


def to_json(timeline: Timeline) -> dict[str, Any]:
    """The timeline as JSON."""
    return asdict(timeline)


def figures(timeline: Timeline) -> dict[str, Figure]:
    """What the rollout cost, by name."""
    name, during = timeline.policy, [pods for pods in timeline.pods if pods.at >= 0]
    most = max(pods.count("ready", "starting", "ending") for pods in during)
    found = {
        "requests": Figure(sum(sum(item.versions.values()) for item in timeline.answers), "requests", "higher"),
        "failed": Figure(sum(item.failed for item in timeline.answers), "requests", "lower", _allowed(name)),
        "longest silence": Figure(longest_silence(timeline.answers), "s", "lower"),
        "first answer of the new version": Figure(first_answer(timeline), "s", "lower"),
        "last answer of the old version": Figure(last_answer_of_old(timeline), "s", "lower"),
        "fewest ready pods": Figure(min(pods.count("ready") for pods in during), "pods", "higher"),
        "most pods": Figure(most, "pods", "lower"),
    }
    return {f"{name}, {title}": figure for title, figure in found.items()}


def _allowed(policy: str) -> float | None:
    return None if policy in ("Recreate", "ReplaceInPlace") else 0.0


def longest_silence(answers: Sequence[Answers]) -> float:
    """Seconds in a row in which nobody was answered, as exactly as answers were counted."""
    longest = since = 0.0
    for before, item in pairwise(answers):
        since = 0.0 if sum(item.versions.values()) else since + item.at - before.at
        longest = max(longest, since)
    return round(longest, 1)


def first_answer(timeline: Timeline) -> float:
    """Seconds until the new version answered."""
    return min((item.at for item in timeline.answers if item.versions.get(timeline.new)), default=float("nan"))


def last_answer_of_old(timeline: Timeline) -> float:
    """Seconds until the old version did not answer any more."""
    return max((item.at for item in timeline.answers if item.versions.get(timeline.old)), default=float("nan"))
