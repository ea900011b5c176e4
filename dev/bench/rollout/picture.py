"""A timeline as a picture: the pods above, the answers below, in SVG that is readable in light and in dark.

The same timeline always gives the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

from dev.bench.rollout.timeline import STATES, Timeline

WIDTH, LEFT, RIGHT = 860, 64, 16
PODS_TOP, PODS_HEIGHT = 84, 110
ANSWERS_TOP, ANSWERS_HEIGHT = 236, 130
HEIGHT = 436
TICKS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600)

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 15px; font-weight: 600; }
.soft { fill: #57606a; }
.axis { stroke: #8c959f; stroke-width: 1; }
.grid { stroke: #d0d7de; stroke-width: 1; }
.mark { stroke: #57606a; stroke-width: 1; stroke-dasharray: 3 3; }
path { shape-rendering: crispEdges; }
.old { fill: #8c959f; } .new { fill: #0969da; } .failed { fill: #cf222e; }
.starting { opacity: 0.3; } .ending { opacity: 0.5; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.soft { fill: #9198a1; }
.grid { stroke: #30363d; }
.axis { stroke: #6e7681; }
.mark { stroke: #9198a1; }
path { shape-rendering: crispEdges; }
.old { fill: #6e7681; } .new { fill: #4493f8; } .failed { fill: #f85149; }
}
"""

Layer = tuple[str, Callable[[int], float]]  # the classes of a layer, and its height at the n-th moment


def drawn(timeline: Timeline) -> str:
    """The picture."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(timeline.policy)}: pods and answers over time">',
        f"<style>{STYLE}</style>",
        _text(LEFT, 22, f"{timeline.policy}: from version {timeline.old} to {timeline.new}", "title"),
        _text(LEFT, 40, timeline.setting, "soft"),
        *_legend(timeline),
        *_pods(timeline),
        *_answers(timeline),
        *_marks(timeline),
        *_time(timeline),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _pods(timeline: Timeline) -> Iterator[str]:
    moments = [pods.at for pods in timeline.pods]
    most = max(pods.count(*STATES) for pods in timeline.pods)
    layers = [
        (f"{kind} {state}", _counted([pods.versions.get(version, {}).get(state, 0) for pods in timeline.pods]))
        for kind, version in (("old", timeline.old), ("new", timeline.new))
        for state in STATES
    ]
    yield from _scale("pods", PODS_TOP, PODS_HEIGHT, most)
    yield from _stacked(timeline, moments, layers, (PODS_TOP, PODS_HEIGHT, most))


def _answers(timeline: Timeline) -> Iterator[str]:
    ends = [item.at for item in timeline.answers]
    lengths = [1.0, *(max(0.8, after - before) for before, after in pairwise(ends))]
    moments = [max(timeline.pods[0].at, end - length) for end, length in zip(ends, lengths, strict=True)]
    most = max(
        (sum(item.versions.values()) + item.failed) / length
        for item, length in zip(timeline.answers, lengths, strict=True)
    )

    def rates(counts: list[int]) -> Callable[[int], float]:
        return lambda index: counts[index] / lengths[index]

    layers = [
        ("old", rates([item.versions.get(timeline.old, 0) for item in timeline.answers])),
        ("new", rates([item.versions.get(timeline.new, 0) for item in timeline.answers])),
        ("failed", rates([item.failed for item in timeline.answers])),
    ]
    yield from _scale("requests/s", ANSWERS_TOP, ANSWERS_HEIGHT, max(1.0, most))
    yield from _stacked(timeline, moments, layers, (ANSWERS_TOP, ANSWERS_HEIGHT, max(1.0, most)))


def _counted(counts: list[int]) -> Callable[[int], float]:
    return lambda index: float(counts[index])


def _stacked(
    timeline: Timeline, moments: Sequence[float], layers: Sequence[Layer], box: tuple[float, float, float]
) -> Iterator[str]:
    """Areas of steps: each moment holds until the next one."""
    top, height, most = box
    floor = [0.0] * len(moments)
    for kind, of in layers:
        ceiling = [low + of(index) for index, low in enumerate(floor)]
        runs = _runs(moments, floor, ceiling, timeline.ends)
        rectangles = (
            f"M{_x(timeline, begin):.1f} {top + height * (1 - high / most):.1f}"
            f"H{_x(timeline, end):.1f}V{top + height * (1 - low / most):.1f}H{_x(timeline, begin):.1f}Z"
            for begin, end, low, high in runs
        )
        if path := "".join(rectangles):
            yield f'<path class="{kind}" d="{path}"/>'
        floor = ceiling


def _runs(
    moments: Sequence[float], floor: Sequence[float], ceiling: Sequence[float], ends: float
) -> Iterator[tuple[float, float, float, float]]:
    """Begin, end, low and high of each stretch in which a layer does not change; empty ones are left out."""
    begin = 0
    for index in range(1, len(moments) + 1):
        same = index < len(moments) and (floor[index], ceiling[index]) == (floor[begin], ceiling[begin])
        if same:
            continue
        if ceiling[begin] > floor[begin]:
            yield moments[begin], moments[index] if index < len(moments) else ends, floor[begin], ceiling[begin]
        begin = index


def _scale(title: str, top: float, height: float, most: float) -> Iterator[str]:
    step = next((tick for tick in TICKS if most / tick <= 4), TICKS[-1])
    yield _text(LEFT, top - 8, title, "soft")
    for value in range(0, int(most) + 1, step):
        y = top + height * (1 - value / most)
        kind = "grid" if value else "axis"
        yield f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="soft" text-anchor="end" x="{LEFT - 8}" y="{y + 4:.1f}">{value}</text>'


def _time(timeline: Timeline) -> Iterator[str]:
    begins = timeline.pods[0].at
    step = next((tick for tick in TICKS if (timeline.ends - begins) / tick <= 12), TICKS[-1])
    y = ANSWERS_TOP + ANSWERS_HEIGHT + 18
    for second in range(-(int(-begins) // step) * step, int(timeline.ends) + 1, step):
        yield f'<text class="soft" text-anchor="middle" x="{_x(timeline, second):.1f}" y="{y}">{second} s</text>'


def _marks(timeline: Timeline) -> Iterator[str]:
    """Dashed lines, with their words below the time, one row after the other."""
    for number, mark in enumerate(timeline.marks):
        x = _x(timeline, mark.at)
        late = x > WIDTH / 2
        yield f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{PODS_TOP}" y2="{ANSWERS_TOP + ANSWERS_HEIGHT}"/>'
        y = ANSWERS_TOP + ANSWERS_HEIGHT + 34 + 14 * (number % 3)
        anchor = "end" if late else "start"
        yield f'<text text-anchor="{anchor}" x="{x:.1f}" y="{y}">{escape(mark.text)}</text>'


def _legend(timeline: Timeline) -> Iterator[str]:
    x = LEFT
    for kind, text in (
        ("old", f"version {timeline.old}"),
        ("new", f"version {timeline.new}"),
        ("new starting", "starting"),
        ("old ending", "ending"),
        ("failed", "failed"),
    ):
        yield f'<rect class="{kind}" x="{x}" y="50" width="12" height="12"/>'
        yield _text(x + 18, 60, text, "soft")
        x += 28 + 7 * len(text)


def _x(timeline: Timeline, at: float) -> float:
    begins = timeline.pods[0].at
    return LEFT + (at - begins) / (timeline.ends - begins) * (WIDTH - LEFT - RIGHT)


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'
