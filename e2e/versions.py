"""Model versions that nobody should serve, put into the bucket behind the publisher's back."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from dev.demo.stage import Stage
from dev.models import ensure_models
from mmm_repository.manifest import FileEntry, Manifest

Change = Callable[[Path], None]


def publish_good(stage: Stage, version: str) -> None:
    """Publish the trained CLIP under another version name, unless it is there already."""
    if not (_object_directory(stage, version) / "manifest.json").exists():
        stage.publish(ensure_models() / "clip" / "2", "s3://models/clip", version)


def plant(stage: Stage, version: str, change: Change, workspace: Path) -> None:
    """A changed copy of the trained CLIP with a manifest that fits it: as a careless uploader would leave it."""
    source = workspace / version
    shutil.copytree(ensure_models() / "clip" / "2", source)
    change(source)
    manifest = Manifest(files=tuple(_entry(path) for path in sorted(source.iterdir())))
    target = _object_directory(stage, version)
    shutil.copytree(source, target)
    (target / "manifest.json").write_bytes(manifest.canonical_bytes())


def damage(stage: Stage, version: str, change: Change) -> None:
    """Change the bytes of a published version, but not its manifest: as a failing disk would."""
    change(_object_directory(stage, version))


def _entry(path: Path) -> FileEntry:
    content = path.read_bytes()
    return FileEntry(path=path.name, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def _object_directory(stage: Stage, version: str) -> Path:
    return stage.s3.directory / "data" / "models" / "clip" / version
