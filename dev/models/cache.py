"""Trained once, then kept: model versions and held-out pictures under the user's cache directory."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from dev.models.heldout import Sample, read_held_out, write_held_out

Progress = Callable[[str], None]
SOURCES = ("architecture.py", "captions.py", "card.py", "heldout.py", "shapes.py", "train.py")
LIBRARIES = ("numpy", "tokenizers", "torch", "transformers")


def fingerprint() -> str:
    """Give the hash of what decides the result of training: its code and the libraries it runs on."""
    sums = hashlib.sha256()
    for name in SOURCES:
        sums.update((Path(__file__).parent / name).read_bytes())
    for library in LIBRARIES:
        sums.update(f"{library}=={version(library)}\n".encode())
    return sums.hexdigest()[:16]


def cache_root() -> Path:
    """Give the directory that holds everything made by this version of the code."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "multimodal-operator" / "models" / fingerprint()


def ensure_models(progress: Progress = print) -> Path:
    """Give the directory of `clip/1` and `clip/2`, trained at the first call (about a minute) and kept.

    Training runs in a process of its own, so that the caller keeps its memory and torch its threads.
    """
    return _once(cache_root() / "trained", lambda target: _train_apart(target, progress))


def ensure_heldout(n: int) -> list[Sample]:
    """Give n labelled JPEGs that training never saw."""

    def write(target: Path) -> None:
        write_held_out(target, n)

    return read_held_out(_once(cache_root() / f"heldout-{n}", write))


def _once(target: Path, make: Callable[[Path], None]) -> Path:
    """Give `target`, made at most once: callers in parallel wait, a kill half-way leaves no target."""
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_name(f".{target.name}.lock")):
        if not target.is_dir():
            unfinished = target.with_name(f".{target.name}.partial")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(target)
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _train_apart(target: Path, progress: Progress) -> None:
    command = [sys.executable, "-m", "dev.models", "train", "--out", str(target)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        for line in training.stdout:
            progress(line.rstrip())
    if training.returncode:
        raise RuntimeError(f"training ended with status {training.returncode}")
