"""Put the files of a version into the store, sending only what is not there already.

Small files go first, many at a time; then the large ones, few at a time with many parts each, so that a publish that
is killed has few files cut in two (`resume` goes on with those). Each object records its own hash: one listing and the
recorded hashes tell what an earlier attempt has left, and what another version has that only needs to be copied within
the store.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from mmm_repository.directory import changed
from mmm_repository.errors import EndpointUnreachable, RepositoryError
from mmm_repository.manifest import FileEntry, Manifest
from mmm_repository.parts import Source, contents
from mmm_repository.progress import OnProgress, Phase, ProgressMeter
from mmm_repository.resume import CutUploads
from mmm_repository.store import ObjectMissing, ObjectStat, Store
from mmm_repository.threads import in_thread, run_all

PART_BYTES = 8 * 2**20
# S3 allows 10,000 parts to an object; larger files get larger parts.
MAX_PARTS = 9_000
# So many parts, of small files or of large ones, are held in memory at once.
PARALLEL_SMALL = 16
PARALLEL_LARGE = 2
PARALLEL_PARTS = 6
PAUSES_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Upload:
    """Everything that sending one version's files needs.

    `elsewhere` has keys in the store by their content's hash, `cut` what a killed publish left of large files.
    """

    root: Path
    store: Store
    prefix: str
    manifest: Manifest
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    cut: CutUploads = field(default_factory=CutUploads)

    def key(self, path: str) -> str:
        """Where a file of the version lies."""
        return f"{self.prefix}/{path}"


@dataclass
class Stored:
    """What came of an upload: the bytes that were sent and copied, and the tag of every object."""

    sent_bytes: int = 0
    copied_bytes: int = 0
    tags: dict[str, str | None] = field(default_factory=dict)


async def send_files(upload: Upload, progress: OnProgress) -> Stored:
    """What it took to have every file in the store."""
    job = UploadJob(upload, await upload.store.stat_all(upload.prefix), progress)
    small = [entry for entry in upload.manifest.files if entry.size <= PART_BYTES]
    large = sorted((entry for entry in upload.manifest.files if entry.size > PART_BYTES), key=lambda entry: entry.size)
    await job.have(small, PARALLEL_SMALL)
    await job.have(large, PARALLEL_LARGE)
    return job.stored


class UploadJob:
    """One attempt to have all files of a version in the store."""

    def __init__(self, upload: Upload, found: Mapping[str, ObjectStat], progress: OnProgress) -> None:
        self._upload = upload
        self._found = found
        self._meter = ProgressMeter(progress, Phase.UPLOAD, upload.manifest.total_bytes)
        self.stored = Stored()

    async def have(self, entries: Iterable[FileEntry], parallel: int) -> None:
        """Have these files in the store, so many at a time."""
        slots = asyncio.Semaphore(parallel)

        async def have_one(entry: FileEntry) -> None:
            async with slots:
                await self._have(entry)

        await run_all(have_one(entry) for entry in entries)

    async def _have(self, entry: FileEntry) -> None:
        found = self._found.get(entry.path)
        if found is not None and found.size == entry.size and (stat := await is_there(self._upload, entry)):
            self.stored.tags[entry.path] = stat.tag
            self._meter.add(entry.size, reused=True)
        elif stat := await copied(self._upload, entry):
            self.stored.tags[entry.path] = stat.tag
            self.stored.copied_bytes += entry.size
            self._meter.add(entry.size, reused=True)
        else:
            self.stored.tags[entry.path] = await self._finished(entry) or await self._sent(entry)

    async def _finished(self, entry: FileEntry) -> str | None:
        """The tag of a file of which parts were there; None if there were none, or what came of them is another."""
        upload, key = self._upload, self._upload.key(entry.path)
        sent = await upload.cut.go_on(key, upload.root / entry.path, entry, self._meter)
        if sent is None:
            return None
        self.stored.sent_bytes += sent
        stat = await is_there(upload, entry)
        if stat is None:
            self._meter.add(-entry.size)
        return stat.tag if stat else None

    async def _sent(self, entry: FileEntry) -> str | None:
        self.stored.sent_bytes += entry.size
        return await send(self._upload, entry, self._meter.add)


async def is_there(upload: Upload, entry: FileEntry) -> ObjectStat | None:
    """The object, if it is exactly this file: of the same length, and recorded with the same hash."""
    try:
        stat = await upload.store.stat(upload.key(entry.path))
    except ObjectMissing:
        return None
    if stat.size != entry.size:
        return None
    recorded = await hash_object(upload, entry) if upload.store.is_local else stat.sha256
    return stat if recorded == entry.sha256 else None


async def hash_object(upload: Upload, entry: FileEntry) -> str:
    """The hash of an object in a store that records none, by reading it."""
    hasher = hashlib.sha256()
    async with aclosing(contents(Source(upload.store, upload.prefix), entry)) as parts:
        async for part in parts:
            await in_thread(hasher.update, part)
    return hasher.hexdigest()


async def copied(upload: Upload, entry: FileEntry) -> ObjectStat | None:
    """The object, if the store could copy it from elsewhere; whatever stands in the way, it can still be sent."""
    source = upload.elsewhere.get(entry.sha256)
    if source is None:
        return None
    try:
        await upload.store.copy(source, upload.key(entry.path))
        return await is_there(upload, entry)
    except (RepositoryError, ObjectMissing):
        return None


async def send(upload: Upload, entry: FileEntry, count: Callable[[int], None]) -> str | None:
    """The tag of the file, once stored; raises InvalidDirectory, and stores nothing, if it is not what was hashed."""
    location = upload.root / entry.path
    if entry.size <= PART_BYTES:
        content = await in_thread(location.read_bytes)
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise changed(entry.path)
        tag = await upload.store.write(upload.key(entry.path), content, entry.sha256)
        count(entry.size)
        return tag
    part_bytes = max(PART_BYTES, -(-entry.size // MAX_PARTS))
    return await FileParts(location, entry, part_bytes, count).send_to(upload)


class FileParts:
    """A large file, read part by part while it is sent, and hashed again on the way."""

    def __init__(self, location: Path, entry: FileEntry, part_bytes: int, count: Callable[[int], None]) -> None:
        self._location = location
        self._entry = entry
        self._part_bytes = part_bytes
        self._count = count
        self._failure: Exception | None = None
        self._on_their_way: deque[int] = deque()

    async def send_to(self, upload: Upload) -> str | None:
        """The tag of the file, once stored."""
        try:
            tag = await upload.store.write_stream(
                upload.key(self._entry.path),
                self._parts(),
                self._entry.sha256,
                part_bytes=self._part_bytes,
                parallel_parts=PARALLEL_PARTS,
            )
            self._count(sum(self._on_their_way))
            return tag
        except (RepositoryError, ObjectMissing) as error:
            # The store's client reports a failing source in its own words.
            if self._failure is not None:
                raise self._failure from None
            if isinstance(error, RepositoryError):
                raise
        tag = await completed(upload, self._entry)
        self._count(sum(self._on_their_way))
        return tag

    async def _parts(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._checked_parts():
                self._on_their_way.append(len(part))
                yield part
                # Only so many are on their way at once: who asks for another has sent the first of them.
                if len(self._on_their_way) > PARALLEL_PARTS:
                    self._count(self._on_their_way.popleft())
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


async def completed(upload: Upload, entry: FileEntry) -> str | None:
    """The tag of a large file of which the store says that it knows no such upload.

    It does when the order to put the parts together was carried out, but its answer was lost, and the client gave the
    order once more. Putting them together may take a moment.
    """
    for pause in PAUSES_SECONDS:
        await asyncio.sleep(pause)
        if stat := await is_there(upload, entry):
            return stat.tag
    raise EndpointUnreachable(f"The store gave up the upload of {entry.path}. Publish again.")


async def confirm(upload: Upload, tags: Mapping[str, str | None]) -> None:
    """Raise unless every file is in the store as it was stored: somebody may publish the same version now."""
    # Directories record no hashes; reading everything again would prove little that the writes did not.
    if upload.store.is_local:
        return
    listed = await upload.store.stat_all(upload.prefix)
    slots = asyncio.Semaphore(PARALLEL_SMALL)

    async def confirm_one(entry: FileEntry) -> None:
        async with slots:
            if not await is_there(upload, entry):
                raise EndpointUnreachable(
                    f"The file {entry.path} is not in the store as it was sent: somebody else is publishing "
                    "this version, or the store loses what it accepts. Publish again."
                )

    doubtful = (entry for entry in upload.manifest.files if not is_as_tagged(listed, entry, tags[entry.path]))
    await run_all(confirm_one(entry) for entry in doubtful)


def is_as_tagged(listed: Mapping[str, ObjectStat], entry: FileEntry, tag: str | None) -> bool:
    """Whether a listing alone says that the object is the one that was stored; if not, it must be asked itself."""
    stat = listed.get(entry.path)
    return stat is not None and stat.size == entry.size and stat.tag is not None and stat.tag == tag
