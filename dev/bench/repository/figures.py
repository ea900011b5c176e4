"""From raw outcomes to figures with units and targets."""

import statistics

from dev.bench.report import Figure
from dev.bench.repository.measured import Measured

FASTER_THAN_BOTO3 = 3.0
OF_PLAIN = 0.8
MEMORY_MIB = 150.0
AGAIN_SECONDS = 1.0
UNIT_FILES = 10_000


def figures(found: Measured) -> dict[str, Figure]:
    """Every figure of one model, its number of files in its name."""
    name = f"{found.megabytes} MB in {found.files} files"
    return {
        f"fetch, boto3's time / ours, {name}": Figure(
            ratio(found, "fetch", "boto3"), "ratio", "higher", FASTER_THAN_BOTO3
        ),
        f"fetch, plain time / ours, {name}": Figure(ratio(found, "fetch", "plain"), "ratio", "higher", OF_PLAIN),
        f"fetch, {name}": Figure(rate(found, "fetch"), "MB/s", "higher"),
        f"fetch, CPU of the client, {name}": Figure(found.cpu_seconds("fetch", "mmm"), "s", "lower"),
        f"fetch, memory, {name}": Figure(found.memory("fetch", "mmm"), "MiB", "lower", MEMORY_MIB),
        f"complete cache by sizes, {name}": Figure(again(found), "s per 10,000 files", "lower", AGAIN_SECONDS),
        f"publish, boto3's time / ours, {name}": Figure(ratio(found, "publish", "boto3"), "ratio", "higher"),
        f"publish, plain time / ours, {name}": Figure(ratio(found, "publish", "plain"), "ratio", "higher"),
        f"publish, {name}": Figure(rate(found, "publish"), "MB/s", "higher"),
        f"publish, memory, {name}": Figure(found.memory("publish", "mmm"), "MiB", "lower", MEMORY_MIB),
    }


def ratio(found: Measured, action: str, contender: str) -> float:
    """How many times as long as we the contender takes."""
    return found.seconds(action, contender) / found.seconds(action, "mmm")


def rate(found: Measured, action: str) -> float:
    """Megabytes in a second."""
    return found.megabytes / found.seconds(action, "mmm")


def again(found: Measured) -> float:
    """Seconds of looking at a complete cache, for ten thousand files; for fewer, what it takes at least."""
    return statistics.median(found.again) * max(1.0, UNIT_FILES / found.files if found.files >= 1000 else 1.0)
