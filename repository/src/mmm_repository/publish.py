"""Make a directory a version of the repository.

Check, hash, send (`upload`), confirm, seal: the manifest goes up last and must not exist yet, so a version appears in
one moment, whole, and never changes.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from mmm_repository.directory import LocalModel, check_model, entry_of, scan
from mmm_repository.errors import RepositoryError, VersionExists
from mmm_repository.leftovers import ANSWER_SECONDS
from mmm_repository.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    FileEntry,
    Manifest,
    build_manifest,
    digest_of,
    parse_manifest,
)
from mmm_repository.progress import OnProgress, Phase, ProgressMeter, ignore_progress
from mmm_repository.resolve import read_manifest, read_manifest_if_any
from mmm_repository.resume import cut_uploads
from mmm_repository.storage import Address, StorageOptions, check_version, parse_uri
from mmm_repository.store import ObjectAlreadyThere, Store, open_store
from mmm_repository.threads import in_thread, run_all
from mmm_repository.upload import Upload, confirm, send_files

PARALLEL_HASHES = 2


@dataclass(frozen=True)
class PublishedVersion:
    """What was published, or with a dry run would be."""

    version: str
    digest: str
    manifest: Manifest
    sent_bytes: int
    skipped: tuple[str, ...]
    copied_bytes: int = 0


async def publish(  # noqa: PLR0913  each is a choice of whoever publishes
    directory: Path,
    uri: str,
    version: str,
    storage: StorageOptions,
    metadata: Mapping[str, JsonValue] | None = None,
    progress: OnProgress = ignore_progress,
    *,
    from_version: str | None = None,
) -> PublishedVersion:
    """The new version, once it is whole in the store. Run again after a kill: what is there is not sent again.

    Files that `from_version` has too are copied within the store. Raises VersionExists rather than change a version,
    and UnsafeArtifact before anything is sent.
    """
    model, manifest = await prepare(directory, version, metadata or {}, progress)
    address = parse_uri(uri)
    store = open_store(address, patient(storage), create=True)
    await check_is_new(store, address, version, manifest)
    elsewhere = await keys_by_hash(store, address, from_version) if from_version else {}
    prefix = address.version_key(version)
    cut = await cut_uploads(address, storage, prefix)
    upload = Upload(model.root, store, prefix, manifest, elsewhere, cut)
    stored = await send_files(upload, progress)
    await confirm(upload, stored.tags)
    await seal(upload, address, version)
    # Another publisher of the same version may have been sending while this one sealed; better told now than on
    # the day of a rollout. Nothing wrong would be served: the digest is compared on every fetch.
    await confirm(upload, stored.tags)
    await cut.clear()
    return PublishedVersion(
        version, manifest.digest, manifest, stored.sent_bytes, model.skipped, copied_bytes=stored.copied_bytes
    )


async def rehearse(  # noqa: PLR0913  as publish
    directory: Path,
    uri: str,
    version: str,
    storage: StorageOptions,
    metadata: Mapping[str, JsonValue] | None = None,
    progress: OnProgress = ignore_progress,
    *,
    from_version: str | None = None,
) -> PublishedVersion:
    """What `publish` would publish, after the same checks, with nothing written anywhere."""
    model, manifest = await prepare(directory, version, metadata or {}, progress)
    address = parse_uri(uri)
    copied = 0
    if address.directory is None or address.directory.is_dir() or from_version:
        store = open_store(address, storage)
        await check_is_new(store, address, version, manifest)
        elsewhere = await keys_by_hash(store, address, from_version) if from_version else {}
        copied = sum(entry.size for entry in manifest.files if entry.sha256 in elsewhere)
    return PublishedVersion(version, manifest.digest, manifest, 0, model.skipped, copied_bytes=copied)


async def keys_by_hash(store: Store, address: Address, version: str) -> dict[str, str]:
    """Where the contents of a published version lie in the store, by their hashes."""
    check_version(version)
    earlier = parse_manifest(await read_manifest(store, address, version))
    return {entry.sha256: f"{address.version_key(version)}/{entry.path}" for entry in earlier.files}


def patient(storage: StorageOptions) -> StorageOptions:
    """The options, with as much time for an answer as sending a part may take."""
    seconds = max(storage.read_timeout_seconds, ANSWER_SECONDS)
    return storage.model_copy(update={"read_timeout_seconds": seconds})


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
