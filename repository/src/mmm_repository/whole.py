"""A file that is fetched in one piece: hashed before it is written, so that what is on disk is always right."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from mmm_repository.errors import DigestMismatch
from mmm_repository.parts import Entry, Part, Source, patient_part
from mmm_repository.paths import shown
from mmm_repository.progress import ProgressMeter
from mmm_repository.threads import in_thread
from mmm_repository.volume import make_directories, open_for_writing, write_all

EMPTY = memoryview(b"")
# Bytes that are wrong twice are wrong in the store; once, they may have been changed on their way.
LOOKS = 2

# Called with path and hash of a file that is whole; refuses it by raising.
Accept: TypeAlias = Callable[[str, str], None]


@dataclass(frozen=True)
class WholeFile:
    """A file of the partial directory and who is to accept it. Its methods block."""

    directory: Path
    entry: Entry
    accept: Accept

    def is_there(self) -> bool:
        """Whether an earlier run left the file, and whole; then it is put on disk and accepted."""
        if self.entry.sha256 is None:
            return False
        location = self.directory / self.entry.path
        if location.is_symlink() or not location.is_file() or location.stat().st_size != self.entry.size:
            return False
        return self.keep(memoryview(location.read_bytes()))

    def keep(self, content: memoryview) -> bool:
        """Whether these are the file's bytes; then they are put on disk and accepted."""
        sha256 = hashlib.sha256(content).hexdigest()
        if len(content) != self.entry.size or self.entry.sha256 not in (None, sha256):
            return False
        location = self.directory / self.entry.path
        make_directories(self.directory, location.parent)
        descriptor = open_for_writing(location)
        try:
            os.ftruncate(descriptor, 0)
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.accept(self.entry.path, sha256)
        return True


async def complete_whole(source: Source, file: WholeFile, meter: ProgressMeter) -> None:
    """Have the file; raises DigestMismatch where the store does not have the manifest's bytes."""
    entry = file.entry
    if await in_thread(file.is_there):
        meter.add(entry.size, reused=True)
        return
    for _ in range(LOOKS):
        content = await patient_part(source, Part(entry, 0, entry.size)) if entry.size else EMPTY
        if await in_thread(file.keep, content):
            meter.add(entry.size)
            return
    raise corrupt(entry)


def corrupt(entry: Entry) -> DigestMismatch:
    """The error for a file of the right length with wrong bytes."""
    return DigestMismatch(
        f"The bytes of {shown(entry.path)} in the store are not those that the manifest names. "
        "Publish the model as a new version."
    )
