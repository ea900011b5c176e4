"""Where the versions of a model root lie, by their digests."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmm_repository.errors import InvalidAddress
from mmm_repository.volume import COMPLETE_NAME

DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
HEX = re.compile(r"[0-9a-f]{64}")
PARTIAL_PREFIX = ".partial-"
LOCK_PREFIX = ".lock-"


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
        return self.root / f"{PARTIAL_PREFIX}{self.hex}"

    @property
    def lock(self) -> Path:
        """The file that is locked while somebody works on the digest."""
        return self.root / f"{LOCK_PREFIX}{self.hex}"

    @property
    def last_used(self) -> float:
        """When the version was last asked for, in seconds since the epoch; 0.0 for one without its mark."""
        try:
            return (self.final / COMPLETE_NAME).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def mark_used(self) -> None:
        """Note that the version was asked for now; on a volume that cannot be written to, nothing is noted."""
        with suppress(OSError):
            os.utime(self.final / COMPLETE_NAME)


def slot_of(root: Path, digest: str) -> Slot:
    """The slot of a digest; raises InvalidAddress where it is none."""
    match = DIGEST.fullmatch(digest)
    if match is None:
        raise InvalidAddress("The digest of a version is written sha256: and 64 hexadecimal digits.")
    return Slot(root, match[1])


def slots_in(root: Path, prefix: str = "") -> Iterator[Slot]:
    """The slots of a root for which there is something of the name `<prefix><hex>`."""
    for path in root.iterdir():
        if path.name.startswith(prefix) and HEX.fullmatch(path.name.removeprefix(prefix)):
            yield Slot(root, path.name.removeprefix(prefix))
