"""Whether a version is on this machine: asked at every start, answered without a request.

Sizes are compared always: that takes a moment however large the model is. Hashes are compared where they are asked for,
and wherever the mark is missing that says that they were right once.
"""

from pathlib import Path

from mmm_repository.directory import hash_file
from mmm_repository.errors import DigestMismatch
from mmm_repository.listing import check_identity
from mmm_repository.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest
from mmm_repository.slot import Slot
from mmm_repository.volume import COMPLETE_NAME, write_durably


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
        return check_identity(content, f"sha256:{slot.hex}")
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
