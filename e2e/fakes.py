"""Versions of a model without weights: its pods start in seconds, and it misbehaves as a test wants."""

import hashlib
import json
from typing import Any

from dev.demo.stage import Stage
from mmm_repository.manifest import FileEntry, Manifest

URI = "s3://models/fake"


def publish_fake(stage: Stage, version: str, smoke: object = None, **faults: Any) -> None:
    """A version of the fake dual encoder, unless it is there already; `smoke` becomes its smoke.json."""
    config = {"architectures": ["FakeDualEncoder"], "model_type": "fake", "fake": faults, "note": version}
    files = {"config.json": json.dumps(config).encode()}
    if smoke is not None:
        files["smoke.json"] = json.dumps(smoke).encode()
    directory = stage.s3.directory / "data" / "models" / "fake" / version
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    manifest = Manifest(files=tuple(_entry(name, content) for name, content in sorted(files.items())))
    (directory / "manifest.json").write_bytes(manifest.canonical_bytes())


def _entry(name: str, content: bytes) -> FileEntry:
    return FileEntry(path=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
