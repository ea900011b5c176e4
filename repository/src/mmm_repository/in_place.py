"""Whether a version that lies where it is served from, on a claim or in an image, is the one that is wanted."""

import os
from collections.abc import Iterator
from pathlib import Path

from mmm_repository.artifacts import check_name
from mmm_repository.errors import IncompleteUpload, UnsafeArtifact
from mmm_repository.listing import check_identity
from mmm_repository.manifest import MANIFEST_NAME
from mmm_repository.paths import shown
from mmm_repository.progress import OnProgress, Phase, ProgressMeter, ignore_progress
from mmm_repository.slot import slot_of
from mmm_repository.verify import stored_manifest_bytes, verify_file
from mmm_repository.volume import COMPLETE_NAME, volume_errors


def verify_in_place(root: Path, digest: str, progress: OnProgress = ignore_progress) -> Path:
    """The directory `<root>/<hex of digest>/`, of which every byte was hashed, and which holds nothing else. Blocks.

    Nothing is written. Raises RepositoryError only.
    """
    directory = slot_of(root, digest).final
    with volume_errors(root):
        content = stored_manifest_bytes(directory)
        if content is None:
            raise IncompleteUpload(
                "There is no manifest.json beside the model. Make the version with `mmm publish DIR DIRECTORY`, which "
                "writes one, and put that on the claim or into the image."
            )
        manifest = check_identity(content, digest)
        check_nothing_else(directory, {entry.path for entry in manifest.files})
        meter = ProgressMeter(progress, Phase.VERIFY, manifest.total_bytes)
        for entry in manifest.files:
            check_name(entry.path)
            verify_file(directory, entry, meter.add)
    return directory


def check_nothing_else(directory: Path, known: set[str]) -> None:
    """Raise UnsafeArtifact for a link, and for a file that the manifest does not name: a loader might find it."""
    for path in files_below(directory):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            raise UnsafeArtifact(f"{shown(name)} is a link: what it leads to is no part of the version.")
        if name not in known | {MANIFEST_NAME, COMPLETE_NAME}:
            raise UnsafeArtifact(f"The file {shown(name)} is not in the manifest. Publish the version again, with it.")


def files_below(directory: Path) -> Iterator[Path]:
    """Every file and every link below the directory."""
    for parent, directories, files in os.walk(directory):
        links = [name for name in directories if (Path(parent) / name).is_symlink()]
        yield from (Path(parent) / name for name in sorted([*files, *links]))
