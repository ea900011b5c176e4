"""A lock file that one program at a time can hold, and that nobody needs to clean up after a kill."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path, waiting_for: str) -> Iterator[int]:
    """The descriptor of `path`, locked against every other program until the block ends.

    A child that inherits the descriptor keeps the lock for as long as it lives: so a compiler that outlives its
    killed caller is waited for, too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _locked(path, waiting_for)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(path: Path, waiting_for: str) -> int:
    told = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                print(f"waiting for {waiting_for} (lock {path})", file=sys.stderr, flush=True)
                told = True
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)  # whoever held it removed the file: this lock would exclude nobody


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
