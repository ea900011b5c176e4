"""How much of the end-to-end tests runs: all of it with E2E_SIZE=full, as `make e2e-full` does."""

import os

import pytest

FULL = os.environ.get("E2E_SIZE", "slice") == "full"


def long(why: str) -> pytest.MarkDecorator:
    """A test that is left out unless everything was asked for."""
    return pytest.mark.skipif(not FULL, reason=f"only with E2E_SIZE=full: {why}")
