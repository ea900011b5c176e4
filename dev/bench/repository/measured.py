"""The raw outcome of the bench for one number of files."""

import statistics
from dataclasses import dataclass, field

from dev.bench.repository.contenders import Turn


@dataclass
class Measured:
    """Every turn, by action and contender; `again` are seconds of looking at a complete cache."""

    megabytes: int
    files: int
    turns: dict[tuple[str, str], list[Turn]] = field(default_factory=dict)
    again: list[float] = field(default_factory=list)

    def seconds(self, action: str, contender: str) -> float:
        """The median of the contender's turns."""
        return statistics.median(turn.seconds for turn in self.turns[action, contender])

    def memory(self, action: str, contender: str) -> float:
        """The most memory of any turn, in MiB."""
        return max(turn.memory for turn in self.turns[action, contender])

    def cpu_seconds(self, action: str, contender: str) -> float:
        """The median CPU time of the client."""
        return statistics.median(turn.cpu_seconds for turn in self.turns[action, contender])
