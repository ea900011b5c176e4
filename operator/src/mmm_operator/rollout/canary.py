"""How much of the traffic a new revision may have by now, and whether its answers are good enough for more."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain

from mmm_operator.api.conditions import Reason
from mmm_operator.api.rollout import Canary, CanaryStep
from mmm_operator.moments import timestamp
from mmm_operator.revisions import RevisionState
from mmm_operator.rollout.verdict import Verdict
from mmm_operator.traffic import Traffic, together

# Counts are read this often while a step is watched.
LOOK_SECONDS = 5.0
# Fewer answers than these have no percentiles, and shares of them prove nothing unless `minRequests` says so.
FEWEST = 20


@dataclass(frozen=True, slots=True)
class Remembered:
    """Where the canary was: `step` counts from 1, 0 means nowhere; `since` is when that step had all its pods.

    `steps` is the fingerprint of the steps as they were then: a number alone says nothing once they are edited.
    `passed` means that all of them had been passed.
    """

    step: int = 0
    since: str | None = None
    steps: str = ""
    passed: bool = False


@dataclass(frozen=True, slots=True)
class Watched:
    """What new and old pods have answered since the step began; `unread` is a new pod of which nobody knows that."""

    new: Traffic
    old: Traffic
    unread: str = ""


NOTHING = Watched(together(()), together(()))


@dataclass(frozen=True, slots=True)
class Doubt:
    """A bound that the new pods break, by `seen` answers of which `enough` are proof."""

    verdict: Verdict
    seen: int
    enough: int

    @property
    def proven(self) -> bool:
        """Whether there are enough answers to go by."""
        return self.seen >= self.enough


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
    at = _place(canary, wanted, goal, at)
    if at.passed:
        return passed(canary)
    step = canary.steps[at.step - 1]
    limit, name = pods_of(step, wanted), f"canary {step.weight} %"
    # What was counted before a step began says nothing about it.
    seen = watched if at.since else None
    doubts = tuple(_doubts(canary, step, seen)) if seen else ()
    failure = next((doubt.verdict for doubt in doubts if doubt.proven), None)
    if failure is not None:
        return Analysis(at, limit, f"{name}: {failure.message}", failure)
    if goal is None or goal.available < limit:
        return Analysis(at, limit, f"{name}: {goal.available if goal else 0} of {limit} new pods are available")
    here = replace(at, since=at.since or timestamp(now))
    lacking = next(chain(_lacking(canary, step, seen), map(_unproven, doubts)), "")
    if lacking:
        return Analysis(here, limit, f"{name}: {lacking}", look=LOOK_SECONDS)
    return _timed(step, here, limit, now) or analyze(canary, wanted, goal, _after(canary, here), NOTHING, now)


def passed(canary: Canary) -> Analysis:
    """Past the last step: all of the traffic is the new revision's to have."""
    return Analysis(Remembered(len(canary.steps) + 1, None, fingerprint(canary), passed=True), None)


def pods_of(step: CanaryStep, wanted: int) -> int:
    """How many of `wanted` pods are new in a step: the weight to the nearest pod, at least one, and of several not all.

    All of them would be no step: in place of the old ones they serve, whoever was to promote them.
    """
    return min(wanted, max(1, min(wanted - 1, (step.weight * wanted + 50) // 100)))


def fingerprint(canary: Canary) -> str:
    """What tells the steps from others; the defaults of fields that they do not use change nothing."""
    steps = [step.model_dump(mode="json", exclude_defaults=True) for step in canary.steps]
    return hashlib.sha256(json.dumps(steps, sort_keys=True).encode()).hexdigest()[:8]


def _place(canary: Canary, wanted: int, goal: RevisionState | None, at: Remembered) -> Remembered:
    """Where the canary is. A step that is another one now begins anew; only who had passed all of them has passed."""
    steps = fingerprint(canary)
    if at.passed or (at.step and at.steps == steps):
        return at
    number = min(at.step or _reached(canary, wanted, goal), len(canary.steps))
    return Remembered(number, None, steps)


def _after(canary: Canary, at: Remembered) -> Remembered:
    return Remembered(at.step + 1, None, at.steps, passed=at.step >= len(canary.steps))


def _reached(canary: Canary, wanted: int, goal: RevisionState | None) -> int:
    """The step in which a canary of this size must be, when nobody remembers it."""
    size = goal.wanted if goal else 0
    fitting = (number for number, step in enumerate(canary.steps, 1) if pods_of(step, wanted) >= size)
    return next(fitting, len(canary.steps) + 1)


def _timed(step: CanaryStep, here: Remembered, limit: int, now: datetime) -> Analysis | None:
    """The step of which all is known, as long as its time is not over."""
    name = f"canary {step.weight} %"
    if step.pause_seconds is None:
        return Analysis(here, limit, f"{name}: waits to be promoted", awaits=True, look=LOOK_SECONDS)
    over = datetime.fromisoformat(here.since or timestamp(now)) + timedelta(seconds=step.pause_seconds)
    if now >= over:
        return None
    left = (over - now).total_seconds()
    return Analysis(here, limit, f"{name}: watched until {over:%H:%M:%S} UTC", look=min(LOOK_SECONDS, max(left, 1.0)))


def _lacking(canary: Canary, step: CanaryStep, seen: Watched | None) -> Iterator[str]:
    """What has to be known before the step may end: a gate that saw nothing was not passed."""
    new, old = (seen or NOTHING).new, (seen or NOTHING).old
    gated = step.max_error_percent is not None or step.max_p95_milliseconds is not None
    if gated and seen and seen.unread:
        yield f"{seen.unread} answers, and its metrics cannot be read"
    if new.requests < step.min_requests:
        yield f"{_about(new.requests, step.min_requests)} answers are there"
    if gated and seen is None:
        yield "its answers are counted from now on"
    least = max(1, step.min_requests)
    if canary.min_agreement_percent is not None and old.mirrored < least:
        yield f"{_about(old.mirrored, least)} mirrored answers were compared"


def _about(number: int, of: int) -> str:
    """How many are there, to a hundredth of all: each other sentence is a write of the status."""
    return f"{number - number % max(1, of // 100)} of {of}"


def _unproven(doubt: Doubt) -> str:
    # It is no proof, but nobody promotes what fails: more answers will tell.
    return f"{doubt.verdict.message}; {doubt.enough} answers are needed to go by that"


def _doubts(canary: Canary, step: CanaryStep, watched: Watched) -> Iterator[Doubt]:
    """Each bound that is broken. What is no worse in the old pods is not held against the new ones."""
    new, old = watched.new, watched.old
    enough = step.min_requests or FEWEST
    percent = 100 * new.errors / max(1, new.requests)
    before = 100 * old.errors / max(1, old.requests)
    if step.max_error_percent is not None and percent > max(step.max_error_percent, before):
        text = f"{percent:.1f} % of {new.requests} requests failed, {step.max_error_percent} % are allowed"
        found = Verdict(Reason.ERROR_RATE_TOO_HIGH, f"{text}; of the old pods' {before:.1f} %")
        yield Doubt(found, new.requests, enough)
    slow = new.p95_ms if step.max_p95_milliseconds is not None else None
    if slow is not None and slow > max(step.max_p95_milliseconds or 0, old.p95_ms or 0):
        text = f"95 % of {new.requests} answers took up to {slow:.0f} ms, {step.max_p95_milliseconds} ms are allowed"
        found = Verdict(Reason.LATENCY_TOO_HIGH, f"{text}; the old pods' {old.p95_ms or 0:.0f} ms")
        yield Doubt(found, new.requests, max(FEWEST, step.min_requests))
    # The old pods send the copies and compare.
    same = 100 * (old.mirrored - old.differing) / max(1, old.mirrored)
    least = canary.min_agreement_percent
    if least is not None and old.mirrored and same < least:
        text = f"{same:.1f} % of {old.mirrored} mirrored answers agreed, {least} % are asked for"
        yield Doubt(Verdict(Reason.ANSWERS_DIFFER, text), old.mirrored, enough)
