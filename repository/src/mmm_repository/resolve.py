"""Which exact bytes a version means, and which versions there are. Reads only; nothing is downloaded but manifests.

The manifest is read by its exact key, so a sibling whose name begins alike (v1, v10) can never be meant. Listings,
always of `prefix + "/"`, only serve to say what is wrong when there is no manifest.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from mmm_repository.errors import (
    AccessDenied,
    IncompleteUpload,
    InvalidManifest,
    ModelNotFound,
    UnsafeArtifact,
    VersionNotFound,
)
from mmm_repository.listing import ListedFile
from mmm_repository.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, FileEntry, digest_of, parse_manifest
from mmm_repository.order import sorted_versions
from mmm_repository.storage import VERSION, Address, StorageOptions, check_version, parse_uri
from mmm_repository.store import ObjectMissing, Store, open_store
from mmm_repository.unverified import failure, judge, list_plain

PARALLEL_READS = 16
MAX_NAMED_VERSIONS = 10


@dataclass(frozen=True)
class ResolvedVersion:
    """A version that is whole, pinned by the digest of its manifest; of its listing where it has none.

    Then `verified` is False, and nobody knows the hashes of its files.
    """

    version: str
    digest: str
    total_bytes: int
    files: tuple[FileEntry | ListedFile, ...]
    metadata: Mapping[str, JsonValue]
    verified: bool = True


@dataclass(frozen=True)
class VersionEntry:
    """A directory of the repository. `digest` is None while the upload is incomplete.

    `verified` is False for one that looks whole and has no manifest; `digest` then is its listing's.
    """

    version: str
    complete: bool
    digest: str | None
    verified: bool = True


async def resolve(uri: str, version: str, storage: StorageOptions) -> ResolvedVersion:
    """What `<uri>/<version>` holds, at the cost of one GET. Safe to cancel; raises RepositoryError only."""
    check_version(version)
    address = parse_uri(uri)
    content = await read_manifest(open_store(address, storage), address, version)
    manifest = parse_manifest(content)
    return ResolvedVersion(
        version=version,
        digest=digest_of(content),
        total_bytes=manifest.total_bytes,
        files=manifest.files,
        metadata=manifest.metadata,
    )


async def resolve_unverified(uri: str, version: str, storage: StorageOptions) -> ResolvedVersion:
    """The same; a version without a manifest too, where no version has one and it looks whole now."""
    try:
        return await resolve(uri, version, storage)
    except IncompleteUpload:
        address = parse_uri(uri)
        store = open_store(address, storage)
        listing = (await list_plain(store, address)).get(version)
        if listing is None:
            raise
    error = failure(await judge(store, address, version, listing))
    if error is not None:
        raise error
    return ResolvedVersion(version, listing.digest, listing.total_bytes, listing.files, {}, verified=False)


async def list_versions(uri: str, storage: StorageOptions, *, newest: int | None = None) -> list[VersionEntry]:
    """The versions from oldest to newest, incomplete ones included; only the `newest` so many when given."""
    address = parse_uri(uri)
    store = open_store(address, storage)
    names = await version_names(store, address)
    if not names:
        raise ModelNotFound(f"Nothing lies under {address}. Publish a version, or correct the uri.")
    wanted = names if newest is None else names[-newest:]
    slots = asyncio.Semaphore(PARALLEL_READS)
    entries = list(await asyncio.gather(*(describe(store, address, name, slots) for name in wanted)))
    return entries if any(entry.complete for entry in entries) else await described_plain(store, address, entries)


async def described_plain(store: Store, address: Address, entries: list[VersionEntry]) -> list[VersionEntry]:
    """The entries, those that look whole without a manifest as such."""
    try:
        listings = await list_plain(store, address)
    except (InvalidManifest, UnsafeArtifact):
        return entries
    plain = [await judge(store, address, e.version, listings[e.version]) for e in entries if e.version in listings]
    whole = {p.version: VersionEntry(p.version, True, p.digest, verified=False) for p in plain if not p.trouble}
    return [whole.get(entry.version, entry) for entry in entries]


async def describe(store: Store, address: Address, version: str, slots: asyncio.Semaphore) -> VersionEntry:
    """The entry of one directory that a listing showed."""
    async with slots:
        try:
            content = await read_manifest_if_any(store, address, version)
        except InvalidManifest:
            content = None
    digest = None if content is None else digest_of(content)
    return VersionEntry(version=version, complete=digest is not None, digest=digest)


async def read_manifest(store: Store, address: Address, version: str) -> bytes:
    """The bytes of a version's manifest; where there is none, raises the error that says why."""
    content = await read_manifest_if_any(store, address, version)
    if content is None:
        raise await why_missing(store, address, version)
    return content


async def read_manifest_if_any(store: Store, address: Address, version: str) -> bytes | None:
    """The bytes of a version's manifest, None where there is none."""
    try:
        content = await store.read(f"{address.version_key(version)}/{MANIFEST_NAME}", MAX_MANIFEST_BYTES)
    except ObjectMissing:
        return None
    if content is None:
        raise InvalidManifest(f"manifest.json of version {version} is larger than {MAX_MANIFEST_BYTES} bytes.")
    return content


async def why_missing(
    store: Store, address: Address, version: str
) -> IncompleteUpload | ModelNotFound | VersionNotFound:
    """The error for a version without manifest, told apart by listings."""
    subject = f"The {address.container} has no version {address.version_key(version)}"
    try:
        if await store.has_objects(address.version_key(version)):
            return IncompleteUpload(
                f"Version {version} under {address} is incomplete: it has files, but no manifest.json yet. "
                "Wait for the upload to end, or run it again."
            )
        names = await version_names(store, address)
    except AccessDenied:
        return VersionNotFound(f"{subject}; which ones it has cannot be told without permission to list.")
    if not names:
        return ModelNotFound(f"Nothing lies under {address}. Publish a version, or correct the uri.")
    return VersionNotFound(f"{subject}; versions found: {enumerated(names)}.")


async def version_names(store: Store, address: Address) -> list[str]:
    """The names of all directories that can be versions, from oldest to newest."""
    try:
        names = await store.children(address.prefix)
    except ObjectMissing:
        # Some stores, and directories, answer a listing of nothing so.
        return []
    return sorted_versions(name for name in names if VERSION.fullmatch(name))


def enumerated(names: list[str]) -> str:
    """The newest names as words, in order."""
    shown = ", ".join(names[-MAX_NAMED_VERSIONS:])
    return shown if len(names) <= MAX_NAMED_VERSIONS else f"… {shown}"
