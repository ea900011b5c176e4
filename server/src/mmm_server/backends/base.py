"""What the engine knows of a model.

prepare  one item, in a decode thread          picture or text → a small array with a shape bucket
launch   a batch of one bucket, on the device  arrays          → one float32 vector per item, now or soon
finish   one request, anywhere                 vectors         → scores

Nothing here knows of torch: arrays cross the border as numpy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from mmm_server.tasks import Task

Vector = NDArray[np.float32]  # dimensions, of length one
Matrix = NDArray[np.float32]  # items × dimensions
Result = Callable[[], Matrix]  # waits for what was launched


class Kind(StrEnum):
    """The modality of an item."""

    IMAGE = "image"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Device:
    """Where the model runs, as reported, not as wished."""

    kind: str
    name: str
    dtype: str
    memory_bytes: int | None = None
    cosine: float | None = None  # the worst agreement with float32 that was seen before serving


@dataclass(frozen=True, slots=True)
class Threads:
    """How many compute threads a model of so many parameters was found to be fastest with."""

    count: int
    parameters: int


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a loaded model can do."""

    architecture: str
    tasks: tuple[Task, ...]
    dimensions: int
    max_text_tokens: int
    image_edge: int | None = None  # the model sees no more than this many pixels per edge: decoding may shrink to it
    default_batch_size: int = 8
    batch_sizes: tuple[int, ...] = ()  # the only sizes that images are computed in; empty: any
    overlaps: bool = False  # the device computes one batch while the thread launches the next


Shape = tuple[Kind, int]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One item as the device wants it; items of one shape can be stacked."""

    kind: Kind
    bucket: int
    values: NDArray[np.generic]

    @property
    def shape(self) -> Shape:
        """What items must have in common to share a batch."""
        return self.kind, self.bucket


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the settings ask of a backend, in words that need no torch."""

    device: str = "auto"
    dtype: str = "auto"
    quantization: str = "none"
    compile: str = "none"
    exact: bool = False
    require_accelerator: bool = False
    threads: int = 1
    threads_beside: Threads | None = None  # of the model that serves while this one is loaded
    max_batch_size: int | None = None
    max_text_tokens: int | None = None


class Backend(Protocol):
    """One loaded model. `prepare_*` may run in several threads at once, `launch` and its results run in one."""

    capabilities: Capabilities
    device: Device
    threads: Threads | None
    """What was found, if possible while nothing else computed; None where there is nothing to choose."""

    def prepare_image(self, picture: Image) -> Prepared:
        """The item for a decoded picture in RGB."""
        ...

    def prepare_texts(self, texts: Sequence[str]) -> list[Prepared]:
        """One item per text; Unprocessable if one has more tokens than the model reads."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the texts have together, padding aside; any thread."""
        ...

    def launch(self, batch: Sequence[Prepared]) -> Result:
        """Starts a batch of one shape; the result is one vector of length one per item.

        Either step raises DeviceOutOfMemory if a smaller batch might fit.
        """
        ...

    def finish(self, images: Matrix, texts: Matrix) -> Matrix:
        """The probability of every text for every image, images × texts."""
        ...

    def examples(self) -> list[Prepared]:
        """One item per kind and bucket, to warm up with."""
        ...
