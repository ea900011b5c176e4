"""Run as `python -m dev.generate [--check]`."""

import argparse
import sys

from dev.generate import stale, write


def main(arguments: list[str] | None = None) -> int:
    """0, or 1 when `--check` finds a file that is not what the code says."""
    parser = argparse.ArgumentParser(prog="python -m dev.generate", description="Make the generated files anew.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file would change")
    if not parser.parse_args(arguments).check:
        print(*(f"wrote {name}" for name in write()), sep="\n")
        return 0
    outdated = stale()
    for name in outdated:
        print(f"{name} is not what the code says; run: make generate", file=sys.stderr)
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
