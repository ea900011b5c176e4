"""`mmm versions`: what a repository holds."""

import asyncio
from typing import Annotated

import typer

from mmm_cli.failures import explained_failures
from mmm_cli.output import Output, OutputFormat, show_document, show_table
from mmm_cli.storage import Addressing, CAFile, Endpoint, Region, SkipTLSVerify, storage_options
from mmm_repository import AddressingStyle, VersionEntry, list_versions


def versions_command(  # noqa: PLR0913  the options of a command are its arguments
    uri: Annotated[str, typer.Argument(metavar="URI", help="Where the model lives: s3://bucket/prefix.")],
    output: Output = OutputFormat.TABLE,
    endpoint: Endpoint = None,
    region: Region = None,
    addressing_style: Addressing = AddressingStyle.AUTO,
    ca_file: CAFile = None,
    insecure_skip_tls_verify: SkipTLSVerify = False,
) -> None:
    """List the versions below URI, oldest first. The last complete one is what updatePolicy Auto rolls out.

    Where no version has a manifest, those that look whole are unverified: nobody vouches for what they hold.
    """
    storage = storage_options(endpoint, region, addressing_style, ca_file, insecure_skip_tls_verify)
    with explained_failures():
        entries = asyncio.run(list_versions(uri, storage))
    if output is OutputFormat.TABLE:
        show_table(("VERSION", "STATE", "DIGEST"), [row_of(entry) for entry in entries])
    else:
        show_document([document_of(entry) for entry in entries], output)


def row_of(entry: VersionEntry) -> tuple[str, str, str]:
    """The entry as cells of a table."""
    state = ("complete" if entry.verified else "unverified") if entry.complete else "incomplete"
    return (entry.version, state, entry.digest or "-")


def document_of(entry: VersionEntry) -> dict[str, object]:
    """The entry as a document."""
    facts = {"version": entry.version, "complete": entry.complete, "digest": entry.digest}
    return {**facts, "verified": entry.complete and entry.verified}
