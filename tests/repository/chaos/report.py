"""What `make chaos-storage` leaves behind: one line per plan, folded into `build/chaos/storage.json`."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).resolve().parents[3] / "build" / "chaos"
RECORDS, REPORT = DIRECTORY / "storage.jsonl", DIRECTORY / "storage.json"


def record(suite: str, plan: str, what: str, seed: int | None = None) -> None:
    """Note how a plan ended; `what` says what was wrong, nothing where all was right."""
    line = {"suite": suite, "plan": plan, "seed": seed, "what": what, "passed": not what}
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    with RECORDS.open("a") as lines:
        lines.write(json.dumps(line) + "\n")


def fold(lines: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The report: a plan that ran more than once counts once, as it ended last."""
    report: dict[str, dict[str, Any]] = {}
    for line in {(line["suite"], line["plan"]): line for line in lines}.values():
        suite = report.setdefault(line["suite"], {"plans": 0, "passed": 0, "failures": []})
        suite["plans"] += 1
        suite["passed"] += line["passed"]
        if not line["passed"]:
            suite["failures"].append({key: line[key] for key in ("plan", "seed", "what")})
    return report


def main() -> int:
    """Fold and print; 1 when a plan failed or none ran."""
    report = fold(json.loads(line) for line in RECORDS.read_text().splitlines()) if RECORDS.exists() else {}
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    for name, suite in sorted(report.items()):
        print(f"{name:20} {suite['passed']:5} of {suite['plans']:5} plans passed")  # noqa: T201  (a command's output)
    return int(not report or any(suite["failures"] for suite in report.values()))


if __name__ == "__main__":
    sys.exit(main())
