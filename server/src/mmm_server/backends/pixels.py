"""Our own image preparation: the geometry of a Hugging Face image processor, done once and in eight bits.

The reference resizes the whole image and then crops; here only the part that survives the crop is resized,
straight from the source (`resize(box=)`), which is several times faster and makes a 1 × 10,000 pixel image as cheap
as any other. Scaling and normalisation are left to the device. Whether this equals the reference is measured at load;
a processor that does more than resize, crop, rescale and normalise gets no plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

TOLERANCE = 0.5 / 255.0  # mean absolute difference of pixel values on 0…1; rounding alone is below a third of this


@dataclass(frozen=True, slots=True)
class PixelPlan:
    """Resize, crop, scale: what the model wants to see."""

    width: int
    height: int
    shortest_edge: int | None  # None: resize to width × height and let the aspect ratio go
    resample: Image.Resampling
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def longest_need(self) -> int:
        """The edge below which a decoder must not shrink an image."""
        return max(self.width, self.height, self.shortest_edge or 0)

    def apply(self, source: Image.Image) -> Pixels:
        """The uint8 pixels that the model sees, height × width × 3."""
        if self.shortest_edge is None:
            return np.asarray(source.resize((self.width, self.height), self.resample))
        box = self._box(source.width, source.height, self.shortest_edge)
        return np.asarray(source.resize((self.width, self.height), self.resample, box=box))

    def _box(self, width: int, height: int, edge: int) -> tuple[float, float, float, float]:
        """Where the centre crop lies in the source."""
        short = min(width, height)
        resized_width, resized_height = int(edge * width / short), int(edge * height / short)
        left, top = (resized_width - self.width) // 2, (resized_height - self.height) // 2
        across, down = width / resized_width, height / resized_height
        return (
            left * across,
            top * down,
            min((left + self.width) * across, width),
            min((top + self.height) * down, height),
        )


def plan_of(processor: Any) -> PixelPlan | None:
    """The plan for a processor, or None if it does something that a plan cannot say."""
    flags = ("do_resize", "do_rescale", "do_normalize")
    if not all(getattr(processor, flag, False) for flag in flags) or getattr(processor, "do_pad", False):
        return None
    size = dict(processor.size)
    crop = dict(processor.crop_size) if getattr(processor, "do_center_crop", False) else None
    edge = size.get("shortest_edge")
    frame = crop if edge is not None else (size if crop is None else None)
    if frame is None or not frame.get("width") or not frame.get("height"):
        return None
    if edge is not None and (edge < frame["width"] or edge < frame["height"] or size.get("longest_edge")):
        return None
    return PixelPlan(
        width=frame["width"],
        height=frame["height"],
        shortest_edge=edge,
        resample=Image.Resampling(int(processor.resample)),
        scale=float(processor.rescale_factor),
        mean=_three(processor.image_mean),
        std=_three(processor.image_std),
    )


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def samples() -> list[Image.Image]:
    """Two images, one wide and one tall, with gradients, edges and noise: what resizing could get wrong."""
    rng = np.random.default_rng(7)
    found = []
    for height, width in ((300, 451), (517, 260)):
        rows, columns = np.mgrid[0:height, 0:width]
        image = np.stack(
            [rows * 255 // height, columns * 255 // width, ((rows // 16 + columns // 16) % 2) * 255], axis=-1
        )
        found.append(Image.fromarray((0.8 * image + 0.2 * rng.integers(0, 256, image.shape)).astype(np.uint8)))
    return found
