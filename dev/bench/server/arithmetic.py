"""The arithmetic of the bench: percentiles, when requests are due, and which of two numbers is how much larger."""

import math
import statistics
from collections.abc import Iterator, Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (nearest rank); NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def due_times(rate: float, seconds: float) -> Iterator[float]:
    """When the requests of an open loop are due, in seconds after its start: evenly, whatever became of the others."""
    for number in range(math.floor(rate * seconds)):
        yield number / rate


def median(values: Sequence[float]) -> float:
    """The median of what was measured; NaN of nothing."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.median(known) if known else math.nan


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of ours / theirs, each pair measured within the same minutes; NaN without a pair."""
    pairs = zip(ours, theirs, strict=False)
    return median([one / other for one, other in pairs if other > 0])
