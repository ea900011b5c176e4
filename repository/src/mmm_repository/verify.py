"""Whether a version holds what its manifest says, every byte hashed: in a directory, or in the store."""

import hashlib
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from mmm_repository.artifacts import check_file, check_name
from mmm_repository.directory import check_model, hash_file, scan
from mmm_repository.errors import DigestMismatch, IncompleteUpload, NothingToVerify, RepositoryError
from mmm_repository.listing import check_identity, identity_of, kept_listing
from mmm_repository.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, FileEntry, Manifest, parse_manifest
from mmm_repository.parts import Source, contents
from mmm_repository.paths import shown
from mmm_repository.progress import OnProgress, Phase, ProgressMeter, ignore_progress
from mmm_repository.resolve import read_manifest_if_any, why_missing
from mmm_repository.storage import Address, StorageOptions, check_version, parse_uri
from mmm_repository.store import Store, open_store
from mmm_repository.threads import in_thread
from mmm_repository.unverified import plain_version


@dataclass(frozen=True)
class VerifiedVersion:
    """What was found to be right. `digest` is None for a directory that is not published yet.

    `fetched_only` is set where nobody ever said what is right: the files are still what a fetch without a manifest got.
    """

    digest: str | None
    files: int
    total_bytes: int
    metadata: dict[str, object]
    fetched_only: bool = False


def verify_directory(
    directory: Path, expected_digest: str | None = None, progress: OnProgress = ignore_progress
) -> VerifiedVersion:
    """What a local directory holds, after every check and with every file hashed. Blocks.

    Without a manifest it is checked as `publish` would check it.
    """
    content = stored_manifest_bytes(directory)
    if content is None and expected_digest is None:
        model = scan(directory)
        check_model(model)
        return VerifiedVersion(None, len(model.files), model.total_bytes, {})
    if content is None:
        raise DigestMismatch(f"{directory} holds no manifest.json, so it cannot be {expected_digest}.")
    manifest = parse_manifest(content) if expected_digest is None else check_identity(content, expected_digest)
    meter = ProgressMeter(progress, Phase.VERIFY, manifest.total_bytes)
    for entry in manifest.files:
        verify_file(directory, entry, meter.add)
    return verified(content, manifest)


async def verify_version(
    uri: str, version: str, storage: StorageOptions, progress: OnProgress = ignore_progress
) -> VerifiedVersion:
    """What a version in the store holds, with every object read and hashed; nothing is written to disk."""
    check_version(version)
    address = parse_uri(uri)
    store = open_store(address, storage)
    content = await read_manifest_if_any(store, address, version)
    if content is None:
        raise await why_nothing(store, address, version)
    manifest = parse_manifest(content)
    meter = ProgressMeter(progress, Phase.VERIFY, manifest.total_bytes)
    source = Source(store, address.version_key(version))
    for entry in manifest.files:
        check_name(entry.path)
        await verify_object(source, entry, meter.add)
    return verified(content, manifest)


async def why_nothing(store: Store, address: Address, version: str) -> RepositoryError:
    """The error for a version that cannot be verified, as it has no manifest."""
    error = await why_missing(store, address, version)
    plain = await plain_version(store, address, version) if isinstance(error, IncompleteUpload) else None
    if plain is None or plain.trouble:
        return error
    return NothingToVerify(
        f"Version {version} under {address} has no manifest.json, so there is nothing to verify it against: it is "
        f"served unverified, as {plain.digest}. Publish its files with `mmm publish` to have that."
    )


def stored_manifest_bytes(directory: Path) -> bytes | None:
    """The bytes of a directory's manifest, None without one."""
    try:
        with (directory / MANIFEST_NAME).open("rb") as file:
            return file.read(MAX_MANIFEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None


def verify_file(directory: Path, entry: FileEntry, count: Callable[[int], None]) -> None:
    """Raise unless the file is the manifest's, and one that may be loaded."""
    location = directory / entry.path
    if not location.is_file():
        raise DigestMismatch(f"The file {shown(entry.path)} is missing.")
    if hash_file(location, count) != entry.sha256:
        raise DigestMismatch(f"The bytes of {shown(entry.path)} are not those that the manifest names.")
    check_file(directory, entry.path)


async def verify_object(source: Source, entry: FileEntry, count: Callable[[int], None]) -> None:
    """Raise DigestMismatch unless the object is the manifest's."""
    hasher = hashlib.sha256()
    async with aclosing(contents(source, entry)) as parts:
        async for part in parts:
            await in_thread(hasher.update, part)
            count(len(part))
    if hasher.hexdigest() != entry.sha256:
        raise DigestMismatch(f"The bytes of {shown(entry.path)} in the store are not those that the manifest names.")


def verified(content: bytes, manifest: Manifest) -> VerifiedVersion:
    """The report on a version that is right."""
    return VerifiedVersion(
        digest=identity_of(content),
        files=len(manifest.files),
        total_bytes=manifest.total_bytes,
        metadata=dict(manifest.metadata),
        fetched_only=kept_listing(manifest) is not None,
    )
