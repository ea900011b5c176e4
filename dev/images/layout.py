"""OCI image layouts on disk: one directory an image, blobs shared between them by hard links.

A directory and not an archive, because a change of our code changes one small layer: writing the next layout links
the large layers instead of copying them, and containerd skips the blobs that it has.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

NAME_FOR_CONTAINERD = "io.containerd.image.name"
NAME_IN_LAYOUT = "org.opencontainers.image.ref.name"


def link_blobs(earlier: list[Path], layout: Path) -> None:
    """Puts the blobs of earlier layouts in `layout`, as hard links, so that an export writes only new ones."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    for blob in (blob for other in earlier for blob in (other / "blobs" / "sha256").glob("*")):
        if not (blobs / blob.name).exists():
            os.link(blob, blobs / blob.name)


def name(layout: Path, references: list[str]) -> None:
    """Lists the one image of `layout` under each of `references`, the way containerd's import reads names."""
    index = json.loads((layout / "index.json").read_text())
    manifest = {key: value for key, value in index["manifests"][0].items() if key != "annotations"}
    names = [{NAME_FOR_CONTAINERD: reference, NAME_IN_LAYOUT: reference} for reference in references]
    index["manifests"] = [{**manifest, "annotations": each} for each in names]
    (layout / "index.json").write_text(json.dumps(index))


def drop_unused_blobs(layout: Path) -> None:
    """Unlinks blobs that the image of `layout` does not name: they came from earlier ones."""
    used = set[str]()
    index = json.loads((layout / "index.json").read_text())
    for descriptor in index["manifests"]:
        used |= _digests(layout, descriptor)
    for blob in (layout / "blobs" / "sha256").iterdir():
        if blob.name not in used:
            blob.unlink()


def size(layout: Path) -> int:
    return sum(blob.stat().st_size for blob in (layout / "blobs" / "sha256").iterdir())


def remove(layout: Path) -> None:
    shutil.rmtree(layout, ignore_errors=True)


def _digests(layout: Path, descriptor: dict[str, Any]) -> set[str]:
    digest = descriptor["digest"].removeprefix("sha256:")
    document = json.loads((layout / "blobs" / "sha256" / digest).read_text())
    nested = [_digests(layout, each) for each in document.get("manifests", [])]
    leaves = [each["digest"] for each in [*document.get("layers", []), *filter(None, [document.get("config")])]]
    return {digest, *(leaf.removeprefix("sha256:") for leaf in leaves)}.union(*nested)
