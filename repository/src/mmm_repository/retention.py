"""Give back the space of versions that nobody needs any more.

A version is removed under its lock, so never while it is fetched, and it goes with one rename, so it never looks whole
while it goes. Which versions pods use is not known here: `keep` names them, and of all others the ones that were asked
for last stay.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmm_repository.slot import PARTIAL_PREFIX, Slot, slots_in
from mmm_repository.volume import lock_if_free, remove, sweep

# A fetch that was interrupted is taken up again within minutes, if at all.
STALE_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Retention:
    """How many versions a root may hold in all (0: any number), and which of them stay whatever happens."""

    versions: int = 0
    keep: frozenset[str] = frozenset()
    """Digests, written `sha256:<hex>`."""

    def keeps(self, slot: Slot) -> bool:
        """Whether somebody said that this version is in use."""
        return f"sha256:{slot.hex}" in self.keep


KEEP_ALL = Retention()


def collect(current: Slot, retention: Retention, *, others: int | None = None) -> list[str]:
    """Remove what the retention does not cover beside the current version; gives the digests that went. Blocks.

    `others` is how many more may stay, by default as many as the retention allows beside the current one.
    """
    if not retention.versions:
        return []
    sweep(current.root)
    drop_stale(current)
    stay = retention.versions - 1 if others is None else others
    return [f"sha256:{slot.hex}" for slot in surplus(current, retention, stay) if drop(slot)]


def surplus(current: Slot, retention: Retention, others: int) -> Iterable[Slot]:
    """The versions to remove: those that were not asked for for the longest time."""
    there = [slot for slot in slots_in(current.root) if slot != current]
    free = [slot for slot in there if not retention.keeps(slot)]
    room = max(0, others - (len(there) - len(free)))
    return sorted(free, key=lambda slot: slot.last_used, reverse=True)[room:]


def drop(slot: Slot) -> bool:
    """Whether the version was removed; one on which somebody works is left alone."""
    with lock_if_free(slot.lock) as is_free:
        if is_free:
            remove(slot.final)
            slot.lock.unlink(missing_ok=True)
        return is_free


def drop_stale(current: Slot, seconds: float = STALE_SECONDS) -> None:
    """Remove what interrupted fetches of other versions left so long ago, unless somebody works on it now."""
    for slot in slots_in(current.root, PARTIAL_PREFIX):
        if slot == current or time.time() - newest_change(slot.partial) < seconds:
            continue
        with lock_if_free(slot.lock) as is_free:
            if is_free:
                remove(slot.partial)


def newest_change(directory: Path) -> float:
    """When anything in the directory was last written to."""
    return max((path.lstat().st_mtime for path in (directory, *directory.rglob("*"))), default=0.0)
