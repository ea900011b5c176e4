"""From names of images to images that a cluster can load."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import layout as layouts
from .command import BuildError
from .engine import Engine, choose_engine
from .progress import say, step
from .recipe import REPOSITORY, Recipe, recipes

# Each takes little room: versions share their large layers.
VERSIONS_KEPT = 3


@dataclass(frozen=True)
class ImageRef:
    """An image that was built: its name, and where its bytes lie.

    `layout` is a directory, an OCI image layout; `tar -C LAYOUT -c . | ctr --namespace k8s.io images import -` loads it
    under `reference` (and under the same name with the tag `dev`). Blobs that containerd has may be left out of the
    tar: it writes each that it gets, known or not (26 s for the server), and misses none that it has (0.2 s).
    """

    reference: str
    layout: Path


def build_images(names: Iterable[str] = ("operator", "server")) -> dict[str, ImageRef]:
    """The images by name, built and written out if anything that they are made of has changed."""
    known = recipes()
    wanted = [known[name] for name in names]
    with _alone():
        engine = choose_engine()
        base = engine.base()
        return {recipe.name: _build(engine, recipe, base) for recipe in wanted}


def clean() -> None:
    """Forgets every image of the project, every layout and all untagged images; the base image and the wheels stay."""
    with _alone():
        engine = choose_engine()
        ours = [name for name in engine.names() if name.startswith(f"{REPOSITORY}/")]
        if ours:
            engine.remove(ours)
        engine.prune()
        for layout in _layouts():
            layouts.remove(layout)
    say(f"{len(ours)} names removed")


def _build(engine: Engine, recipe: Recipe, base: str) -> ImageRef:
    tag = recipe.tag(base)
    image = ImageRef(recipe.reference(tag), _cache() / f"{recipe.name}-{tag}")
    if image.layout.exists():
        say(f"{recipe.name}: unchanged ({image.reference})")
        os.utime(image.layout)
        return image
    names = [image.reference, recipe.reference("dev")]
    if not engine.holds(image.reference):
        with step(f"{recipe.name}: build {image.reference}"):
            engine.build(recipe, names)
        if recipe.tag(base) != tag:
            say(f"{recipe.name}: a source was changed meanwhile, once more")
            engine.remove([image.reference])
            return _build(engine, recipe, base)
    _export(engine, image, names)
    _retire(engine, recipe)
    return image


def _export(engine: Engine, image: ImageRef, references: list[str]) -> None:
    unfinished = _cache() / ".unfinished"
    layouts.remove(unfinished)
    with step(f"{image.layout.name}: write the OCI layout"):
        layouts.link_blobs(_layouts(), unfinished)
        engine.export(image.reference, unfinished)
        layouts.name(unfinished, references)
        layouts.drop_unused_blobs(unfinished)
        unfinished.rename(image.layout)
    say(f"{image.layout.name}: {layouts.size(image.layout) / 1e6:.0f} MB")


def _retire(engine: Engine, recipe: Recipe) -> None:
    """Removes all but the newest versions of an image; somebody may still be loading the one before."""
    versions = [layout for layout in _layouts() if layout.name.startswith(f"{recipe.name}-")]
    versions.sort(key=lambda layout: layout.stat().st_mtime)
    for layout in versions[:-VERSIONS_KEPT]:
        layouts.remove(layout)
    kept = {recipe.reference(layout.name.removeprefix(f"{recipe.name}-")) for layout in versions[-VERSIONS_KEPT:]}
    kept.add(recipe.reference("dev"))
    old = [name for name in engine.names() if name.startswith(recipe.reference("")) and name not in kept]
    if old:
        engine.remove(old)


def _layouts() -> list[Path]:
    return sorted(path for path in _cache().iterdir() if path.is_dir() and not path.name.startswith("."))


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = home / "multimodal-operator" / "images"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BuildError(f"the cache {path} cannot be made: {error.strerror}") from error
    return path


@contextmanager
def _alone() -> Iterator[None]:
    """Holds off other builds of this user: two would write the same layouts."""
    with (_cache() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
