"""The directories and files of a model root, with the errors of a file system put into our words.

```
<root>/.lock-<hex>                   held while a version is fetched or removed; empty
<root>/.partial-<hex>/               what has arrived so far; may be cut off anywhere
<root>/.partial-<hex>/.progress.json how far that is
<root>/.removed-<random>/            a directory that is being removed
<root>/<hex>/                        a version, whole: it gets this name by one rename, after all of it is on disk
<root>/<hex>/.complete               written last; a version without it is hashed again before it is believed. Its time
                                     of change says when the version was last asked for
```
"""

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmm_repository.errors import NoSpace, VolumeUnusable

COMPLETE_NAME = ".complete"
# Linux only, and Python has no name for it. posix_fadvise(DONTNEED) does it too, but empties queues of all processors.
SYNC_FILE_RANGE = getattr(ctypes.CDLL(None), "sync_file_range", None)
SYNC_FILE_RANGE_WRITE = 2
REMOVED_PREFIX = ".removed-"
DIRECTORY_MODE = 0o755
FILE_MODE = 0o644
# Left free on the volume, for the file system's own needs and for neighbours.
SPARE_BYTES = 64 * 2**20
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def volume_errors(root: Path) -> Iterator[None]:
    """Turn errors of the operating system into NoSpace or VolumeUnusable."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise NoSpace(
                f"The volume at {root} is full. Give it more space, or remove versions that are not needed."
            ) from None
        raise VolumeUnusable(
            f"The volume at {root} cannot be used: {error.strerror or 'input/output error'}."
        ) from None


def make_directories(root: Path, path: Path) -> None:
    """Make the directory and its parents below `root`; a link in the way is never followed."""
    current = root
    for component in path.relative_to(root).parts:
        current /= component
        try:
            current.mkdir(mode=DIRECTORY_MODE)
        except FileExistsError:
            if current.is_symlink() or not current.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(current)) from None


def open_for_writing(location: Path) -> int:
    """A descriptor of the file, made if needed; a link in its place is an error."""
    return os.open(location, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)


def write_all(descriptor: int, content: memoryview | bytes) -> None:
    """Write everything at the descriptor's position."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def start_writing_back(descriptor: int, start: int, length: int) -> None:
    """Have the kernel begin to put these bytes on disk, so that the sync at the end of a large file is short.

    They stay in memory, where the server will read them. Where that cannot be asked for, the sync just takes longer.
    """
    if SYNC_FILE_RANGE is not None:
        SYNC_FILE_RANGE(descriptor, ctypes.c_int64(start), ctypes.c_int64(length), ctypes.c_uint(SYNC_FILE_RANGE_WRITE))


def write_durably(location: Path, content: bytes) -> None:
    """Write a small file so that it is there whole or not at all, even after a power failure."""
    draft = location.with_name(f"{location.name}.new")
    descriptor = open_for_writing(draft)
    try:
        os.ftruncate(descriptor, 0)
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(location)
    sync_directory(location.parent)


def sync_directory(directory: Path) -> None:
    """Put the directory's entries on disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """Put the entries of the directory and of all below it on disk."""
    for parent, _, _ in os.walk(directory):
        sync_directory(Path(parent))


def free_bytes(root: Path) -> int:
    """How much may still be written."""
    return max(0, shutil.disk_usage(root).free - SPARE_BYTES)


def free_files(root: Path) -> int | None:
    """How many more files the volume can hold; None where it sets no limit."""
    status = os.statvfs(root)
    return status.f_favail if status.f_files else None


def remove(directory: Path) -> None:
    """Remove a directory that nobody uses; it disappears under its name in one moment."""
    doomed = directory.with_name(f"{REMOVED_PREFIX}{secrets.token_hex(8)}")
    try:
        directory.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)


def sweep(root: Path) -> None:
    """Remove what is left of removals that were interrupted."""
    for doomed in root.glob(f"{REMOVED_PREFIX}*"):
        shutil.rmtree(doomed, ignore_errors=True)


def try_lock(location: Path) -> int | None:
    """A descriptor that holds the lock until it is closed; None while somebody else holds it."""
    descriptor = open_for_writing(location)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_still(location, descriptor):
            return descriptor
    except BlockingIOError:
        pass
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def is_still(location: Path, descriptor: int) -> bool:
    """Whether the file has not been removed since it was opened: a lock on a removed file excludes nobody."""
    try:
        return os.path.samestat(location.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def lock_if_free(location: Path) -> Iterator[bool]:
    """Hold the lock, where nobody else does; the value says so."""
    descriptor = try_lock(location)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)
