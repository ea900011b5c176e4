"""A virtual environment for each contender, out of its hash-pinned lock, kept in the user's cache directory.

What takes gigabytes is not installed again: after the contender's own packages the environment sees those of the
interpreter that runs the bench, so that everybody computes with the same torch and transformers.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SHARED = ("torch", "transformers", "numpy", "PIL")
LAST_LINES = 3
VERSIONS = f"""
import importlib, json
print(json.dumps({{name: importlib.import_module(name).__version__ for name in {SHARED!r}}}))
"""


class Unavailable(Exception):
    """A contender cannot take part; the text says why."""


def cache_directory() -> Path:
    """Where the environments are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "multimodal-operator" / "bench"


def python_of(name: str) -> Path:
    """The interpreter of a contender's environment, which is made if it is not there; Unavailable if it cannot be."""
    lock = ROOT / "requirements" / f"bench-{name}.lock"
    wanted = hashlib.sha256(lock.read_bytes() + sys.version.encode() + sys.prefix.encode()).hexdigest()[:12]
    place = cache_directory() / f"{name}-{wanted}"
    if not (place / "bin" / "python").exists():
        _make(place, lock)
    return place / "bin" / "python"


def shared_versions(python: Path) -> dict[str, str]:
    """The versions that matter as that interpreter imports them; Unavailable if one is missing."""
    found: dict[str, str] = json.loads(_run([str(python), "-c", VERSIONS]))
    return found


def _make(place: Path, lock: Path) -> None:
    print(f"  making {place}", flush=True)
    building = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        uv = _uv()
        _run([uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, str(building)])
        python = building / "bin" / "python"
        _run([uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(lock)])
        packages = Path(_run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
        # A line of a .pth file is appended to the path: the contender's own versions come first.
        (packages / "zz-main-environment.pth").write_text(sysconfig.get_path("purelib") + "\n")
        building.rename(place)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise Unavailable("uv is not installed; make setup installs it")
    return found


def _run(command: list[str]) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=clean)
    if ended.returncode:
        raise Unavailable(" ".join(ended.stderr.strip().splitlines()[-LAST_LINES:]) or f"exit code {ended.returncode}")
    return ended.stdout
