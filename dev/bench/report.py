"""The one convention of all benches: figures with unit and target, the machine, and the command."""

import datetime as dt
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

RESULTS = Path(__file__).resolve().parents[2] / "build" / "bench"


@dataclass(frozen=True)
class Figure:
    """One measured number; `target` is None where nothing was promised."""

    value: float
    unit: str
    better: Literal["higher", "lower"]
    target: float | None = None


def write_report(
    name: str, figures: Mapping[str, Figure], command: str | None = None, more: Mapping[str, Any] | None = None
) -> Path:
    """Print the table and write the document, with what else the bench has to tell; gives its path."""
    width = max(map(len, figures))
    for title, figure in figures.items():
        target = (
            "" if figure.target is None else f"   target {'≥' if figure.better == 'higher' else '≤'} {figure.target:g}"
        )
        print(f"  {title:{width}}  {figure.value:10.2f} {figure.unit}{target}")
    content = {
        "machine": {"processors": os.cpu_count(), "processor": _processor(), "system": platform.platform()},
        "command": command or " ".join(["python", "-m", "dev.bench", *sys.argv[1:]]),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "figures": {title: asdict(figure) for title, figure in figures.items()},
        **(more or {}),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def resident_megabytes(pid: int) -> float:
    """Memory of a process, as the kernel counts it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
