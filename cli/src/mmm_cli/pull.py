"""`mmm pull`: a version becomes a directory."""

import asyncio
import shutil
from pathlib import Path
from typing import Annotated

import typer

from mmm_cli.bar import progress_bar
from mmm_cli.failures import explained_failures
from mmm_cli.output import Output, OutputFormat, readable_bytes, remarks, show_document, show_facts
from mmm_cli.storage import Addressing, CAFile, Endpoint, Region, SkipTLSVerify, storage_options
from mmm_repository import (
    AddressingStyle,
    DigestMismatch,
    FetchOptions,
    InvalidDirectory,
    OnProgress,
    RepositoryError,
    ResolvedVersion,
    StorageOptions,
    fetch,
    resolve_unverified,
    verify_directory,
)


def pull_command(  # noqa: PLR0913  the options of a command are its arguments
    source: Annotated[str, typer.Argument(metavar="URI/VERSION", help="The version: s3://bucket/prefix/2.")],
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Where to put it. Default: PREFIX-VERSION, here.")
    ] = None,
    digest: Annotated[
        str | None, typer.Option("--digest", metavar="sha256:…", help="Take these exact bytes, or nothing.")
    ] = None,
    output: Output = OutputFormat.TABLE,
    endpoint: Endpoint = None,
    region: Region = None,
    addressing_style: Addressing = AddressingStyle.AUTO,
    ca_file: CAFile = None,
    insecure_skip_tls_verify: SkipTLSVerify = False,
) -> None:
    """Bring a version to this machine, verified: DIR appears once it is whole, and never before.

    Run it again after an interruption: what has arrived is kept beside DIR and not fetched twice.
    """
    storage = storage_options(endpoint, region, addressing_style, ca_file, insecure_skip_tls_verify)
    target = directory or default_directory(source)
    with explained_failures(), progress_bar() as progress:
        version = pull(source, target, storage, digest, progress)
    if not version.verified:
        remarks.print(f"{source} has no manifest.json: it is unverified, as nobody says what it should hold.")
    show_pulled(version, target, output)


def default_directory(source: str) -> Path:
    """The directory for a version that is not told where to go: clip-2 for s3://models/clip/2."""
    parts = [part for part in source.rpartition("://")[2].split("/") if part]
    return Path("-".join(parts[-2:]))


def pull(
    source: str, target: Path, storage: StorageOptions, digest: str | None, progress: OnProgress
) -> ResolvedVersion:
    """The version that now lies in the target directory; raises RepositoryError."""
    uri, _, name = source.rstrip("/").rpartition("/")
    version = asyncio.run(resolve_unverified(uri, name, storage))
    if digest is not None and digest != version.digest:
        raise DigestMismatch(f"{source} holds {version.digest}, wanted is {digest}. Correct one of them.")
    if is_there(target, version.digest, progress):
        return version
    staging = target.absolute().with_name(f".{target.absolute().name}.pull")
    options = FetchOptions(progress=progress)
    found = asyncio.run(fetch(uri, name, version.digest, staging, storage, options))
    (found / ".complete").unlink(missing_ok=True)
    found.rename(target)
    shutil.rmtree(staging, ignore_errors=True)
    return version


def is_there(target: Path, digest: str, progress: OnProgress) -> bool:
    """Whether the version lies in the directory already, whole; raises InvalidDirectory where something else does."""
    if not target.exists():
        return False
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
        return False
    try:
        verify_directory(target, digest, progress)
    except RepositoryError as error:
        raise InvalidDirectory(
            f"{target} is there already, and is not this version: {error.message} Remove it, or name another directory."
        ) from None
    return True


def show_pulled(version: ResolvedVersion, target: Path, output: OutputFormat) -> None:
    """Write what was pulled to standard output."""
    if output is not OutputFormat.TABLE:
        document: dict[str, object] = {
            "directory": str(target),
            "version": version.version,
            "digest": version.digest,
            "files": len(version.files),
            "totalBytes": version.total_bytes,
            "metadata": dict(version.metadata),
            "verified": version.verified,
        }
        show_document(document, output)
        return
    size = f"{len(version.files)}, {readable_bytes(version.total_bytes)}"
    show_facts({"pulled": str(target), "digest": version.digest, "files": size})
