"""`mmm verify`: whether every byte is what the manifest says."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from mmm_cli.bar import progress_bar
from mmm_cli.failures import explained_failures
from mmm_cli.output import Output, OutputFormat, readable_bytes, remarks, show_document, show_facts
from mmm_cli.storage import Addressing, CAFile, Endpoint, Region, SkipTLSVerify, storage_options
from mmm_repository import (
    AddressingStyle,
    OnProgress,
    StorageOptions,
    VerifiedVersion,
    verify_directory,
    verify_version,
)


def verify_command(  # noqa: PLR0913  the options of a command are its arguments
    target: Annotated[
        str, typer.Argument(metavar="DIR|URI/VERSION", help="A directory, or a version: s3://bucket/prefix/2.")
    ],
    output: Output = OutputFormat.TABLE,
    endpoint: Endpoint = None,
    region: Region = None,
    addressing_style: Addressing = AddressingStyle.AUTO,
    ca_file: CAFile = None,
    insecure_skip_tls_verify: SkipTLSVerify = False,
) -> None:
    """Read every byte of a version and compare it with the manifest.

    A directory without manifest.json is checked as `publish` would check it.
    """
    storage = storage_options(endpoint, region, addressing_style, ca_file, insecure_skip_tls_verify)
    with explained_failures(), progress_bar() as progress:
        found = verified(target, storage, progress)
    show_verified(found, target, output)


def verified(target: str, storage: StorageOptions, progress: OnProgress) -> VerifiedVersion:
    """What the target holds, checked; raises RepositoryError."""
    if "://" not in target:
        return verify_directory(Path(target), progress=progress)
    uri, _, version = target.rstrip("/").rpartition("/")
    return asyncio.run(verify_version(uri, version, storage, progress))


def show_verified(found: VerifiedVersion, target: str, output: OutputFormat) -> None:
    """Write what was verified to standard output."""
    if output is not OutputFormat.TABLE:
        document: dict[str, object] = {
            "target": target,
            "digest": found.digest,
            "files": found.files,
            "totalBytes": found.total_bytes,
            "metadata": found.metadata,
            "fetchedOnly": found.fetched_only,
        }
        show_document(document, output)
        return
    digest = found.digest or "none yet; it can be published"
    size = f"{found.files}, {readable_bytes(found.total_bytes)}"
    show_facts({"verified": target, "digest": digest, "files": size})
    if found.fetched_only:
        remarks.print("The files are what was fetched. They were never published, so nobody vouches for them.")
