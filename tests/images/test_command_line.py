"""What somebody sees who has nothing to build with."""

import os
import subprocess
import sys
from pathlib import Path

from .dockerfile import ROOT


def test_without_a_builder_it_says_what_to_install_and_fails(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "dev.images", "build", "operator"]
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert "buildah is not installed" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_an_unknown_image_is_a_usage_error() -> None:
    command = [sys.executable, "-m", "dev.images", "build", "nonsense"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert "nonsense" in finished.stderr
