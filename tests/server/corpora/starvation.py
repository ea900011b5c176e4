"""How long a process had work and no processor: what the kernel counts for each thread, and the machine's own steal."""

import contextlib
import os
import threading
import time
from collections import deque
from pathlib import Path

SAMPLE_SECONDS = 0.05
KEPT_SECONDS = 75.0  # the server's longest lag is that of the last 60, in slices of a little more than one
Waited = dict[str, float]  # seconds, of threads and of processors


class Starvation:
    """Samples a process for as long as it lives; its event loop is its first thread."""

    def __init__(self, pid: int) -> None:
        self._tasks, self._loop = Path(f"/proc/{pid}/task"), str(pid)
        self._samples: deque[tuple[float, Waited]] = deque()
        self._turn = threading.Lock()
        threading.Thread(target=self._run, name="starvation", daemon=True).start()

    def longest(self, lag: float) -> float:
        """The most that a loop could not help of a lag: in a span of that length, and a sample around it.

        What it waited itself, and the worst of the other threads, as that one may have held the interpreter, and of
        the processors, as those may have been taken from whoever had them.
        """
        samples, worst, last = self._sample(), 0.0, 0
        for began, before in samples:
            while last < len(samples) - 1 and samples[last][0] < began + lag + 3 * SAMPLE_SECONDS:
                last += 1
            worst = max(worst, self._between(before, samples[last][1]))
        return worst

    def _between(self, before: Waited, after: Waited) -> float:
        grown = {name: after[name] - seconds for name, seconds in before.items() if name in after}
        own = grown.pop(self._loop, 0.0)
        stolen = max((grown.pop(name) for name in list(grown) if name.startswith("cpu")), default=0.0)
        return own + max(grown.values(), default=0.0) + stolen

    def _run(self) -> None:
        while self._tasks.exists():
            self._sample()
            time.sleep(SAMPLE_SECONDS)

    def _sample(self) -> list[tuple[float, Waited]]:
        """All samples, with a new one."""
        with self._turn:
            now = time.monotonic()
            self._samples.append((now, {**_threads(self._tasks), **_processors()}))
            while self._samples[0][0] < now - KEPT_SECONDS:
                self._samples.popleft()
            return list(self._samples)


def _threads(tasks: Path) -> Waited:
    """What each thread waited; nothing where the kernel does not count it, which makes every judgement stricter."""
    found = {}
    with contextlib.suppress(FileNotFoundError):  # the process has ended
        for name in os.listdir(tasks):
            with contextlib.suppress(OSError):  # the thread has ended
                found[name] = int((tasks / name / "schedstat").read_text().split()[1]) / 1e9
    return found


def _processors() -> Waited:
    """What a host took of each processor of this machine."""
    rows = (line.split() for line in Path("/proc/stat").read_text().splitlines() if line.startswith("cpu"))
    tick = os.sysconf("SC_CLK_TCK")
    return {row[0]: int(row[8]) / tick for row in rows if row[0] != "cpu"}
