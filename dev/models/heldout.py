"""Pictures that training never sees, as JPEG files for clients to send."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dev.models.shapes import CLASSES, Pixels, Stream, draw

SIZE = 224
QUALITY = 90


@dataclass(frozen=True)
class Sample:
    """A held-out JPEG and the class it shows."""

    path: Path
    label: str


def held_out(n: int, seed: int = 0) -> Iterator[tuple[str, Pixels]]:
    """Give n labelled pictures of 224 px, classes in turn; the first n are the same for every n."""
    for number in range(n):
        label = CLASSES[number * 7 % len(CLASSES)]  # 7 and 36 share no factor: colours and shapes both vary early
        yield label, draw(label, np.random.default_rng((Stream.HELD_OUT, seed, number)), SIZE)


def write_held_out(directory: Path, n: int, seed: int = 0) -> list[Sample]:
    """Write n JPEGs with labels.json (file to label) and classes.json; give them as samples."""
    directory.mkdir(parents=True, exist_ok=True)
    samples = []
    for number, (label, pixels) in enumerate(held_out(n, seed)):
        path = directory / f"{number:04d}-{label.replace(' ', '-')}.jpg"
        Image.fromarray(pixels).save(path, quality=QUALITY)
        samples.append(Sample(path, label))
    labels = {sample.path.name: sample.label for sample in samples}
    (directory / "labels.json").write_text(json.dumps(labels, indent=2) + "\n")
    (directory / "classes.json").write_text(json.dumps(CLASSES, indent=2) + "\n")
    return samples


def read_held_out(directory: Path) -> list[Sample]:
    """Give the samples that a directory holds, in order."""
    labels: dict[str, str] = json.loads((directory / "labels.json").read_text())
    return [Sample(directory / name, label) for name, label in labels.items()]
