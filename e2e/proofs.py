"""What the tests of rollouts have seen, for the table of docs/rollouts.md: `build/e2e/proofs.json`."""

import json
from pathlib import Path

from dev.demo.traffic import Score

PROOFS = Path(__file__).resolve().parents[1] / "build" / "e2e" / "proofs.json"


def note(what: str, score: Score | None, seen: str = "") -> None:
    """Keep what was seen while something was proven, and how many requests were answered and failed, if any."""
    known = json.loads(PROOFS.read_text()) if PROOFS.exists() else {}
    known[what] = {"answered": score.total if score else 0, "failed": score.failed if score else 0, "seen": seen}
    PROOFS.parent.mkdir(parents=True, exist_ok=True)
    PROOFS.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
