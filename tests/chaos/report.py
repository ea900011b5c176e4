"""What `make chaos` leaves behind: one line per plan while it runs, `build/chaos/report.json`, `docs/chaos-report.md`.

`python -m tests.chaos.report` folds the lines into the two; every figure in the document is copied by it.
"""

import datetime as dt
import itertools
import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO, TypedDict

from tests.chaos.size import SEED, replay

ROOT = Path(__file__).resolve().parents[2]
RECORDS = ROOT / "build" / "chaos" / "plans.jsonl"
REPORT = ROOT / "build" / "chaos" / "report.json"
DOCUMENT = ROOT / "docs" / "chaos-report.md"

PAUSE_SECONDS = 600.0

SUITES = {
    "crash": "The operator is killed before, during and after every write of a scenario, and started again.",
    "watch": "Watches and lists break in every way that is known, while specs and children change.",
    "stale": "Lists are answered with what was true a while ago.",
    "throttle": "The API server asks for patience: 429 with Retry-After, and a single seat for the operator.",
    "outage": "API server and etcd are killed and come back.",
    "scarce": "The operator was away while objects changed, or has hardly any file descriptors.",
    "failover": "Of several replicas the one that works is stopped, woken, killed or ended while it is busy.",
    "generator": "Changes that walk the whole schema, valid and invalid.",
    "drift": "Every managed field of every child is edited by hand.",
    "writers": "Others write to the same objects at the same time.",
    "namespaces": "Namespaces end, objects are deleted and made again.",
    "requests": "Servers end under load: rollouts, scale-downs, deletions, behind a Service that learns of it late.",
}


TESTS = {
    "crash": "test_crash_sweep.py",
    "watch": "test_watch_faults.py",
    "stale": "test_stale_reads.py",
    "throttle": "test_throttling.py",
    "outage": "test_outages.py",
    "scarce": "test_scarcity.py",
    "failover": "test_failover.py",
    "generator": "test_generator.py",
    "drift": "test_drift.py",
    "writers": "test_writers.py",
    "namespaces": "test_namespaces.py",
    "requests": "rollouts/test_lost_requests.py",
}


class Progress:
    """Tells people how far a run is: every so many plans, and every plan that fails with what replays it."""

    EVERY = 20

    def __init__(self) -> None:
        self.terminal: TextIO | None = None
        self._count = 0

    def tell(self, line: "Line") -> None:
        """One more plan has ended."""
        self._count += 1
        if self.terminal is None or (line["passed"] and self._count % self.EVERY):
            return
        failed = f"FAILED {line['suite']} {line['plan']}: {again(line['suite'], line['plan'], line['seed'])}"
        said = f"{self._count} plans, now {line['suite']}" if line["passed"] else failed
        print(f"{dt.datetime.now(dt.UTC):%H:%M:%S} {said}", file=self.terminal, flush=True)


PROGRESS = Progress()


def again(suite: str, plan: str, seed: int = SEED) -> str:
    """The command that runs one plan again."""
    return replay(TESTS[suite], plan, seed)


class Failure(TypedDict):
    """A plan that did not end as it should, and what there is to replay it."""

    plan: str
    seed: int
    what: str


class Suite(TypedDict):
    """How many plans of one kind ran, for how long, and which failed; `mended` are those that passed later on."""

    plans: int
    minutes: float
    passed: int
    failures: list[Failure]
    mended: list[Failure]


class Line(Failure):
    """One plan; `at` is when it ended, in seconds since the epoch."""

    suite: str
    passed: bool
    at: float


def record(suite: str, plan: str, what: str = "") -> None:
    """Note how a plan ended: well, or `what` says what was wrong."""
    line = Line(suite=suite, plan=plan, seed=SEED, passed=not what, what=what, at=time.time())
    PROGRESS.tell(line)
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    with RECORDS.open("a") as lines:
        lines.write(json.dumps(line) + "\n")


def fold(lines: Iterable[Line]) -> dict[str, Suite]:
    """The report: a plan that ran more than once counts once, as it ended last."""
    lines = list(lines)
    last = {(line["suite"], line["plan"]): line for line in lines}
    report: dict[str, Suite] = {}
    for line in last.values():
        suite = report.setdefault(line["suite"], Suite(plans=0, passed=0, failures=[], mended=[], minutes=0.0))
        suite["plans"] += 1
        suite["passed"] += line["passed"]
        if not line["passed"]:
            suite["failures"].append(Failure(plan=line["plan"], seed=line["seed"], what=line["what"]))
    for name, suite in report.items():
        own = [line for line in lines if line["suite"] == name]
        suite["minutes"] = round(sum(_between(own)) / 60, 1)
        failed = {line["plan"]: line for line in own if not line["passed"]}
        better = (line for plan, line in failed.items() if last[name, plan]["passed"])
        suite["mended"] = [Failure(plan=line["plan"], seed=line["seed"], what=line["what"]) for line in better]
    return report


def _between(lines: Sequence[Line]) -> Iterator[float]:
    """Seconds from the end of one plan to that of the next, leaving out the pauses between runs."""
    for one, other in itertools.pairwise(lines):
        if other["at"] - one["at"] < PAUSE_SECONDS:
            yield other["at"] - one["at"]


def document(report: Mapping[str, Suite], when: dt.date, machine: str, command: str) -> str:
    """The report as Markdown."""
    rows = [
        f"| {name} | {SUITES.get(name, '')} | {suite['plans']} | {suite['passed']} | {suite['minutes']:.0f} |"
        for name, suite in sorted(report.items())
    ]
    total = sum(suite["plans"] for suite in report.values()), sum(suite["passed"] for suite in report.values())
    failures = [
        f"- {name} `{failure['plan']}`: {_first_line(failure['what'])}\n"
        f"  `{again(name, failure['plan'], failure['seed'])}`"
        for name, suite in sorted(report.items())
        for failure in suite["failures"]
    ]
    mended = [
        f"- {name} `{failure['plan']}`: {_first_line(failure['what'])}"
        for name, suite in sorted(report.items())
        for failure in suite["mended"]
    ]
    intro = "They were played again with the same seed, after what they had found was mended: see docs/reliability.md."
    return "\n".join(
        [
            "<!-- Generated by `python -m tests.chaos.report`; do not edit. -->",
            "# Chaos report",
            "",
            f"`{command}` on {when.isoformat()}, {machine}. What the suites do is told in `tests/chaos`. Every plan",
            "can be played again by its name and the seed of its run, both of which are in `build/chaos/plans.jsonl`:",
            "`CHAOS_SIZE=full CHAOS_SEED=<seed> CHAOS_PLAN=<plan> python -m pytest tests/chaos`.",
            "",
            "| suite | what happens | plans | passed | minutes |",
            "| --- | --- | ---: | ---: | ---: |",
            *rows,
            f"| **all** | | **{total[0]}** | **{total[1]}** | |",
            "",
            *(["## Plans that failed", "", *failures, ""] if failures else []),
            *(["## Plans that failed at first", "", intro, "", *mended, ""] if mended else []),
        ]
    )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]


def _machine() -> str:
    return f"{len(os.sched_getaffinity(0))} processors, {platform.system()} {platform.machine()}"


def main() -> int:
    """Write both; 1 when a plan failed or none ran."""
    lines = [json.loads(line) for line in RECORDS.read_text().splitlines()] if RECORDS.exists() else []
    report = fold(lines)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    today = dt.datetime.now(dt.UTC).date()
    if report:
        DOCUMENT.write_text(document(report, today, _machine(), "make chaos"))
    for name, suite in sorted(report.items()):
        print(f"{name:12} {suite['passed']:5} of {suite['plans']:5} plans passed")  # noqa: T201  (a command's output)
    return int(not report or any(suite["failures"] for suite in report.values()))


if __name__ == "__main__":
    sys.exit(main())
