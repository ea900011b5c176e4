"""A model directory on this machine: which files it has, whether they may be published, and what is in them."""

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmm_repository.artifacts import check_file, check_name
from mmm_repository.configs import INDEX_SUFFIX, read_json
from mmm_repository.errors import InvalidDirectory, InvalidManifest, UnsafeArtifact
from mmm_repository.manifest import MANIFEST_NAME, FileEntry
from mmm_repository.paths import check_paths, shown
from mmm_repository.smoke import SMOKE_NAME, read_smoke

HASH_BLOCK_BYTES = 4 * 2**20


@dataclass(frozen=True)
class LocalFile:
    """A file to publish: its name in the version, and its length when it was looked at."""

    path: str
    size: int


@dataclass(frozen=True)
class LocalModel:
    """The files of a model directory, and the hidden ones that are left out."""

    root: Path
    files: tuple[LocalFile, ...]
    skipped: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        """The sum of all file sizes."""
        return sum(file.size for file in self.files)


def scan(root: Path) -> LocalModel:
    """The files below a directory, hidden ones left out; raises InvalidDirectory where it cannot be published."""
    if not root.is_dir():
        raise InvalidDirectory(f"There is no directory {root}.")
    files: list[LocalFile] = []
    skipped: list[str] = []
    for path in sorted(relative_paths(root)):
        if any(part.startswith(".") for part in path.split("/")):
            skipped.append(path)
        elif path != MANIFEST_NAME:  # left by an earlier fetch; a new one is written
            files.append(LocalFile(path, regular_size(root / path, path)))
    return LocalModel(root=root, files=tuple(files), skipped=tuple(skipped))


def relative_paths(root: Path) -> list[str]:
    """The names of all files below a directory. Links to files count, as caches of model hubs are made of them."""
    found: list[str] = []
    for parent, directories, names in os.walk(root, onerror=refuse_unreadable):
        for name in directories:
            if (Path(parent) / name).is_symlink():
                raise InvalidDirectory(f"{Path(parent) / name} is a link to a directory. Copy the files instead.")
        found.extend((Path(parent) / name).relative_to(root).as_posix() for name in names)
    return found


def refuse_unreadable(error: OSError) -> None:
    """Raise InvalidDirectory for a directory that cannot be listed."""
    raise InvalidDirectory(f"{error.filename} cannot be read: {error.strerror}.")


def regular_size(location: Path, path: str) -> int:
    """The length of a regular file; raises InvalidDirectory for anything else."""
    try:
        status = location.stat()
    except OSError as error:
        raise InvalidDirectory(f"{shown(path)} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise InvalidDirectory(f"{shown(path)} is no regular file.")
    return status.st_size


def check_model(model: LocalModel) -> None:
    """Raise unless the directory holds a model of which every file may be published."""
    names = {file.path for file in model.files}
    for path in names:
        check_name(path)
    if "config.json" not in names:
        raise InvalidDirectory(f"{model.root} holds no config.json, so it is not a model directory.")
    check_names(names)
    for file in model.files:
        check_file(model.root, file.path)
        check_shards_present(model.root, file.path, names)
    if SMOKE_NAME in names:
        read_smoke(model.root)


def check_names(names: set[str]) -> None:
    """Raise InvalidDirectory where a name could not be fetched again."""
    try:
        check_paths(sorted(names))
    except InvalidManifest as error:
        raise InvalidDirectory(error.message) from None


def check_shards_present(root: Path, path: str, names: set[str]) -> None:
    """Raise InvalidDirectory where an index names shards of weights that are not there."""
    if not path.endswith(INDEX_SUFFIX):
        return
    document = read_json(root / path, path)
    if not isinstance(document, dict):
        raise UnsafeArtifact(f"The file {shown(path)} has no weight_map.")
    folder = path.rpartition("/")[0]
    shards = {f"{folder}/{shard}".lstrip("/") for shard in document["weight_map"].values()}
    missing = sorted(shards - names)
    if missing:
        raise InvalidDirectory(f"The weights are not whole: {shown(path)} names {shown(missing[0])}, which is missing.")


def hash_file(location: Path, count: Callable[[int], None]) -> str:
    """The sha256 of a file in hexadecimal; `count` is told after each block how long it was."""
    hasher = hashlib.sha256()
    with location.open("rb", buffering=0) as file:
        while block := file.read(HASH_BLOCK_BYTES):
            hasher.update(block)
            count(len(block))
    return hasher.hexdigest()


def entry_of(root: Path, file: LocalFile, count: Callable[[int], None]) -> FileEntry:
    """The manifest entry of a file; raises InvalidDirectory where it changes meanwhile."""
    seen = 0

    def count_here(length: int) -> None:
        nonlocal seen
        seen += length
        count(length)

    sha256 = hash_file(root / file.path, count_here)
    if seen != file.size:
        raise changed(file.path)
    return FileEntry(path=file.path, size=file.size, sha256=sha256)


def changed(path: str) -> InvalidDirectory:
    """The error for a file that is not what it was a moment ago."""
    return InvalidDirectory(f"The file {shown(path)} changed while it was read. Publish again when it is at rest.")
