"""Programs that the builds run."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence


class BuildError(Exception):
    """A sentence for whoever asked for an image."""


def require(program: str, remedy: str) -> None:
    if shutil.which(program) is None:
        raise BuildError(f"{program} is not installed: {remedy}")


def run(command: Sequence[str]) -> str:
    """What the command printed; BuildError with the end of everything that it said if it failed."""
    with tempfile.TemporaryFile("w+") as complaints:
        finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=complaints, text=True, check=False)
        if finished.returncode != 0:
            complaints.seek(0)
            said = (finished.stdout[-3000:] + complaints.read()[-3000:]).strip()
            raise BuildError(f"`{' '.join(command[:3])} …` ended with {finished.returncode}:\n{said}")
    return finished.stdout


def succeeds(command: Sequence[str], timeout: float | None = None) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=timeout, check=False).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
