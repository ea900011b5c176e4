"""Read objects part by part: requested side by side, handed on in order, with bounded memory."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from mmm_repository.errors import DigestMismatch, EndpointUnreachable, RepositoryError
from mmm_repository.listing import ListedFile
from mmm_repository.manifest import FileEntry
from mmm_repository.paths import shown
from mmm_repository.store import ObjectChanged, ObjectMissing, Store

FIRST_PAUSE_SECONDS = 0.5
# The client holds a part twice for a moment, as pieces and as one. A whole fetch is to fit into 150 MiB.
PART_BYTES = 4 * 2**20
PARALLEL_PARTS = 8

# A file by its hash, or, where nobody knows that, by its ETag.
Entry: TypeAlias = FileEntry | ListedFile


@dataclass(frozen=True)
class Source:
    """The files of one version in a store, how large a part is, how many are on their way, how often to try."""

    store: Store
    prefix: str
    part_bytes: int = PART_BYTES
    parallel_parts: int = PARALLEL_PARTS
    attempts: int = 4


@dataclass(frozen=True)
class Part:
    """The bytes of a file from `start` up to `end`."""

    entry: Entry
    start: int
    end: int


def contents(source: Source, entry: Entry) -> AsyncGenerator[memoryview, None]:
    """A whole file, part by part."""
    return in_order(source, parts_of(entry, 0, source.part_bytes))


async def in_order(source: Source, parts: Iterable[Part]) -> AsyncGenerator[memoryview, None]:
    """The parts' bytes, in order, while a window of the next ones is on its way."""
    rest = iter(parts)
    window: deque[asyncio.Task[memoryview]] = deque()
    try:
        while True:
            while len(window) < source.parallel_parts and (part := next(rest, None)) is not None:
                window.append(asyncio.create_task(patient_part(source, part)))
            if not window:
                return
            content = await window[0]
            window.popleft()
            yield content
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)


async def patient_part(source: Source, part: Part) -> memoryview:
    """The part's bytes, asked for again a few times where that can help."""
    for attempt in range(1, source.attempts):
        try:
            return await read_part(source, part)
        except RepositoryError as error:
            if not error.retryable:
                raise
        # Full jitter, so that many pods do not come back together.
        await asyncio.sleep(random.uniform(0, FIRST_PAUSE_SECONDS * 2**attempt))
    return await read_part(source, part)


async def read_part(source: Source, part: Part) -> memoryview:
    """The part's bytes; raises DigestMismatch where the object cannot be the one that the manifest names."""
    entry = part.entry
    tag = entry.tag if isinstance(entry, ListedFile) else None
    try:
        content, size = await source.store.read_range(f"{source.prefix}/{entry.path}", part.start, part.end, tag)
    except ObjectChanged:
        raise DigestMismatch(
            f"The file {shown(entry.path)} was replaced in the store after the version was chosen. "
            "Publish the model as a new version."
        ) from None
    except ObjectMissing:
        raise DigestMismatch(
            f"The file {shown(entry.path)} is {called(entry)} but missing in the store. "
            "Publish the model as a new version."
        ) from None
    if size == entry.size and len(content) != part.end - part.start:
        # The object is right, the answer is not: somebody in between cut it, or added to it.
        raise EndpointUnreachable(
            f"The store's answer for a part of {shown(entry.path)} has another length than asked."
        )
    if size != entry.size:
        raise DigestMismatch(
            f"The file {shown(entry.path)} has {size} bytes in the store, {entry.size} in the manifest. "
            "Publish the model as a new version."
        )
    return content


def called(entry: Entry) -> str:
    """Who knows of the file, as words that follow "is"."""
    return "in the listing" if isinstance(entry, ListedFile) else "named by the manifest"


def parts_of(entry: Entry, start: int, part_bytes: int) -> list[Part]:
    """The file's bytes from `start` on, cut into parts."""
    starts = range(start, entry.size, part_bytes)
    return [Part(entry, begin, min(begin + part_bytes, entry.size)) for begin in starts]
