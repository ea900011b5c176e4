"""What a process uses: CPU seconds, memory, and until when it was busy."""

import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

TICKS = os.sysconf("SC_CLK_TCK")
# What is less than this part of a core is noise: heartbeat, timers, metrics.
BUSY_PERCENT = 3.0


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads so far; a process that is gone has used none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mebibytes(pid: int, line: str = "VmRSS") -> float:
    """Resident memory as the kernel counts it; `VmHWM` is the most that it ever was."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(entry.split()[1]) for entry in status if entry.startswith(line)) / 1024


class Busy:
    """Watches a process second by second, as a context manager."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.last_busy = self.began = time.monotonic()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def quiet_for(self) -> float:
        """Seconds since the process was busy last."""
        return time.monotonic() - self.last_busy

    @property
    def settled_after(self) -> float:
        """Seconds from the beginning to the end of the last second in which the process was busy."""
        return self.last_busy - self.began

    def _watch(self) -> None:
        at, spent = time.monotonic(), cpu_seconds(self._pid)
        while not self._ended.wait(1.0):
            now, total = time.monotonic(), cpu_seconds(self._pid)
            if 100 * (total - spent) / (now - at) > BUSY_PERCENT:
                self.last_busy = now
            at, spent = now, total
