"""The raw outcome, before any figure is made of it."""

from dataclasses import dataclass, field

from dev.bench.server.arithmetic import median, percentile, ratio
from dev.bench.server.load import Loaded


@dataclass(frozen=True)
class Turn:
    """One workload of one contender in one round; times are milliseconds, CPU is per right answer."""

    rate: float
    p50: float
    p99: float
    cpu: float
    client_cpu: float
    shed: int
    failed: int


@dataclass(frozen=True)
class Excess:
    """One contender at ten times what it can do; rates a second, times in milliseconds."""

    capacity: float
    usual_p99: float
    goodput: float
    accepted_p99: float
    shed_p50: float
    shed_p99: float
    shed: int
    failed: int


@dataclass(frozen=True)
class Start:
    """Seconds to the first answer, MiB of memory after the load, and the resident memory of its first process."""

    first_answer: float
    memory: float
    resident: float


@dataclass
class Measured:
    """Everything, by group and workload and contender; lists have one element per round."""

    turns: dict[tuple[str, str, str], list[Turn]] = field(default_factory=dict)
    excesses: dict[str, list[Excess]] = field(default_factory=dict)
    starts: dict[tuple[str, str], list[Start]] = field(default_factory=dict)
    raw: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    stages: list[list[str]] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)

    def rates(self, group: str, workload: str, contender: str) -> list[float]:
        """Right answers a second, round by round."""
        return [turn.rate for turn in self.turns.get((group, workload, contender), [])]

    def compared(self, group: str, workload: str, ours: str, theirs: str) -> float:
        """How many times as many answers; NaN if one of them has none."""
        return ratio(self.rates(group, workload, ours), self.rates(group, workload, theirs))

    def of_limit(self, group: str, workload: str, contender: str, limit: str) -> float:
        """The share of what torch alone reached in the same rounds."""
        return ratio(self.rates(group, workload, contender), [found[limit] for found in self.raw.get(group, [])])

    def median_of(self, group: str, workload: str, contender: str, what: str) -> float:
        """The median of one field of the turns."""
        return median([getattr(turn, what) for turn in self.turns.get((group, workload, contender), [])])


def turn_of(loaded: Loaded, cpu_seconds: float) -> Turn:
    """What one closed loop says."""
    accepted = loaded.accepted
    answers = max(1, loaded.answered)
    return Turn(
        rate=loaded.rate,
        p50=percentile(accepted, 0.5) * 1000,
        p99=percentile(accepted, 0.99) * 1000,
        cpu=cpu_seconds / answers * 1000,
        client_cpu=loaded.cpu_seconds / answers * 1000,
        shed=len(loaded.shed),
        failed=loaded.failed,
    )


def excess_of(capacity: Loaded, usual: Loaded, excess: Loaded) -> Excess:
    """What a closed loop, an open one below and an open one above the capacity say together."""
    return Excess(
        capacity=capacity.rate,
        usual_p99=percentile(usual.accepted, 0.99) * 1000,
        goodput=excess.rate,
        accepted_p99=percentile(excess.accepted, 0.99) * 1000,
        shed_p50=percentile(excess.shed, 0.5) * 1000,
        shed_p99=percentile(excess.shed, 0.99) * 1000,
        shed=len(excess.shed),
        failed=excess.failed,
    )
