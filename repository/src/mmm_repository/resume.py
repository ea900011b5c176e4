"""Go on with the large files that a killed publish cut in two: send the parts that the store lacks, no others."""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path

from mmm_repository.directory import changed
from mmm_repository.leftovers import Leftovers, Part, Refused, open_leftovers
from mmm_repository.manifest import FileEntry
from mmm_repository.progress import ProgressMeter
from mmm_repository.storage import Address, StorageOptions
from mmm_repository.threads import in_thread, run_all

MIN_PART_BYTES = 5 * 2**20
MAX_PARTS = 10_000
PARALLEL_PARTS = 6


class CutUploads:
    """The uploads of a version's large files that were begun and never completed, by the objects' keys."""

    def __init__(self, leftovers: Leftovers | None = None, uploads: Mapping[str, list[str]] | None = None) -> None:
        self._leftovers = leftovers
        self._uploads = uploads or {}

    async def go_on(self, key: str, location: Path, entry: FileEntry, meter: ProgressMeter) -> int | None:
        """How many bytes it took to have the object whole; None if there was nothing to go on with.

        Raises InvalidDirectory, and makes no object, if the file is not what was hashed.
        """
        for upload in self._uploads.get(key, ()):
            attempt = CutFile(self._opened(), key, upload, meter)
            try:
                return await attempt.finish(location, entry)
            except (OSError, Refused):
                attempt.take_back()
        return None

    async def clear(self) -> None:
        """Have the store forget what is left; nobody needs it once the version is there."""

        async def forget(key: str, upload: str) -> None:
            try:
                await in_thread(self._opened().abort, key, upload)
            except (OSError, Refused):
                return

        await run_all(forget(key, upload) for key, uploads in self._uploads.items() for upload in uploads)

    def _opened(self) -> Leftovers:
        if self._leftovers is None:
            raise Refused("nobody to ask")
        return self._leftovers


async def cut_uploads(address: Address, storage: StorageOptions, prefix: str) -> CutUploads:
    """What was left below `prefix`; nothing where the store does not say."""
    leftovers = open_leftovers(address, storage)
    if leftovers is None:
        return CutUploads()
    try:
        return CutUploads(leftovers, await in_thread(leftovers.uploads, prefix))
    except (OSError, Refused):
        return CutUploads()


class CutFile:
    """One upload that was begun, and the file that it is of."""

    def __init__(self, leftovers: Leftovers, key: str, upload: str, meter: ProgressMeter) -> None:
        self._leftovers = leftovers
        self._key = key
        self._upload = upload
        self._meter = meter
        self._sent = 0
        self._reused = 0

    async def finish(self, location: Path, entry: FileEntry) -> int:
        """How many bytes had to be sent to put the object together. Raises OSError or Refused where it cannot be."""
        there = await in_thread(self._leftovers.parts, self._key, self._upload)
        part_bytes = max((part.size for part in there.values()), default=0)
        if part_bytes < MIN_PART_BYTES or -(-entry.size // part_bytes) > MAX_PARTS:
            raise Refused("no parts to go on with")
        tags: dict[int, str] = {}
        try:
            async with asyncio.TaskGroup() as group:
                await self._send_missing(group, location, entry, part_bytes, there, tags)
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        await in_thread(self._leftovers.complete, self._key, self._upload, [tags[number] for number in sorted(tags)])
        return self._sent

    def take_back(self) -> None:
        """Count nothing of this attempt as done."""
        self._meter.add(-self._sent)
        self._meter.add(-self._reused, reused=True)

    async def _send_missing(
        self,
        group: asyncio.TaskGroup,
        location: Path,
        entry: FileEntry,
        part_bytes: int,
        there: Mapping[int, Part],
        tags: dict[int, str],
    ) -> None:
        slots = asyncio.Semaphore(PARALLEL_PARTS)
        hasher = hashlib.sha256()
        with location.open("rb", buffering=0) as file:
            for number in range(1, -(-entry.size // part_bytes) + 1):
                await slots.acquire()
                content = await in_thread(file.read, part_bytes)
                await in_thread(hasher.update, content)
                if is_same(there.get(number), content):
                    tags[number] = there[number].tag
                    self._count_reused(len(content))
                    slots.release()
                else:
                    group.create_task(self._send(number, content, tags, slots))
            if file.read(1) or hasher.hexdigest() != entry.sha256:
                raise changed(entry.path)

    async def _send(self, number: int, content: bytes, tags: dict[int, str], slots: asyncio.Semaphore) -> None:
        try:
            tags[number] = await in_thread(self._leftovers.send, self._key, self._upload, number, content)
        finally:
            slots.release()
        self._sent += len(content)
        self._meter.add(len(content))

    def _count_reused(self, count: int) -> None:
        self._reused += count
        self._meter.add(count, reused=True)


def is_same(part: Part | None, content: bytes) -> bool:
    """Whether the store has exactly these bytes as a part; no, where it does not tell by their MD5."""
    if part is None or part.size != len(content):
        return False
    return part.tag == hashlib.md5(content, usedforsecurity=False).hexdigest()
