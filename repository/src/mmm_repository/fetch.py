"""Bring a version to this machine: whole, verified and under its digest's name, or not at all.

What lies at `<root>/<hex>/` has every byte that the manifest names: files are hashed while they are written into
`.partial-<hex>/`, put on disk, and only then does one rename give the directory its name. `.complete` comes after
that; a directory without it is hashed again before it is believed. So a kill at any byte leaves nothing that looks
complete. One fetcher at a time works on a digest; the others wait for it, then find the work done.

A digest may be that of a listing (see `listing`): then the files are fetched as long as the store still shows that
listing, each under the condition that it still has its ETag, and their manifest is written from what arrived.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mmm_repository.artifacts import check_file, check_name
from mmm_repository.cached import is_marked_whole, is_whole
from mmm_repository.download import Transfer, download
from mmm_repository.errors import RepositoryError
from mmm_repository.journal import Journal
from mmm_repository.manifest import MANIFEST_NAME
from mmm_repository.parts import PARALLEL_PARTS, PART_BYTES, Entry, Source
from mmm_repository.progress import (
    PROGRESS_NAME,
    OnProgress,
    Phase,
    ProgressFile,
    ProgressMeter,
    ignore_progress,
    read_progress,
)
from mmm_repository.retention import KEEP_ALL, Retention, collect
from mmm_repository.room import make_room
from mmm_repository.slot import Slot, slot_of
from mmm_repository.storage import StorageOptions, check_version, parse_uri
from mmm_repository.store import open_store
from mmm_repository.threads import in_thread
from mmm_repository.volume import (
    COMPLETE_NAME,
    DIRECTORY_MODE,
    remove,
    sweep,
    sync_directory,
    sync_tree,
    try_lock,
    volume_errors,
    write_durably,
)
from mmm_repository.wanted import Wanted, find_wanted

LOCK_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class FetchOptions:
    """Limits of a fetch, and who wants to hear of it. At most twice `part_bytes * parallel_parts` are in memory."""

    max_bytes: int = 0  # 0: no limit but the disk
    part_bytes: int = PART_BYTES
    parallel_parts: int = PARALLEL_PARTS
    attempts: int = 4  # to read a part, on top of what the client itself tries
    rehash_existing: bool = False
    retention: Retention = KEEP_ALL
    progress: OnProgress = ignore_progress


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
        if not await in_thread(is_marked_whole, slot, rehash=options.rehash_existing):
            async with locked(slot, options.progress):
                if not await in_thread(is_whole, slot, rehash=options.rehash_existing):
                    await in_thread(clear, slot)
                    await bring(uri, version, slot, storage, options)
        slot.mark_used()
    await in_thread(tidy, slot, options.retention)
    return slot.final


def tidy(slot: Slot, retention: Retention) -> None:
    """Remove versions that are not retained. What cannot be removed is no reason to do without the new one."""
    with suppress(OSError):
        collect(slot, retention)


def make_root(root: Path) -> None:
    """Make the model root, if it is missing."""
    root.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)


def clear(slot: Slot) -> None:
    """Take away a directory that is not whole, and what an interrupted removal left."""
    remove(slot.final)
    sweep(slot.root)


async def bring(uri: str, version: str, slot: Slot, storage: StorageOptions, options: FetchOptions) -> None:
    """Fill the slot from the store. What has arrived is kept for the next try where there is to be one."""
    address = parse_uri(uri)
    store = open_store(address, storage)
    wanted = await find_wanted(store, address, version, f"sha256:{slot.hex}")
    manifest = wanted.manifest
    for entry in manifest.files:
        check_name(entry.path)
    await in_thread(make_room, slot, manifest, options.max_bytes, options.retention)
    source = Source(
        store,
        prefix=address.version_key(version),
        part_bytes=options.part_bytes,
        parallel_parts=options.parallel_parts,
        attempts=options.attempts,
    )
    listener = ProgressFile(slot.partial / PROGRESS_NAME, options.progress)
    try:
        slot.partial.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        transfer = Transfer(source, slot.partial, ProgressMeter(listener, Phase.DOWNLOAD, manifest.total_bytes))
        await receive(transfer, slot, wanted)
    except RepositoryError as error:
        if not error.retryable:
            await in_thread(remove, slot.partial)
        raise


async def receive(transfer: Transfer, slot: Slot, wanted: Wanted) -> None:
    """Download, check and put the files in place."""
    hashes: dict[str, str] = {}

    journal, tags = Journal(slot.partial), {file.path: file.tag for file in wanted.listed}

    def accept(path: str, sha256: str) -> None:
        check_file(slot.partial, path)
        hashes[path] = sha256
        if path in tags:
            journal.add(path, tags[path], sha256)

    with volume_errors(slot.root):
        known: Sequence[Entry] = await in_thread(journal.known, wanted.listed)
        # Small files first: a config that is refused is refused before the weights are fetched.
        by_size = sorted(known or wanted.manifest.files, key=lambda entry: (entry.size, entry.path))
        await download(transfer, by_size, accept)
        await in_thread(put_in_place, slot, hashes.keys(), wanted.written(hashes))


def put_in_place(slot: Slot, known: Collection[str], content: bytes) -> None:
    """Give the partial directory its final name. From the rename on the version is there."""
    drop_strangers(slot.partial, known)
    write_durably(slot.partial / MANIFEST_NAME, content)
    sync_tree(slot.partial)
    slot.partial.rename(slot.final)
    sync_directory(slot.root)
    write_durably(slot.final / COMPLETE_NAME, slot.hex.encode())


def drop_strangers(directory: Path, known: Collection[str]) -> None:
    """Remove files that do not belong to the version, such as those of another attempt."""
    for parent, _, names in os.walk(directory):
        for name in names:
            location = Path(parent) / name
            if location.relative_to(directory).as_posix() not in known:
                location.unlink()


@asynccontextmanager
async def locked(slot: Slot, progress: OnProgress) -> AsyncIterator[None]:
    """Hold the slot's lock, after waiting for whoever has it. A holder that dies lets go of it."""
    # Not in a thread: cancelled there, a lock just taken would be held by nobody.
    while (descriptor := try_lock(slot.lock)) is None:
        progress(read_progress(slot.partial / PROGRESS_NAME, Phase.WAIT))
        await asyncio.sleep(LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)
