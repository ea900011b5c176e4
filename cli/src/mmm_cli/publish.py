"""`mmm publish`: a directory becomes a version."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from mmm_cli.bar import progress_bar
from mmm_cli.failures import explained_failures
from mmm_cli.output import Output, OutputFormat, readable_bytes, remarks, show_document, show_facts
from mmm_cli.storage import Addressing, CAFile, Endpoint, Region, SkipTLSVerify, storage_options
from mmm_repository import AddressingStyle, PublishedVersion, publish, rehearse


def publish_command(  # noqa: PLR0913  the options of a command are its arguments
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The model directory.")],
    uri: Annotated[str, typer.Argument(metavar="URI", help="Where the model lives: s3://bucket/prefix.")],
    version: Annotated[str, typer.Option("--version", "-v", help="Name of the new version, like 2 or 1.4.0.")],
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="Facts to keep with it.")
    ] = None,
    from_version: Annotated[
        str | None,
        typer.Option("--from-version", metavar="VERSION", help="Copy in the store what this version has too."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and hash, but send nothing.")] = False,
    output: Output = OutputFormat.TABLE,
    endpoint: Endpoint = None,
    region: Region = None,
    addressing_style: Addressing = AddressingStyle.AUTO,
    ca_file: CAFile = None,
    insecure_skip_tls_verify: SkipTLSVerify = False,
) -> None:
    """Publish the files of DIR as a new, immutable version below URI.

    Pickles, code and archives are refused before anything is sent. Run it again after an interruption: what is
    in the store already is not sent twice. The version exists from the moment the command succeeds.
    """
    storage = storage_options(endpoint, region, addressing_style, ca_file, insecure_skip_tls_verify)
    facts = parse_metadata(metadata or [])
    with explained_failures():
        action = rehearse if dry_run else publish
        with progress_bar() as progress:
            published = asyncio.run(
                action(directory, uri, version, storage, facts, progress, from_version=from_version)
            )
    show_published(published, uri, output, dry_run=dry_run)


def parse_metadata(pairs: list[str]) -> dict[str, JsonValue]:
    """The pairs as a dictionary; values that are JSON (numbers, true, lists) are taken as such, others as text."""
    facts: dict[str, JsonValue] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise typer.BadParameter(f'"{pair}" is not of the form KEY=VALUE')
        facts[key] = json_or_text(value)
    return facts


def json_or_text(value: str) -> JsonValue:
    """The JSON value that the text is, or the text."""
    try:
        parsed: JsonValue = json.loads(value)
    except ValueError:
        return value
    return parsed


def show_published(published: PublishedVersion, uri: str, output: OutputFormat, *, dry_run: bool) -> None:
    """Write what was published to standard output."""
    for path in published.skipped:
        remarks.print(f"Left out, as it is hidden: {path}", markup=False)
    manifest = published.manifest
    if output is not OutputFormat.TABLE:
        document: dict[str, object] = {
            "uri": uri,
            "version": published.version,
            "digest": published.digest,
            "files": len(manifest.files),
            "totalBytes": manifest.total_bytes,
            "sentBytes": published.sent_bytes,
            "copiedBytes": published.copied_bytes,
            "metadata": dict(manifest.metadata),
            "dryRun": dry_run,
        }
        show_document(document, output)
        return
    show_facts(
        {
            "would publish" if dry_run else "published": f"{uri.rstrip('/')}/{published.version}",
            "digest": published.digest,
            "files": f"{len(manifest.files)}, {readable_bytes(manifest.total_bytes)}",
            "sent": sent_words(published, dry_run=dry_run),
        }
    )


def sent_words(published: PublishedVersion, *, dry_run: bool) -> str:
    """How much went over the network, and how much did not have to."""
    sent = "nothing (dry run)" if dry_run else readable_bytes(published.sent_bytes)
    there = published.manifest.total_bytes - published.sent_bytes - published.copied_bytes
    rest = [
        f"{readable_bytes(count)} {what}"
        for count, what in ((published.copied_bytes, "copied in the store"), (there, "there already"))
        if count and not (dry_run and what == "there already")
    ]
    return ", ".join([sent, *rest])
