"""How results are shown: a table or a few lines for people, JSON or YAML for programs."""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, TypeAlias

import typer
import yaml
from rich.console import Console

# Results go to standard output, everything about the way there to standard error.
remarks = Console(highlight=False, soft_wrap=True, stderr=True)


class OutputFormat(StrEnum):
    """The form of a result."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output: TypeAlias = Annotated[
    OutputFormat, typer.Option("--output", "-o", help="Form of the result.", show_default=True)
]

Document: TypeAlias = dict[str, object] | list[dict[str, object]]


def show_document(document: Document, form: OutputFormat) -> None:
    """Write the document to standard output as JSON or YAML."""
    if form is OutputFormat.JSON:
        text = json.dumps(document, indent=2, ensure_ascii=False)
    else:
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True).rstrip("\n")
    # Not through rich, which would read brackets as markup.
    typer.echo(text)


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write the rows to standard output in aligned columns, in the manner of kubectl; nothing is ever cut."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("   ".join(cells).rstrip())


def show_facts(facts: dict[str, str]) -> None:
    """Write names and values to standard output, one pair a line."""
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name.ljust(width)}  {value}")


def readable_bytes(count: int) -> str:
    """A number of bytes as people write it."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
