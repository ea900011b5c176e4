"""From raw outcomes to tables, and to figures with units and targets."""

import math
from collections.abc import Iterator, Sequence

from dev.bench.report import Figure
from dev.bench.server.arithmetic import median
from dev.bench.server.contenders import CONTENDERS, OURS
from dev.bench.server.measured import Measured
from dev.bench.server.workloads import EXCESS, GROUPS, TINY, USUAL

# For each workload of the tiny model the requests a second that are wanted, and how many times a plain server's.
WANTED = {
    "224 px, 1 client": (450.0, 2.6),
    "224 px, 8 clients": (900.0, 5.4),
    "224 px, 32 clients": (1000.0, 5.2),
    "1080p, 8 clients": (150.0, 6.8),
}
TAIL = 2.0  # p99 / p50 with 32 clients
OF_TORCH = 0.85
MEMORY_MIB, FIRST_ANSWER_SECONDS = 450.0, 4.5
GOODPUT, TAIL_OVERLOADED, SHED_MS = 0.9, 2.0, 50.0
LIMIT = "forward, batch 8"
LIMITS = ("forward, batch 1", "forward, batch 4", LIMIT, "decode, processor, forward")


def figures(found: Measured) -> dict[str, Figure]:
    """Every figure that could be measured."""
    every = [*_tiny(found), *_large(found), *_standing(found), *_overload(found), *_client(found)]
    return {name: figure for name, figure in every if not math.isnan(figure.value)}


def _tiny(found: Measured) -> Iterator[tuple[str, Figure]]:
    for workload, (rate, times) in WANTED.items():
        yield f"tiny, {workload}", Figure(median(found.rates("tiny", workload, OURS)), "requests/s", "higher", rate)
        for name in others(found):
            compared = found.compared("tiny", workload, OURS, name)
            target = times if name == "naive" else None
            yield f"tiny, {workload}, ours / {CONTENDERS[name].title}", Figure(compared, "ratio", "higher", target)
    turns = found.turns.get(("tiny", "224 px, 32 clients", OURS), [])
    yield "tiny, 224 px, 32 clients, p99 / p50", Figure(median([t.p99 / t.p50 for t in turns]), "ratio", "lower", TAIL)


def _large(found: Measured) -> Iterator[tuple[str, Figure]]:
    workload = "224 px, 8 clients"
    for group in ("vit-fp32", "vit-bf16"):
        share = found.of_limit(group, workload, OURS, LIMIT)
        yield f"{group}, 8 clients / torch alone at batch 8", Figure(share, "ratio", "higher", OF_TORCH)
        for name in others(found):
            compared = found.compared(group, workload, OURS, name)
            yield f"{group}, 8 clients, ours / {CONTENDERS[name].title}", Figure(compared, "ratio", "higher")


def _standing(found: Measured) -> Iterator[tuple[str, Figure]]:
    starts = found.starts.get(("tiny", OURS), [])
    memory = median([start.resident for start in starts])
    yield "memory after load, without weights", Figure(memory, "MiB", "lower", MEMORY_MIB)
    first = median([start.first_answer for start in starts])
    yield "first answer after start", Figure(first, "s", "lower", FIRST_ANSWER_SECONDS)


def _overload(found: Measured) -> Iterator[tuple[str, Figure]]:
    turns = found.excesses.get(OURS, [])
    times = f"at {EXCESS:g} × capacity"
    goodput = median([turn.goodput / turn.capacity for turn in turns if turn.capacity])
    yield f"{times}, goodput / capacity", Figure(goodput, "ratio", "higher", GOODPUT)
    tail = median([turn.accepted_p99 / turn.usual_p99 for turn in turns])
    yield f"{times}, p99 / p99 at {USUAL:g} ×", Figure(tail, "ratio", "lower", TAIL_OVERLOADED)
    yield f"{times}, p99 of refusals", Figure(median([turn.shed_p99 for turn in turns]), "ms", "lower", SHED_MS)


def _client(found: Measured) -> Iterator[tuple[str, Figure]]:
    cost = found.median_of("tiny", "224 px, 32 clients", OURS, "client_cpu")
    yield "CPU of the load generator per request", Figure(cost, "ms", "lower")


def others(found: Measured) -> list[str]:
    """The contenders that took part, without us."""
    return [name for name in CONTENDERS if name != OURS and any(name == key[2] for key in found.turns)]


def tables(found: Measured) -> dict[str, list[list[str]]]:
    """Rows for people, by title; the first row is the heading."""
    made: dict[str, list[list[str]]] = {}
    for group in GROUPS.values():
        for workload in group.workloads:
            if rows := _contest(found, group.name, workload.name):
                made[f"{group.name}: {workload.name}"] = [_CONTEST, *rows]
    if rows := _starts(found):
        made["start and memory, tiny model"] = [["server", "first answer s", "memory MiB"], *rows]
    if rows := _excesses(found):
        made[f"overload: {EXCESS:g} × capacity, open loop"] = [_EXCESS, *rows]
    return made


_CONTEST = ["server", "requests/s", "ours is × faster", "p50 ms", "p99 ms", "CPU ms", "refused", "failed"]
_EXCESS = ["server", "capacity/s", "p99 ms at 80 %", "goodput/s", "p99 ms", "refused", "p99 ms of it", "unanswered"]


def _contest(found: Measured, group: str, workload: str) -> list[list[str]]:
    rows = []
    for name, contender in CONTENDERS.items():
        turns = found.turns.get((group, workload, name), [])
        if not turns:
            continue
        numbers = [median(found.rates(group, workload, name)), found.compared(group, workload, OURS, name)]
        numbers += [found.median_of(group, workload, name, what) for what in ("p50", "p99", "cpu")]
        counts = [sum(turn.shed for turn in turns), sum(turn.failed for turn in turns)]
        rows.append([contender.title, *map(short, numbers), *map(str, counts)])
    for limit in LIMITS if rows and "224 px" in workload else ():
        rate = median([outcome[limit] for outcome in found.raw.get(group, [])])
        rows.append(
            [f"torch alone: {limit}", short(rate), short(found.of_limit(group, workload, OURS, limit)), *5 * [""]]
        )
    return rows


def _starts(found: Measured) -> list[list[str]]:
    rows = []
    for name, contender in CONTENDERS.items():
        if starts := found.starts.get((TINY.name, name), []):
            first, memory = median([s.first_answer for s in starts]), median([s.memory for s in starts])
            rows.append([contender.title, short(first), short(memory)])
    return rows


def _excesses(found: Measured) -> list[list[str]]:
    rows = []
    for name, turns in found.excesses.items():
        fields = ("capacity", "usual_p99", "goodput", "accepted_p99", "shed", "shed_p99", "failed")
        medians = [short(median([float(getattr(turn, field)) for turn in turns])) for field in fields]
        rows.append([CONTENDERS[name].title, *medians])
    return rows


def short(value: float) -> str:
    """A number as people read it."""
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """The rows as a table of text."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"    {line.rstrip()}" for line in lines)
