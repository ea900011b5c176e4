"""The pictures in `docs/rollouts/` and the figures of `docs/rollouts.md`, out of `build/` alone."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dev.bench.report import RESULTS
from dev.bench.rollout.picture import drawn
from dev.bench.rollout.timeline import from_json
from dev.bench.server.document import table

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "rollouts.md"
PICTURES = DOCUMENT.with_suffix("")
BLOCK = re.compile(r"(<!-- figures: (\w+) .*?-->\n).*?(<!-- /figures -->)", re.DOTALL)


def write_documents(source: Path = RESULTS / "rollout.json", document: Path = DOCUMENT) -> list[Path]:
    """The paths of what was written."""
    results = json.loads(source.read_text())
    requests = source.parent.with_name("chaos") / "requests.json"
    tables = {"rollouts": rendered(results)}
    if requests.exists():
        tables["requests"] = lost(json.loads(requests.read_text()))
    proofs = source.parent.with_name("e2e") / "proofs.json"
    if proofs.exists():
        tables["proofs"] = proven(json.loads(proofs.read_text()))
    document.write_text(filled(document.read_text(), tables))
    pictures = [_draw(found, document.with_suffix("")) for found in results["timelines"]]
    return [document, *pictures]


def filled(text: str, tables: Mapping[str, str]) -> str:
    """The text with each table between the markers of its name."""
    return BLOCK.sub(lambda found: found[1] + tables.get(found[2], _kept(found[0])) + found[3], text)


def _kept(block: str) -> str:
    return block.partition("-->\n")[2].rpartition("<!-- /figures -->")[0]


def _draw(found: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{found['policy'].lower()}.svg"
    path.write_text(drawn(from_json(found)))
    return path


def rendered(results: Mapping[str, Any]) -> str:
    """One row for each policy."""
    machine, figures = results["machine"], results["figures"]
    titles = list(dict.fromkeys(name.partition(", ")[2] for name in figures))
    rows = [
        [found["policy"], *(_value(figures[f"{found['policy']}, {title}"]) for title in titles)]
        for found in results["timelines"]
    ]
    heading = ["policy", *titles]
    where = f"{machine['processors']} × {machine['processor']}, {machine['system']}"
    note = f"Measured on {results['date']} by `{results['command']}` on {where}."
    return f"{note}\n\n{table([heading, *rows])}\n"


def lost(plans: Mapping[str, Mapping[str, int]]) -> str:
    """One row for each plan of `tests/chaos/rollouts`."""
    columns = ("ended", "answered", "lost", "crossed")
    rows = [[name, *(f"{found[column]:,}" for column in columns)] for name, found in plans.items()]
    rows.append(["**all**", *(f"**{sum(found[column] for found in plans.values()):,}**" for column in columns)])
    return table([["plan", "servers ended", "requests answered", "lost", "sent again"], *rows]) + "\n"


def proven(proofs: Mapping[str, Mapping[str, Any]]) -> str:
    """One row for each proof of the end-to-end tests."""
    rows = [
        [what, *(f"{found[part]:,}" if found["answered"] else "" for part in ("answered", "failed")), found["seen"]]
        for what, found in proofs.items()
    ]
    return table([["on the real node", "requests answered", "failed", "seen"], *rows]) + "\n"


def _value(figure: Mapping[str, Any]) -> str:
    value, unit = figure["value"], figure["unit"]
    return f"{value:.1f} s" if unit == "s" else f"{value:,.0f}"
