"""`make bench-server`: measure, print, and write `build/bench/server.json`; `report` copies that into docs/."""

import argparse
import os
import signal
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from dev.bench.report import Figure, write_report
from dev.bench.server.contenders import CONTENDERS
from dev.bench.server.document import write_document
from dev.bench.server.figures import aligned, figures, tables
from dev.bench.server.measured import Measured
from dev.bench.server.run import Plan, measure_all
from dev.bench.server.stages import HEADING
from dev.bench.server.workloads import GROUPS


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 when a contender that was asked for could not take part."""
    parser = argparse.ArgumentParser(prog="python -m dev.bench.server", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("measure", "report"), default="measure", help="default: measure")
    parser.epilog = (
        f"In the environment: SECONDS of each turn (5); ROUNDS (3); CONTENDERS, of {', '.join(CONTENDERS)} (all); "
        f"WORKLOADS, of {', '.join(GROUPS)} (all); STAGES=0 leaves out where our own time goes."
    )
    if parser.parse_args(arguments).command == "report":
        print("written to", write_document())
        return 0
    # Whoever ends the bench must not leave its servers behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    plan = Plan(
        seconds=float(os.environ.get("SECONDS") or "5"),
        rounds=int(os.environ.get("ROUNDS") or "3"),
        contenders=chosen("CONTENDERS", CONTENDERS),
        groups=[GROUPS[name] for name in chosen("WORKLOADS", GROUPS)],
        stages=os.environ.get("STAGES", "1") != "0",
    )
    found = Measured()
    measure_all(plan, found, lambda: _report(plan, found))
    return 1 if found.absent else 0


def chosen(variable: str, known: Collection[str]) -> list[str]:
    """The names in that variable, all if it is unset; SystemExit if one is unknown."""
    names = (os.environ.get(variable) or ",".join(known)).replace(",", " ").split()
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"{variable}: there is no {', '.join(unknown)}; known are {', '.join(known)}.")
    return list(dict.fromkeys(names))


def measure(seconds: float) -> dict[str, Figure]:
    """The part that `make bench` runs: we and the naive server, the tiny model, one round."""
    found = Measured()
    measure_all(Plan(seconds, 1, ["ours", "naive"], [GROUPS["tiny"]], stages=False), found, lambda: None)
    return figures(found)


def _report(plan: Plan, found: Measured) -> Path:
    every, drawn = figures(found), tables(found)
    stages = [HEADING, *found.stages]
    for title, rows in {**drawn, "where our time goes": stages}.items():
        print(f"\n  {title}\n{aligned(rows)}")
    print()
    command = (
        f"make bench-server SECONDS={plan.seconds:g} ROUNDS={plan.rounds} CONTENDERS={','.join(plan.contenders)} "
        f"WORKLOADS={','.join(group.name for group in plan.groups)}"
    )
    more = {"tables": drawn, "stages": stages, "absent": found.absent, "versions": found.versions}
    path = write_report("server", every, command, more)
    print(f"  written to {path}")
    return path


if __name__ == "__main__":
    sys.exit(main())
