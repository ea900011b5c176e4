"""Where the milliseconds of one of our requests go: by stage, as the server's own metrics say, and by thread."""

import os
import re
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from dev.bench.server.load import Loaded
from dev.bench.server.serving import Running

STAGES = ("read", "decode", "queue", "forward", "finish")
HEADING = ["workload", "requests/s", "batch", *(f"{stage} ms" for stage in STAGES), "CPU ms by thread"]
SAMPLE = re.compile(r'^(mmm_stage_seconds_sum|mmm_batch_size_(?:sum|count))\{\w+="(\w+)"\} (\S+)$', re.MULTILINE)


def stage_row(running: Running, title: str, load: Callable[[], Loaded]) -> list[str]:
    """Stages are wall-clock time, with the forward pass of a batch shared among its requests."""
    stages_before, threads_before = _stages(running), thread_seconds(running.process.pid)
    loaded = load()
    stages = grown(stages_before, _stages(running))
    return row(title, loaded, stages, grown(threads_before, thread_seconds(running.process.pid)))


def row(title: str, loaded: Loaded, stages: Mapping[str, float], threads: Mapping[str, float]) -> list[str]:
    """The row for what was counted while the load ran."""
    answers = max(1, loaded.answered)
    per_request = {name: seconds * 1000 / answers for name, seconds in threads.items() if seconds > 0}
    cpu = ", ".join(f"{name} {value:.2f}" for name, value in sorted(per_request.items(), key=lambda item: -item[1]))
    batch = stages.get("mmm_batch_size_sum image", 0.0) / max(1.0, stages.get("mmm_batch_size_count image", 0.0))
    timed = [f"{stages.get(f'mmm_stage_seconds_sum {stage}', 0.0) * 1000 / answers:.2f}" for stage in STAGES]
    return [title, f"{loaded.rate:.0f}", f"{batch:.1f}", *timed, f"{sum(per_request.values()):.2f} ({cpu})"]


def grown(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """By how much each of the sums grew."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def samples(text: str) -> dict[str, float]:
    """The sums that matter out of a metrics page."""
    return {f"{name} {label}": float(value) for name, label, value in SAMPLE.findall(text)}


def thread_seconds(pid: int) -> dict[str, float]:
    """User and system time so far, by the name of the thread."""
    found: dict[str, float] = {}
    ticks = os.sysconf("SC_CLK_TCK")
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            words = (task / "stat").read_text().rpartition(")")
        except OSError:
            continue
        name = words[0].partition("(")[2]
        fields = words[2].split()
        found[name] = found.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / ticks
    return found


def _stages(running: Running) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{running.serving.operations_port}/metrics", timeout=10) as page:
        return samples(page.read().decode())
