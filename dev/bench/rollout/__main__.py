"""`make bench-rollout`: play, print, and write `build/bench/rollout.json`; `report` copies that into docs/."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from dev.bench.report import RESULTS, write_report
from dev.bench.rollout.document import write_documents
from dev.bench.rollout.plans import PLANS
from dev.bench.rollout.run import measure_all
from dev.bench.rollout.timeline import Timeline, figures, from_json, to_json


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when every plan came to its end."""
    parser = argparse.ArgumentParser(prog="python -m dev.bench.rollout", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("measure", "report"), default="measure", help="default: measure")
    parser.epilog = f"In the environment: POLICIES, of {', '.join(PLANS)} (all); the others keep their last timeline."
    if parser.parse_args(arguments).command == "report":
        print("written to", *write_documents())
        return 0
    # Whoever ends the bench must not leave its cluster behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    names = (os.environ.get("POLICIES") or ",".join(PLANS)).split(",")
    if unknown := set(names) - set(PLANS):
        parser.error(f"there is no policy {', '.join(sorted(unknown))}")
    for timeline in measure_all([PLANS[name] for name in names], print):
        # After each, so that a later one which fails costs nothing of what is known.
        print(f"  written to {keep(timeline)}", flush=True)
    return 0


def keep(timeline: Timeline) -> Path:
    """The report, with this timeline in the place of an older one of its policy."""
    path = RESULTS / "rollout.json"
    before = json.loads(path.read_text())["timelines"] if path.exists() else []
    known = {found["policy"]: from_json(found) for found in before} | {timeline.policy: timeline}
    timelines = [known[name] for name in PLANS if name in known]
    every = {name: figure for item in timelines for name, figure in figures(item).items()}
    return write_report("rollout", every, "make bench-rollout", {"timelines": [to_json(item) for item in timelines]})


if __name__ == "__main__":
    sys.exit(main())
