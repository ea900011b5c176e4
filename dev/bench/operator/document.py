"""`docs/benchmarks-operator.md` and the figures of `docs/scaling.md`, out of `build/bench/operator.json` alone."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dev.bench.report import RESULTS

DOCS = Path(__file__).resolve().parents[3] / "docs"
BLOCK = re.compile(r"(<!-- figures: .*? -->\n).*?(<!-- /figures -->)", re.DOTALL)
MANY, SHARDS = 50_000, 8

HEAD = """\
<!-- Written by `python -m dev.bench.operator report`; do not edit. -->
# How fast and how heavy the operator is

Measured on {date} by `{command}` on {processors} × {processor}, {system}. Etcd, API server, controllers, operator and
client share these cores. How it is measured stands in `dev/bench/operator/__init__.py`; [scaling.md](scaling.md) says
what follows from it for larger clusters.

*Floor* is a plain client that writes the same children itself in the same session: what this machine can do at all.
Operators of the same kind, measured in the same way on the same kind of machine, need 2.2 (KubeRay) to 4.3 (KServe)
times their floor for 1,000 objects.

## Growth
"""


def write_documents(sources: Sequence[Path] = (), docs: Path = DOCS) -> list[Path]:
    """The documents' paths, after the last results were written into them, or those of these files together."""
    results = together([json.loads(source.read_text()) for source in sources or [RESULTS / "operator.json"]])
    report, scaling = docs / "benchmarks-operator.md", docs / "scaling.md"
    report.write_text(document(results))
    scaling.write_text(BLOCK.sub(lambda found: found[1] + extrapolation(results) + found[2], scaling.read_text()))
    return [report, scaling]


def together(runs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The results of several runs as those of one; of a figure that several have the last one counts."""
    rows = {row[0]: row for run in runs for row in run["growth"][1:]}
    return {
        **runs[-1],
        "command": "` and `".join(dict.fromkeys(run["command"] for run in runs)),
        "figures": {name: figure for run in runs for name, figure in run["figures"].items()},
        "requests": {size: counted for run in runs for size, counted in run["requests"].items()},
        "growth": [runs[-1]["growth"][0], *sorted(rows.values(), key=lambda row: int(row[0].replace(",", "")))],
    }


def document(results: Mapping[str, Any]) -> str:
    """The document for one `operator.json`."""
    head = HEAD.format(date=results["date"], command=results["command"], **results["machine"])
    parts = [head, _table(results["growth"]), "\n## Figures and targets\n", _table(_figures(results["figures"]))]
    for size, rows in results["requests"].items():
        parts += [f"\n## Requests of the operator, N={size}\n", _table(rows)]
    return "\n".join(parts) + "\n"


def extrapolation(results: Mapping[str, Any]) -> str:
    """What the largest measured number of objects says about fifty thousand, on one replica and on eight shards."""
    figures = results["figures"]
    size = max(int(rows) for rows in results["requests"])

    def value(name: str) -> float:
        return float(figures.get(f"{name}, N={size}", {}).get("value", math.nan))

    empty, factor = value("memory, empty"), MANY / size
    memory = empty + factor * (value("memory") - empty)
    rows = [
        ["first creation, a plain client", "s", *_scaled(value("floor"), factor, 1)],
        ["first creation, all children", "s", *_scaled(value("all children"), factor, 1)],
        ["first creation, the operator's CPU", "s", *_scaled(value("CPU per object") * size / 1000, factor, SHARDS)],
        ["memory", "MiB", _short(value("memory")), _short(memory), _short(empty + (memory - empty) / SHARDS)],
        ["restart until settled", "s", *_scaled(value("restart: settled"), factor, SHARDS)],
    ]
    heading = ["", "", f"{size:,} measured", f"{MANY:,} on one replica", f"{MANY:,} on {SHARDS} shards, each"]
    note = f"Measured on {results['date']}; the columns for {MANY:,} are the measured one, multiplied and divided."
    return f"{note}\n\n{_table([heading, *rows])}\n"


def _scaled(value: float, factor: float, shards: int) -> tuple[str, str, str]:
    return _short(value), _short(value * factor), _short(value * factor / shards)


def _short(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _figures(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    rows = [[name, f"{item['value']:.4g} {item['unit']}", *_verdict(item)] for name, item in found.items()]
    return [["figure", "value", "target", "met"], *rows]


def _verdict(item: Mapping[str, Any]) -> tuple[str, str]:
    target, value = item["target"], item["value"]
    if target is None:
        return "", ""
    if item["better"] == "lower":
        return f"≤ {target:g}", "yes" if value <= target else "no"
    return f"≥ {target:g}", "yes" if value >= target else "no"


def _table(rows: Sequence[Sequence[str]]) -> str:
    heading, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [heading, ["---"] * len(heading), *rest])
