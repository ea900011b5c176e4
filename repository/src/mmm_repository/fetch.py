"""Bring a version to this machine: whole, verified and under its digest's name, or not at all.

What lies at `<root>/<hex>/` has every byte that the manifest names: files are hashed while they are written into
`.partial-<hex>/`, put on disk, and only then does one rename give the directory its name. `.complete` comes after
that; a directory without it is hashed again before it is believed. So a kill at any byte leaves nothing that looks
complete. One fetcher at a time works on a digest; the others wait for it, then find the work done.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mmm_repository.artifacts import check_file, check_name
from mmm_repository.directory import hash_file
from mmm_repository.download import Transfer, download
from mmm_repository.errors import DigestMismatch, InvalidAddress, ModelTooLarge, NoSpace, RepositoryError
from mmm_repository.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest, check_digest, parse_manifest
from mmm_repository.parts import Source
from mmm_repository.progress import OnProgress, Phase, Progress, ProgressMeter, ignore_progress
from mmm_repository.resolve import read_manifest
from mmm_repository.storage import StorageOptions, check_version, parse_uri
from mmm_repository.store import open_store
from mmm_repository.threads import in_thread
from mmm_repository.volume import (
    COMPLETE_NAME,
    DIRECTORY_MODE,
    free_bytes,
    remove,
    sweep,
    sync_directory,
    sync_tree,
    try_lock,
    volume_errors,
    write_durably,
)

DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
LOCK_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class FetchOptions:
    """Limits of a fetch, and who wants to hear of it. At most `part_bytes * parallel_parts` are held in memory."""

    max_bytes: int = 0  # 0: no limit but the disk
    part_bytes: int = 8 * 2**20
    parallel_parts: int = 8
    attempts: int = 4  # to read a part, on top of what the client itself tries
    rehash_existing: bool = False
    progress: OnProgress = ignore_progress


@dataclass(frozen=True)
class Slot:
    """Where a digest lives under a root, and what to call it on the way there."""

    root: Path
    hex: str

    @property
    def final(self) -> Path:
        """The directory that holds the version, once it is whole."""
        return self.root / self.hex

    @property
    def partial(self) -> Path:
        """The directory that holds what has arrived so far."""
        return self.root / f".partial-{self.hex}"

    @property
    def lock(self) -> Path:
        """The file that is locked while somebody works on the digest."""
        return self.root / f".lock-{self.hex}"


async def fetch(
    uri: str,
    version: str,
    expected_digest: str,
    root: Path,
    storage: StorageOptions,
    options: FetchOptions = FetchOptions(),
) -> Path:
    """The directory `<root>/<hex of digest>/` with the version's files and manifest.json, verified.

    A directory that is there already is checked (sizes, hashes with `rehash_existing`) and reused without a request.
    Safe to cancel and to kill; run again, it goes on where it was. Raises RepositoryError only.
    """
    check_version(version)
    slot = slot_of(root, expected_digest)
    with volume_errors(root):
        await in_thread(make_root, root)
        if await in_thread(is_marked_whole, slot, rehash=options.rehash_existing):
            return slot.final
        async with locked(slot, options.progress):
            if not await in_thread(is_whole, slot, rehash=options.rehash_existing):
                await in_thread(clear, slot)
                await bring(uri, version, slot, storage, options)
    return slot.final


def make_root(root: Path) -> None:
    """Make the model root, if it is missing."""
    root.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)


def clear(slot: Slot) -> None:
    """Take away a directory that is not whole, and what an interrupted removal left."""
    remove(slot.final)
    sweep(slot.root)


def slot_of(root: Path, digest: str) -> Slot:
    """The slot of a digest; raises InvalidAddress where it is none."""
    match = DIGEST.fullmatch(digest)
    if match is None:
        raise InvalidAddress("The digest of a version is written sha256: and 64 hexadecimal digits.")
    return Slot(root, match[1])


async def bring(uri: str, version: str, slot: Slot, storage: StorageOptions, options: FetchOptions) -> None:
    """Fill the slot from the store. What has arrived is kept for the next try where there is to be one."""
    address = parse_uri(uri)
    store = open_store(address, storage)
    content = await read_manifest(store, address, version)
    check_digest(content, f"sha256:{slot.hex}")
    manifest = parse_manifest(content)
    for entry in manifest.files:
        check_name(entry.path)
    await in_thread(check_room, slot, manifest, options)
    source = Source(
        store,
        prefix=address.version_key(version),
        part_bytes=options.part_bytes,
        parallel_parts=options.parallel_parts,
        attempts=options.attempts,
    )
    meter = ProgressMeter(options.progress, Phase.DOWNLOAD, manifest.total_bytes)
    transfer = Transfer(source, slot.partial, meter)
    try:
        await receive(transfer, slot, manifest, content)
    except RepositoryError as error:
        if not error.retryable:
            await in_thread(remove, slot.partial)
        raise


async def receive(transfer: Transfer, slot: Slot, manifest: Manifest, content: bytes) -> None:
    """Download, check and put the files in place."""
    with volume_errors(slot.root):
        slot.partial.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        # Small files first: a config that is refused is refused before the weights are fetched.
        by_size = sorted(manifest.files, key=lambda entry: (entry.size, entry.path))
        await download(transfer, by_size, lambda path: check_file(slot.partial, path))
        await in_thread(put_in_place, slot, manifest, content)


def put_in_place(slot: Slot, manifest: Manifest, content: bytes) -> None:
    """Give the partial directory its final name. From the rename on the version is there."""
    drop_strangers(slot.partial, {entry.path for entry in manifest.files})
    write_durably(slot.partial / MANIFEST_NAME, content)
    sync_tree(slot.partial)
    slot.partial.rename(slot.final)
    sync_directory(slot.root)
    write_durably(slot.final / COMPLETE_NAME, slot.hex.encode())


def drop_strangers(directory: Path, known: set[str]) -> None:
    """Remove files that the manifest does not name, such as those of another attempt."""
    for parent, _, names in os.walk(directory):
        for name in names:
            location = Path(parent) / name
            if location.relative_to(directory).as_posix() not in known:
                location.unlink()


def is_marked_whole(slot: Slot, *, rehash: bool) -> bool:
    """Whether the version is there, marked complete and of the right sizes (and hashes). Writes nothing."""
    if not (slot.final / COMPLETE_NAME).is_file():
        return False
    manifest = stored_manifest(slot)
    return manifest is not None and has_files(slot.final, manifest, rehash=rehash)


def is_whole(slot: Slot, *, rehash: bool) -> bool:
    """Whether the version is there; one without its mark is hashed and gets it. Only to be asked under the lock."""
    if is_marked_whole(slot, rehash=rehash):
        return True
    manifest = stored_manifest(slot)
    if manifest is None or not has_files(slot.final, manifest, rehash=True):
        return False
    write_durably(slot.final / COMPLETE_NAME, slot.hex.encode())
    return True


def stored_manifest(slot: Slot) -> Manifest | None:
    """The manifest in the slot's directory, None where there is none of this digest."""
    try:
        with (slot.final / MANIFEST_NAME).open("rb") as file:
            content = file.read(MAX_MANIFEST_BYTES + 1)
        check_digest(content, f"sha256:{slot.hex}")
        return parse_manifest(content)
    except (FileNotFoundError, NotADirectoryError, DigestMismatch):
        return None


def has_files(directory: Path, manifest: Manifest, *, rehash: bool) -> bool:
    """Whether the directory holds every file of the manifest."""
    for entry in manifest.files:
        location = directory / entry.path
        if location.is_symlink() or not location.is_file() or location.stat().st_size != entry.size:
            return False
        if rehash and hash_file(location, lambda _: None) != entry.sha256:
            return False
    return True


def check_room(slot: Slot, manifest: Manifest, options: FetchOptions) -> None:
    """Raise ModelTooLarge or NoSpace before a byte is fetched."""
    total = manifest.total_bytes
    if options.max_bytes and total > options.max_bytes:
        raise ModelTooLarge(
            f"The model has {readable(total)}, the limit is {readable(options.max_bytes)}. "
            "Raise the cache's size limit."
        )
    there = sum(path.lstat().st_size for path in slot.partial.rglob("*") if path.is_file())
    free = free_bytes(slot.root)
    if total - there > free:
        raise NoSpace(
            f"The model needs {readable(total - there)} more on the volume at {slot.root}, {readable(free)} are free. "
            "Give it more space, or remove versions that are not needed."
        )


def readable(count: int) -> str:
    """A number of bytes as people write it."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


@asynccontextmanager
async def locked(slot: Slot, progress: OnProgress) -> AsyncIterator[None]:
    """Hold the slot's lock, after waiting for whoever has it. A holder that dies lets go of it."""
    # Not in a thread: cancelled there, a lock just taken would be held by nobody.
    descriptor = try_lock(slot.lock)
    if descriptor is None:
        progress(Progress(phase=Phase.WAIT))
    while descriptor is None:
        await asyncio.sleep(LOCK_POLL_SECONDS)
        descriptor = try_lock(slot.lock)
    try:
        yield
    finally:
        os.close(descriptor)
