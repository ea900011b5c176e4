"""`make demo-down` and `make clean` work whatever is there."""

import os
import subprocess
import sys
from pathlib import Path


def test_what_was_never_made_can_be_removed(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "dev.demo", "down"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
