"""What pods answered during a while, counted from the metrics that they show: the evidence of a canary's gates.

A page is a state of counters since the process began; what was counted during a while is the difference of two. A
counter that went down began anew, as after a restart of the container: then all of it was counted since.

Only inference is counted. An answer of 5xx is an error. 429 (the server is full) and 499 (the client is gone) say
nothing about what is served: they are neither errors nor requests. The durations are those of all answers, since the
server keeps them by route alone.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

QUANTILE = 0.95

Buckets = tuple[tuple[float, int], ...]  # (upper bound in seconds, how many took no longer), by bound


@dataclass(frozen=True, slots=True)
class Counters:
    """What a process has counted since it began: requests, errors, compared answers, and how long requests took."""

    requests: int = 0
    errors: int = 0
    mirrored: int = 0
    differing: int = 0
    buckets: Buckets = ()


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was counted during a while.

    `p95_ms` is None without a request. `mirrored` answers were compared with those of another revision, and
    `differing` of them were another answer. `buckets` are what `p95_ms` was made of, so that pods can be added up.
    """

    requests: int
    errors: int
    p95_ms: float | None
    mirrored: int
    differing: int
    buckets: Buckets = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Count:
    """The counting of one pod: its last page, and what came together before."""

    last: Counters
    total: Counters = Counters()

    def then(self, page: Counters) -> "Count":
        """The count after another page."""
        return Count(page, added([self.total, grown(self.last, page)]))

    @property
    def traffic(self) -> Traffic:
        """What was counted so far."""
        total = self.total
        p95 = quantile(total.buckets, QUANTILE)
        p95_ms = None if p95 is None else 1000 * p95
        return Traffic(total.requests, total.errors, p95_ms, total.mirrored, total.differing, total.buckets)


def grown(before: Counters, after: Counters) -> Counters:
    """What was counted between two pages of a pod."""
    earlier = dict(before.buckets)
    bounds_same = earlier.keys() == dict(after.buckets).keys() or not earlier
    buckets = tuple((bound, number - earlier.get(bound, 0)) for bound, number in after.buckets)
    difference = Counters(
        requests=after.requests - before.requests,
        errors=after.errors - before.errors,
        mirrored=after.mirrored - before.mirrored,
        differing=after.differing - before.differing,
        buckets=buckets,
    )
    return difference if bounds_same and _least(difference) >= 0 else after


def added(counts: Iterable[Counters]) -> Counters:
    """What several counted together. Of their buckets those that all have: servers may differ in them."""
    counts = list(counts)
    return Counters(
        requests=sum(each.requests for each in counts),
        errors=sum(each.errors for each in counts),
        mirrored=sum(each.mirrored for each in counts),
        differing=sum(each.differing for each in counts),
        buckets=_merged([each.buckets for each in counts if each.buckets]),
    )


def together(traffic: Iterable[Traffic]) -> Traffic:
    """The traffic of several pods as one. Where no buckets are known, its p95 is that of the slowest."""
    each = list(traffic)
    known = [one.buckets for one in each if one.buckets]
    slowest = max((one.p95_ms for one in each if one.p95_ms is not None), default=None)
    buckets = _merged(known)
    p95 = quantile(buckets, QUANTILE) if all(one.buckets for one in each if one.p95_ms is not None) else None
    return Traffic(
        requests=sum(one.requests for one in each),
        errors=sum(one.errors for one in each),
        p95_ms=slowest if p95 is None else 1000 * p95,
        mirrored=sum(one.mirrored for one in each),
        differing=sum(one.differing for one in each),
        buckets=buckets,
    )


def quantile(buckets: Sequence[tuple[float, int]], share: float) -> float | None:
    """The quantile of a histogram as PromQL's histogram_quantile estimates it; None when it is empty.

    Within a bucket the durations are taken to be spread evenly; beyond the last bound nothing is known but that bound.
    """
    if not buckets or not math.isinf(buckets[-1][0]) or buckets[-1][1] <= 0:
        return None
    rank = share * buckets[-1][1]
    lower, below = 0.0, 0
    for upper, number in buckets:
        if number >= rank and number > below:
            return lower if math.isinf(upper) else lower + (upper - lower) * (rank - below) / (number - below)
        lower, below = upper, number
    return None


def born_since(pods: Iterable[Mapping[str, Any]], moment: str) -> frozenset[str]:
    """The names of the pods that were created at that moment (RFC 3339) or later; none if it is no moment."""
    try:
        began = datetime.fromisoformat(moment)
    except ValueError:
        return frozenset()
    # A creation time has whole seconds, and nothing is answered within the first.
    began = began.replace(microsecond=0, tzinfo=began.tzinfo or UTC)
    created = {pod["metadata"]["name"]: pod["metadata"].get("creationTimestamp") for pod in pods}
    return frozenset(name for name, stamp in created.items() if stamp and datetime.fromisoformat(stamp) >= began)


def _least(difference: Counters) -> int:
    numbers = (difference.requests, difference.errors, difference.mirrored, difference.differing)
    return min((*numbers, *(number for _, number in difference.buckets)))


def _merged(histograms: Collection[Buckets]) -> Buckets:
    tables: list[Mapping[float, int]] = [dict(buckets) for buckets in histograms]
    shared = set.intersection(*(set(table) for table in tables)) if tables else set()
    return tuple((bound, sum(table[bound] for table in tables)) for bound in sorted(shared))
