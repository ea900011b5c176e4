"""The figures of `docs/benchmarks.md`, out of `build/bench/server.json` alone."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dev.bench.report import RESULTS
from dev.bench.server.contenders import CONTENDERS

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "benchmarks.md"
BLOCK = re.compile(r"(<!-- figures: .*? -->\n).*?(<!-- /figures -->)", re.DOTALL)


def write_document(source: Path = RESULTS / "server.json", document: Path = DOCUMENT) -> Path:
    """The document's path, after the last results were written between its markers."""
    figures = rendered(json.loads(source.read_text()))
    text = document.read_text()
    if not BLOCK.search(text):
        raise SystemExit(f"{document} has no markers for the figures.")
    document.write_text(BLOCK.sub(lambda found: found[1] + figures + found[2], text))
    return document


def rendered(results: Mapping[str, Any]) -> str:
    """Machine, targets and tables as Markdown."""
    machine = results["machine"]
    parts = [
        f"Measured on {results['date']} by `{results['command']}` on {machine['processors']} × {machine['processor']}, "
        f"{machine['system']}; {_versions(results['versions'])}. Client and server share the processors.",
        *[f"{CONTENDERS[name].title} was left out: {reason}" for name, reason in results["absent"].items()],
        "### Targets",
        table([["figure", "value", "target", "met"], *_targets(results["figures"])]),
    ]
    for title, rows in results["tables"].items():
        parts += [f"### {title[:1].upper()}{title[1:]}", table(rows)]
    if len(results["stages"]) > 1:
        parts += ["### Where our time goes", table(results["stages"])]
    return "\n\n".join(parts) + "\n"


def _versions(found: Mapping[str, Mapping[str, str]]) -> str:
    """What all compute with, or who computes with what."""
    distinct = {", ".join(f"{name} {version}" for name, version in versions.items()) for versions in found.values()}
    if len(distinct) == 1:
        return f"all with {distinct.pop()}"
    return "; ".join(f"{name} with {', '.join(map(' '.join, versions.items()))}" for name, versions in found.items())


def _targets(figures: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    rows = []
    for name, figure in figures.items():
        value, target = figure["value"], figure["target"]
        if target is None:
            rows.append([name, f"{value:.4g} {figure['unit']}", "", ""])
            continue
        lower = figure["better"] == "lower"
        met = value <= target if lower else value >= target
        rows.append(
            [name, f"{value:.4g} {figure['unit']}", f"{'≤' if lower else '≥'} {target:g}", "yes" if met else "no"]
        )
    return rows


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its heading."""
    heading, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [heading, ["---"] * len(heading), *rest])
