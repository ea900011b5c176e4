"""`make bench-repository`: measure, print, and write `build/bench/repository.json`.

In the environment: MB, megabytes of the model (1000); FILES, numbers of files (1,100,10000); ROUNDS (3); PREFIXES, how
many are followed (1000; 0 for none); DIRECTORY, where the server and the caches lie (build/bench/repository; four times
MB is needed, and removed at the end).
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from dev.bench.report import RESULTS, write_report
from dev.bench.repository.figures import figures
from dev.bench.repository.polling import measure_polling
from dev.bench.repository.run import measure_all


def main() -> int:
    """0 once everything was measured."""
    megabytes, rounds = int(os.environ.get("MB", "1000")), int(os.environ.get("ROUNDS", "3"))
    numbers = [int(number) for number in os.environ.get("FILES", "1,100,10000").replace(",", " ").split()]
    prefixes = int(os.environ.get("PREFIXES", "1000"))
    directory = Path(os.environ.get("DIRECTORY") or RESULTS / "repository")
    # Whoever ends the bench must not leave its server and its gigabytes behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    directory.mkdir(parents=True)
    try:
        polling = measure_polling(directory / "polling", prefixes) if prefixes else {}
        found = measure_all(directory, megabytes=megabytes, numbers=numbers, rounds=rounds)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    command = f"make bench-repository MB={megabytes} FILES={','.join(map(str, numbers))} ROUNDS={rounds}"
    every = polling | {name: figure for outcome in found for name, figure in figures(outcome).items()}
    print(f"  written to {write_report('repository', every, command)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
