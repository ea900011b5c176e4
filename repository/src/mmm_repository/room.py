"""Whether a version fits, asked before a byte of it is fetched."""

from mmm_repository.errors import ModelTooLarge, NoSpace
from mmm_repository.manifest import Manifest
from mmm_repository.retention import Retention, collect, drop_stale
from mmm_repository.slot import Slot
from mmm_repository.volume import free_bytes, free_files


def make_room(slot: Slot, manifest: Manifest, max_bytes: int, retention: Retention) -> None:
    """Raise ModelTooLarge or NoSpace before a byte is fetched; remove what is not retained where that may help."""
    total = manifest.total_bytes
    if max_bytes and total > max_bytes:
        raise ModelTooLarge(
            f"The model has {readable(total)}, the limit is {readable(max_bytes)}. Raise the cache's size limit."
        )
    lack = lacking(slot, manifest)
    if lack:  # what was begun and is not at work now can be fetched anew
        drop_stale(slot, 0.0)
        lack = lacking(slot, manifest)
    # The version that serves now is removed by nobody before the new one is there, even where one is all to retain.
    if lack and collect(slot, retention, others=max(1, retention.versions - 1)):
        lack = lacking(slot, manifest)
    if lack:
        raise NoSpace(f"{lack} Give it more space, or remove versions that are not needed.")


def lacking(slot: Slot, manifest: Manifest) -> str | None:
    """What the volume cannot hold, as a sentence; None where everything fits."""
    there = sum(path.lstat().st_size for path in slot.partial.rglob("*") if path.is_file())
    wanted, free = manifest.total_bytes - there, free_bytes(slot.root)
    if wanted > free:
        return f"The model needs {readable(wanted)} more on the volume at {slot.root}, {readable(free)} are free."
    files = free_files(slot.root)
    if files is not None and len(manifest.files) > files:
        return f"The model has {len(manifest.files)} files, the volume at {slot.root} can hold {files} more."
    return None


def readable(count: int) -> str:
    """A number of bytes as people write it."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
