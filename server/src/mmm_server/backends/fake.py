"""A dual encoder without weights: deterministic, instant, no torch. For tests of everything that is not the model.

Its `config.json` may ask for misbehaviour: {"fake": {"delay_seconds": 0.01, "poison": "a text that fails", "deadly":
"a text that kills the inference thread", "hang": "a text that never ends", "overlaps": true, "unloadable": true,
"kills": true, "crowded": 2}}. A "salt" gives a version vectors of its own. Nobody serves it by accident, as its answers
mean nothing.
"""

import hashlib
import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmm_server.backends.base import Capabilities, Device, Kind, Matrix, Prepared, Result, Threads, Wishes
from mmm_server.backends.directory import is_object, read_object
from mmm_server.errors import AcceleratorUnavailable, DeviceOutOfMemory, ModelLoadFailed, Unprocessable
from mmm_server.tasks import Task

DIMENSIONS = 8
GRID = 4
MAX_TOKENS = 77
LOADED: WeakSet["FakeBackend"] = WeakSet()  # in this process


@dataclass(frozen=True, slots=True)
class Faults:
    """How the fake misbehaves."""

    delay_seconds: float = 0.0
    load_seconds: float = 0.0
    poison: str | None = None
    deadly: str | None = None
    hang: str | None = None
    hang_seconds: float = 3600.0
    tasks: Sequence[Task] = (Task.IMAGE_EMBEDDING, Task.TEXT_EMBEDDING, Task.ZERO_SHOT_IMAGE_CLASSIFICATION)
    overlaps: bool = False
    unloadable: bool = False
    kills: bool = False  # the process, as the kernel does that runs out of memory
    crowded: int | None = None  # so many items the device holds while another model is loaded
    salt: str = ""  # another one makes another model of it, as far as texts go


def load(directory: Path, architecture: str, wishes: Wishes) -> "FakeBackend":
    """The fake with the faults that its config.json asks for."""
    if wishes.require_accelerator or wishes.device == "cuda":
        raise AcceleratorUnavailable("An accelerator is required, but the fake model runs on none.")
    asked = read_object(directory / "config.json", ModelLoadFailed).get("fake", {})
    if not is_object(asked):
        raise ModelLoadFailed("The faults of the fake model are not a JSON object.")
    faults = Faults(**asked)  # type: ignore[arg-type]
    time.sleep(faults.load_seconds)
    if faults.kills:
        os.kill(os.getpid(), signal.SIGKILL)
    if faults.unloadable:
        raise ValueError("a fault that config.json asked for")
    return FakeBackend(architecture, faults)


class FakeBackend:
    """Image vectors from coarse brightness, text vectors from a hash."""

    def __init__(self, architecture: str, faults: Faults) -> None:
        self.capabilities = Capabilities(
            architecture=architecture,
            tasks=tuple(map(Task, faults.tasks)),
            dimensions=DIMENSIONS,
            max_text_tokens=MAX_TOKENS,
            overlaps=faults.overlaps,
        )
        self._device = ThreadPoolExecutor(1, "device") if faults.overlaps else None
        self.device = Device(kind="cpu", name="fake", dtype="float32")
        self.threads: Threads | None = None
        LOADED.add(self)
        self._faults = faults

    def prepare_image(self, picture: Image.Image) -> Prepared:
        """The mean of each of eight horizontal bands."""
        bands = np.array_split(np.asarray(picture).reshape(-1), DIMENSIONS)
        means = [float(band.mean()) if band.size else 0.0 for band in bands]
        return Prepared(Kind.IMAGE, 0, np.asarray(means, dtype=np.float32) + 1.0)

    def prepare_texts(self, texts: Sequence[str]) -> list[Prepared]:
        """Numbers from the hash of each text."""
        return [self._prepare_text(text) for text in texts]

    def count_tokens(self, texts: Sequence[str]) -> int:
        """The number of words."""
        return sum(len(text.split()) for text in texts)

    def launch(self, batch: Sequence[Prepared]) -> Result:
        """Computes at once, or in a thread of the "device" where the fake was told to overlap."""
        if self._device is None:
            vectors = self._forward(batch)
            return lambda: vectors
        return self._device.submit(self._forward, batch).result

    def _forward(self, batch: Sequence[Prepared]) -> Matrix:
        crowded = self._faults.crowded
        if crowded is not None and len(batch) > crowded and len(LOADED) > 1:
            raise DeviceOutOfMemory
        time.sleep(self._faults.delay_seconds)
        rows = np.stack([item.values for item in batch]).astype(np.float32)
        for fault, error in ((self._faults.poison, ValueError), (self._faults.deadly, SystemExit)):
            if fault is not None and (rows == self._hash_vector(fault)).all(axis=1).any():
                raise error("a fault that config.json asked for")
        if self._faults.hang is not None and (rows == self._hash_vector(self._faults.hang)).all(axis=1).any():
            time.sleep(self._faults.hang_seconds)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / lengths, dtype=np.float32)

    def finish(self, images: Matrix, texts: Matrix) -> Matrix:
        """The softmax over ten times the cosine."""
        logits = 10.0 * images @ texts.T
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)

    def examples(self) -> list[Prepared]:
        """A black image and a word."""
        return [self.prepare_image(Image.new("RGB", (GRID, GRID))), self._prepare_text("example")]

    def _prepare_text(self, text: str) -> Prepared:
        words = len(text.split())
        if words > MAX_TOKENS:
            raise Unprocessable(f"A text has {words} tokens, the limit is {MAX_TOKENS}.")
        return Prepared(Kind.TEXT, 0, self._hash_vector(text))

    def _hash_vector(self, text: str) -> NDArray[np.float32]:
        digest = hashlib.sha256((self._faults.salt + text).encode()).digest()
        return np.frombuffer(digest[:DIMENSIONS], dtype=np.uint8).astype(np.float32) - 127.5
