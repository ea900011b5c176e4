"""The course of a simulation as a table for people, and as a value for JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from mmm_operator.offline.simulation.run import Course, Row, gaps
from mmm_operator.offline.simulation.script import show_duration

_HEAD = ("TIME", "WHO")
_OPTIONAL = ("what", "because", "condition", "events")
_TAIL = ("ROLLOUT", "REASON", "WHAT")


def to_table(course: Course) -> str:
    """One line for each thing that was done; below it, how it ended and how long nobody answered."""
    revisions = _revisions(course.rows)
    head = (*_HEAD, *(f"{version}@{revision[:4]}" for revision, version in revisions.items()), *_TAIL)
    lines = [head, *(line for row in course.rows for line in _lines(row, list(revisions)))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    text = ["  ".join([*map(str.ljust, line, widths), line[-1]]).rstrip() for line in lines]
    return "\n".join([*text, "", *_ending(course)])


def to_value(course: Course) -> dict[str, Any]:
    """The same for programs; times are seconds since the object was created."""
    return {
        "atRest": course.rest is not None,
        "ready": course.ready,
        "endedAtSeconds": course.ended,
        "outages": [{"fromSeconds": since, "toSeconds": until} for since, until in gaps(course.rows, course.ended)],
        "rows": [_row_value(row) for row in course.rows],
    }


def _revisions(rows: Sequence[Row]) -> dict[str, str]:
    """Every revision that there was, in the order in which they came, with its version."""
    return {revision: size.version for row in rows for revision, size in row.sizes.items()}


def _lines(row: Row, revisions: Sequence[str]) -> Iterator[tuple[str, ...]]:
    sizes = [f"{s.ready}/{s.wanted}" if (s := row.sizes.get(revision)) else "-" for revision in revisions]
    said = [*row.what, *([f"because: {row.because}"] if row.because else []), *([row.ready] if row.ready else [])]
    said += [f"{event.type} {event.reason}: {event.message}" for event in row.events]
    first = (show_duration(row.seconds), row.who, *sizes, row.rollout or "-", row.reason or "-")
    for number, text in enumerate(said or ["writes the status"]):
        yield (*(first if number == 0 else [""] * len(first)), text)


def _ending(course: Course) -> Iterator[str]:
    state = "Ready" if course.ready else "not Ready"
    if course.rest is None:
        yield f"still moving after {show_duration(course.ended)}: {state}"
    else:
        yield f"at rest after {show_duration(course.rest)}: {state}"
    found = gaps(course.rows, course.ended)
    if not found:
        yield "once a pod had answered, there was always one that did, while any was wanted"
    for since, until in found:
        yield f"no pod answered for {show_duration(until - since)}, from {show_duration(since)} on"


def _row_value(row: Row) -> dict[str, Any]:
    sizes = {
        revision: {"version": size.version, "ready": size.ready, "wanted": size.wanted}
        for revision, size in row.sizes.items()
    }
    value = {
        "seconds": row.seconds,
        "who": row.who,
        "what": list(row.what),
        "because": row.because,
        "condition": row.ready,
        "events": [{"type": e.type, "reason": e.reason, "message": e.message} for e in row.events],
        "revisions": sizes,
        "wanted": row.wanted,
        "serving": row.serving,
        "rollout": row.rollout,
        "reason": row.reason,
    }
    return {key: part for key, part in value.items() if part or key not in _OPTIONAL}
