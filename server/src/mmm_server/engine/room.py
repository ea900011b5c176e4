"""Whether another version fits beside the one that is served: an estimate before anything is loaded.

Loading reads the weights as float32 on the host, whatever they are stored in, and moves them to the device in the
format that is served. What is wrong on the safe side costs a swap; on the other side it costs the process.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from mmm_repository import RepositoryError, weights_of
from mmm_server.errors import NoRoomForSwap

MARGIN = 1.2  # what is computed while loading, and what allocators round up
LEAST_BYTES = 64 * 2**20
KEPT = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 2}
FULL = 4  # bytes of a number in float32
CGROUP_ROOT = Path("/sys/fs/cgroup")
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Free:
    """What is free, in bytes; None where nothing bounds it or nothing says so."""

    host: int | None = None
    device: int | None = None


def check_room(parameters: int, dtype: str, free: Free) -> None:
    """NoRoomForSwap unless a model of so many numbers fits into what is free, served in that format."""
    for where, bytes_each, there in (
        ("memory of the container", FULL, free.host),
        ("memory of the accelerator", KEPT.get(dtype, FULL), free.device),
    ):
        needed = int(MARGIN * bytes_each * parameters) + LEAST_BYTES
        if there is not None and needed > there:
            raise NoRoomForSwap(
                f"The {where} does not hold a second version: it needs about {-(-needed // MIB)} MiB, "
                f"{max(0, there) // MIB} MiB are free."
            )


def parameters_in(directory: Path) -> int:
    """How many numbers the weights of a version hold; none where they cannot be read, which loading will say better."""
    try:
        return weights_of(directory).parameters
    except (RepositoryError, OSError):
        return 0


def free_host_bytes(limit: int | None, root: Path = CGROUP_ROOT, proc: Path = Path("/proc")) -> int | None:
    """What this process may still allocate: to the given limit, or to that of its cgroup and of the machine."""
    if limit is not None:
        return limit - _resident(proc)
    known = (_cgroup_v2(root), _cgroup_v1(root / "memory"), _available(proc))
    return min((free for free in known if free is not None), default=None)


def _cgroup_v2(group: Path) -> int | None:
    limit, used = _number(group / "memory.max"), _number(group / "memory.current")
    if limit is None or used is None:
        return None
    return limit - used + _stat(group / "memory.stat", "inactive_file")


def _cgroup_v1(group: Path) -> int | None:
    limit, used = _number(group / "memory.limit_in_bytes"), _number(group / "memory.usage_in_bytes")
    if limit is None or used is None:
        return None
    return limit - used + _stat(group / "memory.stat", "total_inactive_file")


def _available(proc: Path) -> int | None:
    kilobytes = _stat(proc / "meminfo", "MemAvailable:")
    return kilobytes * 1024 or None


def _resident(proc: Path) -> int:
    words = _read(proc / "self" / "statm").split()
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") if len(words) > 1 else 0


def _stat(path: Path, name: str) -> int:
    """The number behind a name; 0 without it."""
    for line in _read(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name and words[1].isdigit():
            return int(words[1])
    return 0


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
