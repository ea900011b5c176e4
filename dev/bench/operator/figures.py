"""From raw outcomes to figures with units and targets, and to tables for people."""

import math
import statistics
from collections.abc import Callable, Sequence

from dev.bench.operator.measured import Measured
from dev.bench.report import Figure

Column = tuple[str, Callable[[Measured], float | None]]


def figures(found: Measured) -> dict[str, Figure]:
    """Every figure of one run, its number of objects in its name."""
    n = found.objects
    made = {f"phases that did not end in time, N={n}": Figure(len(found.unfinished), "phases", "lower", 0)}
    if "creation" in found.unfinished:
        return made
    made |= {f"{name}, N={n}": figure for name, figure in (*_creation(found), *_reaction(found))}
    made |= {f"{name}, N={n}": figure for name, figure in (*_restart(found), *_idle(found), *_ready(found))}
    return made


def floor(found: Measured) -> float:
    """The plain client's seconds: the mean of its runs before and after the operator's."""
    return statistics.mean(found.floor_seconds)


def writes_per_object(found: Measured) -> float:
    """All writes of the operator from the first object to rest, events included."""
    return sum(found.writes.values()) / found.objects


def _creation(found: Measured) -> list[tuple[str, Figure]]:
    n, large = found.objects, found.objects >= 5000
    return [
        ("floor", Figure(floor(found), "s", "lower")),
        ("all children", Figure(found.children_seconds, "s", "lower")),
        (
            "all children / floor",
            Figure(found.children_seconds / floor(found), "ratio", "lower", 2.5 if large else 2.0),
        ),
        ("last write", Figure(found.last_write_seconds, "s", "lower")),
        ("children per object", Figure(found.children, "objects", "lower")),
        ("writes per object", Figure(writes_per_object(found), "writes", "lower", found.children + 2)),
        ("of which events", Figure(found.writes.get("create events", 0) / n, "writes", "lower")),
        ("writes that changed nothing", Figure(sum(found.needless.values()), f"of {found.probes} objects", "lower", 0)),
        ("refused writes", Figure(sum(found.refused.values()), "writes", "lower", 0)),
        ("reads per object", Figure(sum(found.reads.values()) / n, "reads", "lower")),
        ("CPU per object", Figure(1000 * found.cpu_seconds / n, "ms", "lower", 20)),
        ("memory, empty", Figure(found.memory_empty, "MiB", "lower")),
        ("memory", Figure(found.memory_settled, "MiB", "lower", 400 if large else 150)),
        ("memory, peak", Figure(found.memory_peak, "MiB", "lower")),
        ("memory per object", Figure(1024 * (found.memory_settled - found.memory_empty) / n, "KiB", "lower")),
    ]


def _reaction(found: Measured) -> list[tuple[str, Figure]]:
    missed = ("edits without a child write", Figure(found.edits - len(found.reactions), "edits", "lower", 0))
    if not found.reactions:
        return [missed] if found.edits else []
    times = sorted(1000 * seconds for seconds in found.reactions)
    return [
        missed,
        ("edit to first child write, p50", Figure(statistics.median(times), "ms", "lower", 25)),
        ("edit to first child write, p90", Figure(times[math.ceil(0.9 * len(times)) - 1], "ms", "lower")),
        ("writes per edit", Figure(sum(found.edit_writes.values()) / found.edits, "writes", "lower")),
    ]


def _restart(found: Measured) -> list[tuple[str, Figure]]:
    restart = found.restart
    if restart is None:
        return []
    return [
        ("restart: settled", Figure(restart.settled_seconds, "s", "lower", 15 if found.objects >= 5000 else 3.5)),
        ("restart: writes", Figure(sum(restart.writes.values()), "writes", "lower", 0)),
        ("restart: reads", Figure(sum(restart.reads.values()), "reads", "lower")),
        ("restart: CPU", Figure(restart.cpu_seconds, "s", "lower")),
        ("restart: memory", Figure(restart.memory, "MiB", "lower")),
    ]


def _idle(found: Measured) -> list[tuple[str, Figure]]:
    idle = found.idle
    if idle is None:
        return []
    return [
        (f"idle {idle.seconds:.0f} s: writes", Figure(sum(idle.writes.values()), "writes", "lower", 0)),
        (f"idle {idle.seconds:.0f} s: reads", Figure(sum(idle.reads.values()), "reads", "lower")),
        (f"idle {idle.seconds:.0f} s: CPU", Figure(idle.cpu_percent, "% of a core", "lower", 0.2)),
    ]


def _ready(found: Measured) -> list[tuple[str, Figure]]:
    ready = found.ready
    if ready is None:
        return []
    n = found.objects
    return [
        ("simulated nodes: all Ready", Figure(ready.seconds, "s", "lower")),
        ("simulated nodes: last write", Figure(ready.last_write_seconds, "s", "lower")),
        ("simulated nodes: writes per object", Figure(sum(ready.writes.values()) / n, "writes", "lower")),
        ("simulated nodes: writes that changed nothing", Figure(sum(ready.needless.values()), "writes", "lower", 0)),
        ("simulated nodes: CPU per object", Figure(1000 * ready.cpu_seconds / n, "ms", "lower")),
    ]


GROWTH: tuple[Column, ...] = (
    ("objects", lambda m: m.objects),
    ("floor s", floor),
    ("children s", lambda m: m.children_seconds),
    ("× floor", lambda m: m.children_seconds / floor(m)),
    ("last write s", lambda m: m.last_write_seconds),
    ("writes/obj", writes_per_object),
    ("CPU ms/obj", lambda m: 1000 * m.cpu_seconds / m.objects),
    ("RSS MiB", lambda m: m.memory_settled),
    ("p50 ms", lambda m: 1000 * statistics.median(m.reactions) if m.reactions else None),
    ("restart s", lambda m: m.restart.settled_seconds if m.restart else None),
    ("Ready s", lambda m: m.ready.seconds if m.ready else None),
)


def growth(outcomes: Sequence[Measured]) -> list[list[str]]:
    """The table that shows how things grow: a heading, then a row for each number of objects."""
    rows = [[_number(value(found)) for _, value in GROWTH] for found in outcomes]
    return [[title for title, _ in GROWTH], *rows]


def requests(found: Measured) -> list[list[str]]:
    """The operator's requests per object, by what they were: created, edited, restarted."""
    parts = [("create", found.writes), ("create", found.reads), ("edit", found.edit_writes)]
    parts += [("restart", {**found.restart.writes, **found.restart.reads})] if found.restart else []
    parts += [("nodes", found.ready.writes)] if found.ready else []
    parts += [("refused", found.refused), ("needless", found.needless)]
    share = {"edit": max(1, found.edits), "needless": max(1, found.probes)}
    rows = [
        [part, kind, str(count), f"{count / share.get(part, found.objects):.2f}"]
        for part, counts in parts
        for kind, count in counts.items()
    ]
    return [["when", "request", "count", "per object"], *rows]


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """The rows as text, columns aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
