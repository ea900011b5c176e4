"""How many processors this process may really use, and the thread settings that must stand before torch is imported."""

import math
import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")


def usable_cpus(root: Path = CGROUP_ROOT, own: Path = Path("/proc/self/cgroup")) -> int:
    """Whole processors by affinity and by the cgroup's quota (version 1 and 2), never less than one."""
    quotas = [quota for quota in _quotas(root, own) if quota is not None]
    affinity = len(os.sched_getaffinity(0))
    return max(1, min([affinity, *(math.floor(quota) for quota in quotas)]))


def set_thread_environment() -> int:
    """Sets the OpenMP variables that are still unset and returns the number of compute threads.

    Spinning threads starve the decode threads of the same pod: with one busy neighbour the default wait policy was
    measured 35 times slower. libgomp reads these variables once, when torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_cpus()))
    try:
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    except ValueError:
        return usable_cpus()


def _quotas(root: Path, own: Path) -> list[float | None]:
    """The quotas of the own group and of the root, which is the own group where the namespace hides the path."""
    groups = [line.split(":", 2) for line in _read(own).splitlines() if line.count(":") >= 2]
    found = [_quota_v2(root), _quota_v1(root / "cpu"), _quota_v1(root / "cpu,cpuacct")]
    for _, controllers, path in groups:
        relative = path.lstrip("/")
        if not controllers:
            found.append(_quota_v2(root / relative))
        elif "cpu" in controllers.split(","):
            found.append(_quota_v1(root / controllers / relative))
    return found


def _quota_v2(group: Path) -> float | None:
    words = _read(group / "cpu.max").split()
    if len(words) != 2 or words[0] == "max":
        return None
    return int(words[0]) / int(words[1])


def _quota_v1(group: Path) -> float | None:
    quota, period = _read(group / "cpu.cfs_quota_us").strip(), _read(group / "cpu.cfs_period_us").strip()
    if not quota or not period or int(quota) <= 0 or int(period) <= 0:
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
