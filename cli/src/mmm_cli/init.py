"""`mmm init`: a first MultimodalModel for a model directory."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mmm_cli.bar import progress_bar
from mmm_cli.failures import FAILED, explained_failures
from mmm_cli.output import remarks
from mmm_cli.sample import TASKS, Model, Place, object_name, sample
from mmm_cli.validate import findings_in
from mmm_repository import InvalidDirectory, verify_directory, weights_of


def init_command(  # noqa: PLR0913  the options of a command are its arguments
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The model directory.")],
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Write it there, not to standard output.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the object. Default: that of the directory.")] = None,
    uri: Annotated[
        str | None, typer.Option(help="Where the model lies or will lie. Default: s3://models/NAME.")
    ] = None,
    version: Annotated[str, typer.Option("--version", "-v", help="The version to serve.")] = "1",
    endpoint: Annotated[str | None, typer.Option(help="Address of the S3 server, as pods reach it.")] = None,
    secret: Annotated[str, typer.Option(help="Name of the Secret with the credentials.")] = "s3-credentials",
    accelerator: Annotated[
        str | None, typer.Option(metavar="RESOURCE", help="One such device for each pod, like nvidia.com/gpu.")
    ] = None,
) -> None:
    """Write a commented MultimodalModel for the model in DIR, with requests and limits by the size of its weights.

    The directory is checked as `publish` would check it. What comes out is valid, and a beginning.
    """
    with explained_failures(), progress_bar() as progress:
        verify_directory(directory, progress=progress)
        model = examined(directory)
    called = name or object_name(directory.resolve().name)
    place = Place(called, uri or f"s3://models/{called}", version, endpoint, secret, accelerator)
    if any(any(map(str.isspace, text)) for text in (called, place.uri, version, endpoint or "", secret)):
        raise typer.BadParameter("names, addresses and versions hold no spaces and no line breaks")
    text = sample(model, place)
    if wrong := [f"{finding.field}: {finding.message}" for finding in findings_in(text)]:
        raise typer.BadParameter("; ".join(wrong))
    if model.architecture not in TASKS:
        known = ", ".join(TASKS)
        remarks.print(
            f"The operator's own server knows {known}, not {model.architecture or 'this model'}.", markup=False
        )
    write(text, file)


def examined(directory: Path) -> Model:
    """What the directory says of the model; raises RepositoryError."""
    config = json.loads((directory / "config.json").read_bytes())
    architectures = [name for name in config.get("architectures") or [] if isinstance(name, str)]
    known = [name for name in architectures if name in TASKS]
    weights = weights_of(directory)
    if not weights.parameters:
        raise InvalidDirectory(f"{directory} holds no weights. Save the model as safetensors.")
    return Model(str(directory), next(iter(known or architectures), ""), weights.parameters, weights.stored_bytes)


def write(text: str, file: Path | None) -> None:
    """Write the text to a new file, or to standard output."""
    if file is None:
        typer.echo(text, nl=False)
        return
    try:
        with file.open("x") as stream:
            stream.write(text)
    except OSError as error:
        remarks.print(f"{file} cannot be written: {error.strerror}. Name another file.", markup=False)
        raise typer.Exit(FAILED) from None
    remarks.print(f"Wrote {file}. Look it over, then: kubectl apply -f {file}", markup=False)
