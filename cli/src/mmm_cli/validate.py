"""`mmm validate`: what the API server and the operator would say of the objects in a file, each with its line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from mmm_cli.failures import FAILED
from mmm_cli.output import Output, OutputFormat, remarks, show_document
from mmm_cli.schema import Mistake, completed, mistakes
from mmm_operator import names
from mmm_operator.api.crd import root_schema
from mmm_operator.offline.check import path_of, wrong_fields
from mmm_operator.offline.documents import Document, Unusable, documents_in, read_documents


@dataclass(frozen=True)
class Finding:
    """One mistake, where it stands in the file."""

    place: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        """As compilers write it, so that editors find the place."""
        return f"{self.place}:{self.line}: {self.field}: {self.message}"

    def document(self) -> dict[str, object]:
        """For programs."""
        return {"file": self.place, "line": self.line, "field": self.field, "message": self.message}


def validate_command(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE…", help="YAML or JSON files, directories, or - for standard input.")
    ],
    output: Output = OutputFormat.TABLE,
) -> None:
    """Check MultimodalModels without a cluster: every field, and every rule that the API server would apply.

    Other kinds of objects in the files are passed over. Exit code 1: something is wrong, and would be refused.
    """
    try:
        models = [document for document in read_documents(files) if document.content["kind"] == names.KIND]
    except Unusable as error:
        remarks.print(str(error), markup=False)
        raise typer.Exit(FAILED) from None
    if not models:
        remarks.print(f"{', '.join(files)}: no {names.KIND} in it", markup=False)
        raise typer.Exit(FAILED)
    checked = [(document, find(document)) for document in models]
    show(checked, output)
    if any(findings for _, findings in checked):
        raise typer.Exit(FAILED)


def findings_in(text: str) -> list[Finding]:
    """The mistakes in a text with one object."""
    return [finding for document in documents_in("", text) for finding in find(document)]


def find(document: Document) -> list[Finding]:
    """The mistakes in an object, from the first line to the last."""
    found = [_finding(document, mistake) for mistake in _mistakes(document.content)]
    return sorted(found, key=lambda finding: (finding.line, finding.field))


def _mistakes(raw: dict[str, object]) -> Iterator[Mistake]:
    """What the API server refuses; then what it knows no rule for, but the operator does."""
    schema = root_schema()
    object_ = completed(schema, {key: part for key, part in raw.items() if key != "status"})
    if not _named(raw):
        yield Mistake(("metadata", "name"), "is missing: write the name of the object")
        object_["metadata"] = {"name": "nameless"}
    refused = list(mistakes(schema, object_))
    yield from refused
    # The namespace is the operator's to know, not the file's to say.
    known = {**raw, "metadata": {"namespace": "default", **object_["metadata"]}}
    for field, text in wrong_fields(known):
        if not any(mistake.field[: len(field)] == field for mistake in refused):
            yield Mistake(field, text)


def _named(raw: dict[str, object]) -> bool:
    meta = raw.get("metadata")
    return isinstance(meta, dict) and isinstance(meta.get("name"), str)


def _finding(document: Document, mistake: Mistake) -> Finding:
    place, _, line = document.place(mistake.field).rpartition(":")
    return Finding(place, int(line), path_of(mistake.field) or names.KIND, mistake.text)


def show(checked: list[tuple[Document, list[Finding]]], output: OutputFormat) -> None:
    """Write the mistakes, and for people also which objects have none, to standard output."""
    if output is not OutputFormat.TABLE:
        show_document([_report(document, findings) for document, findings in checked], output)
        return
    for document, findings in checked:
        lines = [str(finding) for finding in findings]
        typer.echo("\n".join(lines or [f"{document.place()}: {_name(document)}: valid"]))


def _report(document: Document, findings: list[Finding]) -> dict[str, object]:
    file, _, line = document.place().rpartition(":")
    return {
        "file": file,
        "line": int(line),
        "name": _name(document),
        "valid": not findings,
        "mistakes": [finding.document() for finding in findings],
    }


def _name(document: Document) -> str:
    meta = document.content.get("metadata")
    return str(meta.get("name", "")) if isinstance(meta, dict) else ""
