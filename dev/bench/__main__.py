"""`make bench`: measure, print, and write `build/bench/<name>.json`."""

import argparse
import os
from collections.abc import Callable

from dev.bench import operator
from dev.bench.report import Figure, write_report
from dev.bench.server import __main__ as server

BENCHES: dict[str, Callable[[float], dict[str, Figure]]] = {"server": server.measure, "operator": operator.measure}


def main() -> None:
    """Run the named benches, all by default; SECONDS_PER_PART in the environment says how long a part takes."""
    parser = argparse.ArgumentParser(prog="python -m dev.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=" or ".join(BENCHES))
    seconds = float(os.environ.get("SECONDS_PER_PART", "5"))
    names = parser.parse_args().names or list(BENCHES)
    if unknown := set(names) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}")
    for name in names:
        print(f"\n{name}: measuring …", flush=True)
        print(f"  written to {write_report(name, BENCHES[name](seconds))}")


if __name__ == "__main__":
    main()
