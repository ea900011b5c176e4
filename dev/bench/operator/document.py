"""`docs/benchmarks-operator.md`, written from `build/bench/operator.json` and from nothing else."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dev.bench.report import RESULTS

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "benchmarks-operator.md"

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


def write_document(source: Path = RESULTS / "operator.json", target: Path = DOCUMENT) -> Path:
    """The document's path, after the last results were written into it."""
    target.write_text(document(json.loads(source.read_text())))
    return target


def document(results: Mapping[str, Any]) -> str:
    """The document for one `operator.json`."""
    head = HEAD.format(date=results["date"], command=results["command"], **results["machine"])
    parts = [head, _table(results["growth"]), "\n## Figures and targets\n", _table(_figures(results["figures"]))]
    for size, rows in results["requests"].items():
        parts += [f"\n## Requests of the operator, N={size}\n", _table(rows)]
    return "\n".join(parts) + "\n"


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
