"""Bring the files of a version into a partial directory, each hashed while it arrives and put on disk once it is right.

Small files are fetched whole, some at a time: what they cost is waiting, for the store and for the disk. The parts of
all larger files form one queue. A window of it is on its way at any time, which bounds the memory; what arrives is
taken in order, so a file only ever grows at its end and its length says where to resume. Bytes that an earlier run left
are hashed again before more is added to them. Where no hash is known that they must have, they are not used.
"""

import hashlib
import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from mmm_repository.parts import Entry, Source, contents, in_order, parts_of
from mmm_repository.progress import ProgressMeter
from mmm_repository.threads import in_thread, run_all, run_some
from mmm_repository.volume import make_directories, open_for_writing, start_writing_back, write_all
from mmm_repository.whole import Accept, WholeFile, complete_whole, corrupt

READ_BACK_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Transfer:
    """Where files come from and go to, and who counts."""

    source: Source
    directory: Path
    meter: ProgressMeter


async def download(transfer: Transfer, entries: Iterable[Entry], accept: Accept) -> None:
    """Have every file in the directory, on disk, with exactly the bytes that the manifest, or the ETag, names.

    `accept` is called in a thread with path and hash of each file as soon as it is whole, and may refuse it by raising.
    """
    source, directory = transfer.source, transfer.directory
    in_turn = list(entries)
    small = [entry for entry in in_turn if entry.size <= source.part_bytes]
    large = [entry for entry in in_turn if entry.size > source.part_bytes]
    jobs = (complete_whole(source, WholeFile(directory, entry, accept), transfer.meter) for entry in small)
    await run_some(jobs, source.parallel_parts)
    await download_large(transfer, large, accept)


async def download_large(transfer: Transfer, entries: Iterable[Entry], accept: Accept) -> None:
    """The same for files of several parts."""
    files = [(entry, usable_length(transfer.directory, entry)) for entry in entries]
    wanted = [part for entry, length in files for part in parts_of(entry, length, transfer.source.part_bytes)]
    async with aclosing(in_order(transfer.source, wanted)) as arriving:
        for entry, length in files:
            sha256 = await complete_file(transfer, entry, length, arriving)
            await in_thread(accept, entry.path, sha256)


async def complete_file(
    transfer: Transfer, entry: Entry, length: int, arriving: AsyncGenerator[memoryview, None]
) -> str:
    """The file's hash, after adding what it lacks from `arriving`; raises DigestMismatch where it is another one."""
    target = Target(transfer.directory, entry)
    try:
        await in_thread(target.open, length)
        transfer.meter.add(length, reused=True)
        for _ in parts_of(entry, length, transfer.source.part_bytes):
            await add(target, await anext(arriving), transfer.meter)
        if not target.is_right:
            # What an earlier run left may not be what it had received, as after a power failure, and what arrived now
            # may have been changed on its way. Bytes that are wrong twice are wrong in the store.
            await fetch_again(transfer, entry, target)
        if not target.is_right:
            raise corrupt(entry)
        await in_thread(os.fsync, target.descriptor)
        return target.sha256
    finally:
        target.close()


async def fetch_again(transfer: Transfer, entry: Entry, target: "Target") -> None:
    """Forget what the file holds and fetch all of it."""
    transfer.meter.add(-target.length)
    await in_thread(target.restart)
    async with aclosing(contents(transfer.source, entry)) as arriving:
        async for content in arriving:
            await add(target, content, transfer.meter)


async def add(target: "Target", content: memoryview, meter: ProgressMeter) -> None:
    """Write the next bytes of a file, hash them meanwhile, and count them."""
    await run_all((in_thread(target.append, content), in_thread(target.hash, content)))
    meter.add(len(content))


def usable_length(directory: Path, entry: Entry) -> int:
    """How many bytes of the file an earlier run left; 0 where nobody can tell that they are the beginning of it."""
    if entry.sha256 is None:
        return 0
    try:
        length = (directory / entry.path).lstat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return length if length <= entry.size else 0


class Target:
    """A file of the partial directory, its length, and the hash of it so far. Its methods block."""

    def __init__(self, directory: Path, entry: Entry) -> None:
        self._directory = directory
        self._entry = entry
        self._hasher = hashlib.sha256()
        self.length = 0
        self.descriptor = -1

    def open(self, length: int) -> None:
        """Make the file, or keep so many bytes of what an earlier run left, and hash those."""
        location = self._directory / self._entry.path
        make_directories(self._directory, location.parent)
        self.descriptor = open_for_writing(location)
        os.ftruncate(self.descriptor, length)
        while block := os.read(self.descriptor, READ_BACK_BYTES):
            self._hasher.update(block)
            self.length += len(block)

    def close(self) -> None:
        """Close the file, if it was opened."""
        if self.descriptor >= 0:
            os.close(self.descriptor)

    @property
    def is_right(self) -> bool:
        """Whether the file is what the manifest says; without a hash its length must do."""
        return self.length == self._entry.size and self._entry.sha256 in (None, self.sha256)

    @property
    def sha256(self) -> str:
        """The hash of what the file holds, in hexadecimal."""
        return self._hasher.hexdigest()

    def append(self, content: memoryview) -> None:
        """Write the next bytes."""
        write_all(self.descriptor, content)
        start_writing_back(self.descriptor, self.length, len(content))
        self.length += len(content)

    def hash(self, content: memoryview) -> None:
        """Hash the next bytes."""
        self._hasher.update(content)

    def restart(self) -> None:
        """Forget everything that has arrived."""
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        self._hasher = hashlib.sha256()
        self.length = 0
