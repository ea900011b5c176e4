"""Make a directory a version of the repository.

The manifest goes up last and must not exist yet, so a version appears in one moment, whole, and never changes. Each
object records its own hash; a publish that was killed finds by it what need not be sent again.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from mmm_repository.directory import LocalModel, changed, check_model, entry_of, scan
from mmm_repository.errors import EndpointUnreachable, RepositoryError, VersionExists
from mmm_repository.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    FileEntry,
    Manifest,
    build_manifest,
    digest_of,
    parse_manifest,
)
from mmm_repository.parts import Source, contents
from mmm_repository.progress import OnProgress, Phase, ProgressMeter, ignore_progress
from mmm_repository.resolve import read_manifest_if_any
from mmm_repository.storage import Address, StorageOptions, check_version, parse_uri
from mmm_repository.store import ObjectAlreadyThere, ObjectMissing, Store, open_store
from mmm_repository.threads import in_thread, run_all

PARALLEL_FILES = 4
PARALLEL_HASHES = 2
PART_BYTES = 8 * 2**20
# S3 allows 10,000 parts to an object; larger files get larger parts.
MAX_PARTS = 9_000


@dataclass(frozen=True)
class PublishedVersion:
    """What was published, or with a dry run would be."""

    version: str
    digest: str
    manifest: Manifest
    sent_bytes: int
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Upload:
    """Everything that sending one version's files needs."""

    root: Path
    store: Store
    prefix: str
    manifest: Manifest

    def key(self, path: str) -> str:
        """Where a file of the version lies."""
        return f"{self.prefix}/{path}"


async def publish(
    directory: Path,
    uri: str,
    version: str,
    storage: StorageOptions,
    metadata: Mapping[str, JsonValue] | None = None,
    progress: OnProgress = ignore_progress,
) -> PublishedVersion:
    """The new version, once it is whole in the store. Run again after a kill: what is there is not sent again.

    Raises VersionExists rather than change a version, and UnsafeArtifact before anything is sent.
    """
    model, manifest = await prepare(directory, version, metadata or {}, progress)
    address = parse_uri(uri)
    store = open_store(address, storage, create=True)
    await check_is_new(store, address, version, manifest)
    upload = Upload(model.root, store, address.version_key(version), manifest)
    sent = await send_files(upload, progress)
    await confirm(upload)
    await seal(upload, address, version)
    # Another publisher of the same version may have been sending while this one sealed; better told now than on
    # the day of a rollout. Nothing wrong would be served: the digest is compared on every fetch.
    await confirm(upload)
    return PublishedVersion(version, manifest.digest, manifest, sent, model.skipped)


async def rehearse(
    directory: Path,
    uri: str,
    version: str,
    storage: StorageOptions,
    metadata: Mapping[str, JsonValue] | None = None,
    progress: OnProgress = ignore_progress,
) -> PublishedVersion:
    """What `publish` would publish, after the same checks, with nothing written anywhere."""
    model, manifest = await prepare(directory, version, metadata or {}, progress)
    address = parse_uri(uri)
    if address.directory is None or address.directory.is_dir():
        await check_is_new(open_store(address, storage), address, version, manifest)
    return PublishedVersion(version, manifest.digest, manifest, 0, model.skipped)


async def prepare(
    directory: Path, version: str, metadata: Mapping[str, JsonValue], progress: OnProgress
) -> tuple[LocalModel, Manifest]:
    """The checked directory and its manifest."""
    check_version(version)
    model = await in_thread(scan, directory)
    await in_thread(check_model, model)
    entries = await hash_files(model, progress)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return model, build_manifest(entries, {"created": created, **metadata})


async def hash_files(model: LocalModel, progress: OnProgress) -> list[FileEntry]:
    """The manifest entries of all files."""
    meter = ProgressMeter(progress, Phase.HASH, model.total_bytes)
    loop = asyncio.get_running_loop()
    slots = asyncio.Semaphore(PARALLEL_HASHES)
    entries: list[FileEntry] = []

    def count(length: int) -> None:
        loop.call_soon_threadsafe(meter.add, length)

    async def hash_one(index: int) -> None:
        async with slots:
            entries.append(await in_thread(entry_of, model.root, model.files[index], count))

    await run_all(hash_one(index) for index in range(len(model.files)))
    return entries


async def check_is_new(store: Store, address: Address, version: str, manifest: Manifest) -> None:
    """Raise VersionExists where the version is published, and say whether with the same files."""
    content = await read_manifest_if_any(store, address, version)
    if content is not None:
        raise exists(address, version, content, manifest)


def exists(address: Address, version: str, content: bytes, manifest: Manifest) -> VersionExists:
    """The error for a version that is published already."""
    try:
        same = parse_manifest(content).files == manifest.files
    except RepositoryError:
        same = False
    if same:
        return VersionExists(
            f"Version {version} under {address} exists already, with exactly these files (digest {digest_of(content)})."
        )
    return VersionExists(
        f"Version {version} under {address} exists already, with other files. Versions are immutable: "
        "publish under another name."
    )


async def send_files(upload: Upload, progress: OnProgress) -> int:
    """How many bytes were sent, once every file is in the store."""
    meter = ProgressMeter(progress, Phase.UPLOAD, upload.manifest.total_bytes)
    slots = asyncio.Semaphore(PARALLEL_FILES)
    sent = 0

    async def send_one(entry: FileEntry) -> None:
        nonlocal sent
        async with slots:
            if await is_there(upload, entry):
                meter.add(entry.size, reused=True)
                return
            await send(upload, entry, meter.add)
            sent += entry.size

    await run_all(send_one(entry) for entry in upload.manifest.files)
    return sent


async def is_there(upload: Upload, entry: FileEntry) -> bool:
    """Whether the store holds exactly this file: of the same length, and recorded with the same hash."""
    try:
        stat = await upload.store.stat(upload.key(entry.path))
    except ObjectMissing:
        return False
    if stat.size != entry.size:
        return False
    if upload.store.is_local:
        return await hash_object(upload, entry) == entry.sha256
    return stat.sha256 == entry.sha256


async def hash_object(upload: Upload, entry: FileEntry) -> str:
    """The hash of an object in a store that records none, by reading it."""
    hasher = hashlib.sha256()
    async with aclosing(contents(Source(upload.store, upload.prefix), entry)) as parts:
        async for part in parts:
            await in_thread(hasher.update, part)
    return hasher.hexdigest()


async def send(upload: Upload, entry: FileEntry, count: Callable[[int], None]) -> None:
    """Store one file; raises InvalidDirectory, and stores nothing, where it is not what was hashed."""
    location = upload.root / entry.path
    if entry.size <= PART_BYTES:
        content = await in_thread(location.read_bytes)
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise changed(entry.path)
        await upload.store.write(upload.key(entry.path), content, entry.sha256)
        count(entry.size)
        return
    part_bytes = max(PART_BYTES, -(-entry.size // MAX_PARTS))
    parts = FileParts(location, entry, part_bytes, count)
    await parts.send_to(upload)


class FileParts:
    """A large file, read part by part while it is sent, and hashed again on the way."""

    def __init__(self, location: Path, entry: FileEntry, part_bytes: int, count: Callable[[int], None]) -> None:
        self._location = location
        self._entry = entry
        self._part_bytes = part_bytes
        self._count = count
        self._failure: Exception | None = None

    async def send_to(self, upload: Upload) -> None:
        """Store the file."""
        try:
            await upload.store.write_stream(
                upload.key(self._entry.path), self._parts(), self._entry.sha256, self._part_bytes
            )
        except (RepositoryError, ObjectMissing):
            # The store's client reports a failing source in its own words.
            if self._failure is not None:
                raise self._failure from None
            raise

    async def _parts(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._checked_parts():
                yield part
                self._count(len(part))
        except (RepositoryError, OSError) as error:
            self._failure = error
            raise

    async def _checked_parts(self) -> AsyncIterator[bytes]:
        hasher = hashlib.sha256()
        with self._location.open("rb", buffering=0) as file:
            while part := await in_thread(file.read, self._part_bytes):
                await in_thread(hasher.update, part)
                # The last part is held back until the hash is known to fit: an upload without it never completes.
                if file.tell() >= self._entry.size and hasher.hexdigest() != self._entry.sha256:
                    raise changed(self._entry.path)
                yield part
            if file.tell() != self._entry.size:
                raise changed(self._entry.path)


async def confirm(upload: Upload) -> None:
    """Raise unless every file is in the store as the manifest says: somebody may publish the same version now."""
    slots = asyncio.Semaphore(PARALLEL_FILES)

    async def confirm_one(entry: FileEntry) -> None:
        async with slots:
            if not await is_there(upload, entry):
                raise EndpointUnreachable(
                    f"The file {entry.path} is not in the store as it was sent: somebody else is publishing "
                    "this version, or the store loses what it accepts. Publish again."
                )

    # Directories record no hashes; reading everything again would prove little that the writes did not.
    if not upload.store.is_local:
        await run_all(confirm_one(entry) for entry in upload.manifest.files)


async def seal(upload: Upload, address: Address, version: str) -> None:
    """Write the manifest: from now on the version exists. Raises VersionExists where another publisher was first."""
    content = upload.manifest.canonical_bytes()
    key = upload.key(MANIFEST_NAME)
    try:
        await upload.store.create(key, content)
    except ObjectAlreadyThere:
        # Our own first attempt may have arrived while its answer was lost.
        found = await upload.store.read(key, MAX_MANIFEST_BYTES)
        if found != content:
            raise exists(address, version, found or b"", upload.manifest) from None
