"""How much of the chaos suite runs, and which part of it: read from the environment.

CHAOS_SIZE=slice    a sample that fits into CI (default)
CHAOS_SIZE=full     everything, as `make chaos` runs it
CHAOS_SEED=7        the same random choices as the run that printed this seed
CHAOS_PLAN=chain-3  that one plan only
CHAOS_SECONDS=60    how long the storms last
"""

import os
import secrets
import shlex

import pytest

FULL = os.environ.get("CHAOS_SIZE", "slice") == "full"
# The slice is the same on every machine, lest a change fails for what it did not touch; the full run looks further.
SEED = int(os.environ.get("CHAOS_SEED") or (secrets.randbelow(2**32) if FULL else 20261121))
PLAN = os.environ.get("CHAOS_PLAN", "")


def sized(in_slice: int, in_full: int) -> int:
    """The number that belongs to the size of this run."""
    return in_full if FULL else in_slice


def seconds(in_slice: float, in_full: float) -> float:
    """How long something lasts that has no end of its own."""
    wanted = os.environ.get("CHAOS_SECONDS")
    return float(wanted) if wanted else (in_full if FULL else in_slice)


def chosen(plan: str) -> bool:
    """Whether `plan` is to be run."""
    return PLAN in ("", plan)


def only(plan: str) -> pytest.MarkDecorator:
    """A test that is one plan."""
    return pytest.mark.skipif(not chosen(plan), reason=f"CHAOS_PLAN={PLAN} is another one")


def replay(test: str, plan: str, seed: int = SEED) -> str:
    """The command that runs one plan again."""
    size = "full" if FULL else "slice"
    return f"CHAOS_SIZE={size} CHAOS_SEED={seed} CHAOS_PLAN={shlex.quote(plan)} python -m pytest tests/chaos/{test}"
