"""How much of the traffic a new revision may have by now, and whether its answers are good enough for more."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from mmm_operator.api.conditions import Reason
from mmm_operator.api.rollout import Canary, CanaryStep
from mmm_operator.moments import timestamp
from mmm_operator.revisions import RevisionState
from mmm_operator.rollout.verdict import Verdict
from mmm_operator.traffic import Traffic, together

# Counts are read this often while a step is watched.
LOOK_SECONDS = 5.0
# Fewer answers than these have no percentiles.
FEWEST = 20


@dataclass(frozen=True, slots=True)
class Remembered:
    """Where the canary was: `step` counts from 1, 0 means nowhere; `since` is when that step had all its pods."""

    step: int = 0
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """What new and old pods have answered since the step began."""

    new: Traffic
    old: Traffic


NOTHING = Watched(together(()), together(()))


@dataclass(frozen=True, slots=True)
class Analysis:
    """Where the canary is.

    `limit` is how many pods the new revision may have, None when it has passed every step. `awaits` means that a person
    has to say so. `look` is in how many seconds there may be news.
    """

    at: Remembered
    limit: int | None
    because: str = ""
    failure: Verdict | None = None
    awaits: bool = False
    look: float | None = None


def analyze(
    canary: Canary, wanted: int, goal: RevisionState | None, at: Remembered, watched: Watched, now: datetime
) -> Analysis:
    """The next look at a canary. Pure: `now` is the only clock, and `at` what the status remembers."""
    number = at.step or _reached(canary, wanted, goal)
    if number > len(canary.steps):
        return passed(canary)
    step = canary.steps[number - 1]
    limit = pods_of(step, wanted)
    since = at.since if number == at.step else None
    name = f"canary {step.weight} %"
    failure = next(_failures(canary, step, watched), None) if since else None
    if failure is not None:
        return Analysis(Remembered(number, since), limit, f"{name}: {failure.message}", failure)
    if goal is None or goal.available < limit:
        return Analysis(
            Remembered(number, since),
            limit,
            f"{name}: {goal.available if goal else 0} of {limit} new pods are available",
        )
    began = since or timestamp(now)
    here = Remembered(number, began)
    over = None if step.pause_seconds is None else datetime.fromisoformat(began) + timedelta(seconds=step.pause_seconds)
    if watched.new.requests < step.min_requests:
        seen = f"{watched.new.requests} of {step.min_requests} answers are there"
        return Analysis(here, limit, f"{name}: {seen}", look=LOOK_SECONDS)
    if over is None:
        return Analysis(here, limit, f"{name}: waits to be promoted", awaits=True, look=LOOK_SECONDS)
    if now < over:
        left = (over - now).total_seconds()
        return Analysis(
            here, limit, f"{name}: watched until {over:%H:%M:%S} UTC", look=min(LOOK_SECONDS, max(left, 1.0))
        )
    return analyze(canary, wanted, goal, Remembered(number + 1), NOTHING, now)


def passed(canary: Canary) -> Analysis:
    """Past the last step: all of the traffic is the new revision's to have."""
    return Analysis(Remembered(len(canary.steps) + 1), None)


def pods_of(step: CanaryStep, wanted: int) -> int:
    """How many of `wanted` pods are new in a step: the weight to the nearest pod, and at least one."""
    return min(wanted, max(1, (step.weight * wanted + 50) // 100))


def _reached(canary: Canary, wanted: int, goal: RevisionState | None) -> int:
    """The step in which a canary of this size must be, when nobody remembers it."""
    size = goal.wanted if goal else 0
    fitting = (number for number, step in enumerate(canary.steps, 1) if pods_of(step, wanted) >= size)
    return next(fitting, len(canary.steps) + 1)


def _failures(canary: Canary, step: CanaryStep, watched: Watched) -> Iterator[Verdict]:
    """Each gate that the canary does not pass. What is no worse in the old pods is not held against the new ones."""
    new, old = watched.new, watched.old
    enough = new.requests >= max(1, step.min_requests)
    percent = 100 * new.errors / max(1, new.requests)
    before = 100 * old.errors / max(1, old.requests)
    if enough and step.max_error_percent is not None and percent > max(step.max_error_percent, before):
        text = f"{percent:.1f} % of {new.requests} requests failed, {step.max_error_percent} % are allowed"
        yield Verdict(Reason.ERROR_RATE_TOO_HIGH, f"{text}; of the old pods' {before:.1f} %")
    slow = (
        new.p95_ms if step.max_p95_milliseconds is not None and new.requests >= max(FEWEST, step.min_requests) else None
    )
    if slow is not None and slow > max(step.max_p95_milliseconds or 0, old.p95_ms or 0):
        text = f"95 % of {new.requests} answers took up to {slow:.0f} ms, {step.max_p95_milliseconds} ms are allowed"
        yield Verdict(Reason.LATENCY_TOO_HIGH, f"{text}; the old pods' {old.p95_ms or 0:.0f} ms")
    # The old pods send the copies and compare.
    same = 100 * (old.mirrored - old.differing) / max(1, old.mirrored)
    least = canary.min_agreement_percent
    if least is not None and old.mirrored >= max(1, step.min_requests) and same < least:
        text = f"{same:.1f} % of {old.mirrored} mirrored answers agreed, {least} % are asked for"
        yield Verdict(Reason.ANSWERS_DIFFER, text)
