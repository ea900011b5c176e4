"""`make bench-operator`: measure, print, and write `build/bench/operator.json`; `report` copies that into docs/."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from dev.bench.operator.document import write_documents
from dev.bench.operator.figures import aligned, figures, growth, requests
from dev.bench.operator.measured import Measured
from dev.bench.operator.run import measure_all
from dev.bench.report import write_report


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 when a phase did not come to its end within any reasonable time."""
    parser = argparse.ArgumentParser(prog="python -m dev.bench.operator", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("measure", "report"), default="measure", help="default: measure")
    parser.add_argument("files", nargs="*", type=Path, help="report: results of several runs (default: the last one)")
    parser.epilog = (
        "In the environment: N, numbers of objects (100; 100,1000,5000 for the growth curve); IDLE, seconds (60); "
        "KWOK, 1 to measure with simulated nodes too (0)."
    )
    wanted = parser.parse_args(arguments)
    if wanted.command == "report":
        print("written to", *write_documents(wanted.files))
        return 0
    # Whoever ends the bench must not leave its clusters behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    return _measure()


def _measure() -> int:
    sizes = [int(size) for size in os.environ.get("N", "100").replace(",", " ").split()]
    idle_seconds, nodes = float(os.environ.get("IDLE", "60")), os.environ.get("KWOK", "0") == "1"
    command = f"make bench-operator N={','.join(map(str, sizes))} IDLE={idle_seconds:g} KWOK={nodes:d}"
    outcomes: list[Measured] = []

    def keep(found: Measured) -> None:
        # After each size, so that a later one which fails costs nothing of what is known.
        outcomes.append(found)
        print(f"\n  requests of the operator, N={found.objects}\n{aligned(requests(found))}\n")
        print(f"  written to {_write(command, outcomes)}\n", flush=True)

    measure_all(sizes, idle_seconds=idle_seconds, nodes=nodes, done=keep)
    print(aligned(growth(outcomes)))
    return 1 if any(found.unfinished for found in outcomes) else 0


def _write(command: str, outcomes: Sequence[Measured]) -> Path:
    every = {name: figure for found in outcomes for name, figure in figures(found).items()}
    counted = {str(found.objects): requests(found) for found in outcomes}
    return write_report("operator", every, command, {"growth": growth(outcomes), "requests": counted})


if __name__ == "__main__":
    sys.exit(main())
