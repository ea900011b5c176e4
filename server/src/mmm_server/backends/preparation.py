"""What happens to an item before the device sees it: pixels by the plan of the image processor, texts by tokens."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from mmm_server.backends.base import Kind, Prepared
from mmm_server.backends.pixels import TOLERANCE, PixelPlan, plan_of, samples
from mmm_server.errors import Unprocessable
from mmm_server.logs import fields

log = logging.getLogger(__name__)

WORDS = (
    "a photo of two red bicycles, leaning against the wall of an old bakery on a rainy morning in november; behind the "
    "window a woman in a blue apron arranges loaves of bread, and a small dog waits at the door while people with "
    "umbrellas hurry past a yellow tram that has just stopped in front of the station"
)
MAX_ASPECT = 50  # for processors without a plan, which resize all of an image before they crop


class ImagePreparation:
    """Images as the model sees them; safe to use in several threads at once."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self.plan = _checked_plan(processor)

    def prepare(self, picture: Image) -> Prepared:
        """The pixels that the model sees, height × width × 3, or the reference's floats where there is no plan."""
        if self.plan is not None:
            return Prepared(Kind.IMAGE, 0, self.plan.apply(picture))
        if max(picture.size) > MAX_ASPECT * min(picture.size):
            raise Unprocessable(f"One edge of the image is more than {MAX_ASPECT} times longer than the other.")
        return Prepared(Kind.IMAGE, 0, reference_pixels(self._processor, picture))


class TextPreparation:
    """Texts as token ids, padded to the next bucket."""

    def __init__(self, tokenizer: Any, buckets: tuple[int, ...]) -> None:
        self._tokenizer = tokenizer
        self._padding = tokenizer.pad_token_id or 0
        self.buckets = buckets

    def prepare(self, texts: Sequence[str]) -> list[Prepared]:
        """One item per text; Unprocessable if one is too long."""
        return [self._pad(row) for row in self._tokenize(texts)]

    def count(self, texts: Sequence[str]) -> int:
        """How many tokens the texts have together, padding aside."""
        return sum(map(len, self._tokenize(texts)))

    def samples(self) -> list[Prepared]:
        """Texts of every length, each with other words, to compare answers with."""
        rows = [self._tokenize([WORDS[:length]])[0] for length in range(1, len(WORDS), 7)]
        found = {(item := self._pad(row)).bucket: item for row in rows if len(row) <= self.buckets[-1]}
        return list(found.values())

    def example(self, bucket: int) -> Prepared:
        """A text of one bucket."""
        row = self._tokenize(["a"])[0]
        return Prepared(Kind.TEXT, bucket, self._padded(row, bucket))

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        rows: list[list[int]] = self._tokenizer(list(texts), truncation=False, padding=False)["input_ids"]
        return rows

    def _pad(self, row: list[int]) -> Prepared:
        limit = self.buckets[-1]
        if len(row) > limit:
            raise Unprocessable(f"A text has {len(row)} tokens, the limit is {limit}.")
        bucket = next(size for size in self.buckets if len(row) <= size)
        return Prepared(Kind.TEXT, bucket, self._padded(row, bucket))

    def _padded(self, row: list[int], bucket: int) -> NDArray[np.int64]:
        return np.asarray((row + [self._padding] * bucket)[:bucket], dtype=np.int64)


def reference_pixels(processor: Any, picture: Image) -> NDArray[np.float32]:
    """What the model's own image processor makes of an image: 3 × height × width floats."""
    values = processor(np.asarray(picture), return_tensors="np", input_data_format="channels_last")["pixel_values"][0]
    return np.asarray(values, dtype=np.float32)


def _checked_plan(processor: Any) -> PixelPlan | None:
    """Our plan for the processor if it sees what the processor sees."""
    plan = plan_of(processor)
    if plan is None:
        log.warning("image preparation falls back to the reference: no plan for this processor")
        return None
    mean, std = (np.asarray(values, dtype=np.float32)[:, None, None] for values in (plan.mean, plan.std))
    worst = 0.0
    for sample in samples():
        ours = plan.apply(sample).transpose(2, 0, 1).astype(np.float32) * plan.scale
        theirs = reference_pixels(processor, sample) * std + mean
        worst = max(worst, float(np.abs(ours - theirs).mean()) if ours.shape == theirs.shape else np.inf)
    if worst > TOLERANCE:
        log.warning("image preparation falls back to the reference: the plan differs", extra=fields(difference=worst))
        return None
    return plan
