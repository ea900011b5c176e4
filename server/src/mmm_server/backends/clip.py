"""Dual encoders: CLIP (softmax over the texts) and SigLIP (an independent sigmoid per text).

Both map images and texts into one space; a score is `scale · cos(image, text) + bias`.
CLIP: Radford et al. 2021, arXiv:2103.00020. SigLIP: Zhai et al. 2023, arXiv:2303.15343.
"""

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported

import numpy as np
import torch
from numpy.typing import NDArray

from mmm_server.backends.base import Capabilities, Device, Kind, Matrix, Prepared, Wishes
from mmm_server.backends.devices import DTYPES, best_threads, choose_device
from mmm_server.backends.pixels import TOLERANCE, PixelPlan, Pixels, plan_of, samples
from mmm_server.errors import DeviceOutOfMemory, ModelLoadFailed, OutOfMemory, Unprocessable, WarmUpFailed
from mmm_server.logs import fields
from mmm_server.tasks import Task

log = logging.getLogger(__name__)

TASKS = (Task.IMAGE_EMBEDDING, Task.TEXT_EMBEDDING, Task.ZERO_SHOT_IMAGE_CLASSIFICATION)
TEXT_BUCKETS = (8, 16, 32, 64)
MAX_ASPECT = 50  # for processors without a plan, which resize all of an image before they crop
BATCH_ON_CPU = 8  # saturates the cores; more only adds latency
BATCH_ON_CUDA = 32


@dataclass(frozen=True, slots=True)
class Parts:
    """What was loaded from a model directory."""

    model: Any  # transformers ships no types
    processor: Any
    tokenizer: Any
    device: Device
    max_tokens: int


def load(directory: Path, architecture: str, wishes: Wishes) -> "DualEncoder":
    """The model on its device, ready to compute; a Fatal error in words if it cannot be loaded."""
    device = choose_device(wishes)
    try:
        model = _load_weights(directory, architecture, device)
        processor, tokenizer = _load_processors(directory)
    except (torch.OutOfMemoryError, MemoryError):
        raise OutOfMemory(f"The memory of the {device.kind} device does not hold the model.") from None
    reads = int(model.config.text_config.max_position_embeddings)
    parts = Parts(model, processor, tokenizer, device, min(reads, wishes.max_text_tokens or reads))
    encoder = DualEncoder(architecture, parts)
    try:
        threads = best_threads(lambda: encoder.forward([encoder.examples()[0]] * BATCH_ON_CPU), wishes.threads)
    except Exception:
        log.error("the first batch failed", exc_info=True)
        raise WarmUpFailed("The model cannot compute what its own image processor makes of an image.") from None
    log.info("compute threads", extra=fields(threads=threads, usable=wishes.threads))
    return encoder


class DualEncoder:
    """A CLIP or SigLIP model behind the Backend protocol."""

    def __init__(self, architecture: str, parts: Parts) -> None:
        self._model, self._tokenizer, self._processor = parts.model, parts.tokenizer, parts.processor
        self._sigmoid = architecture == "SiglipModel"
        self._dtype = DTYPES[parts.device.dtype]
        self._scale = math.exp(self._model.logit_scale.item())
        self._bias = self._model.logit_bias.item() if self._sigmoid else 0.0
        self._plan = _checked_plan(self._processor)
        self._text_buckets = self._buckets(parts.max_tokens)
        if self._plan is not None:
            self._factor, self._offset = _normalisation(self._plan, parts.device.kind)
        self.device = parts.device
        self.capabilities = Capabilities(
            architecture=architecture,
            tasks=TASKS,
            dimensions=self._dimensions(),
            max_text_tokens=parts.max_tokens,
            image_edge=None if self._plan is None else self._plan.longest_need,
            default_batch_size=BATCH_ON_CPU if parts.device.kind == "cpu" else BATCH_ON_CUDA,
        )

    def prepare_image(self, pixels: Pixels) -> Prepared:
        """The pixels that the model sees, height × width × 3, or the reference's floats where there is no plan."""
        if self._plan is not None:
            return Prepared(Kind.IMAGE, 0, self._plan.apply(pixels))
        height, width = pixels.shape[:2]
        if max(height, width) > MAX_ASPECT * min(height, width):
            raise Unprocessable(f"One edge of the image is more than {MAX_ASPECT} times longer than the other.")
        return Prepared(Kind.IMAGE, 0, _reference(self._processor, pixels))

    def prepare_texts(self, texts: Sequence[str]) -> list[Prepared]:
        """Token ids, padded to the next bucket."""
        rows = self._tokenizer(list(texts), truncation=False, padding=False)["input_ids"]
        return [self._pad(row) for row in rows]

    def forward(self, batch: Sequence[Prepared]) -> Matrix:
        """The vectors of a batch of one kind and bucket, scaled to length one."""
        stacked = np.stack([item.values for item in batch])
        try:
            with torch.inference_mode():
                encode = self._encode_images if batch[0].kind is Kind.IMAGE else self._encode_texts
                vectors = encode(torch.from_numpy(stacked).to(self.device.kind, non_blocking=True))
                vectors = torch.nn.functional.normalize(vectors.float(), dim=-1)
                return np.asarray(vectors.cpu().numpy(), dtype=np.float32)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            raise DeviceOutOfMemory from None

    def finish(self, images: Matrix, texts: Matrix) -> Matrix:
        """The probability of every text for every image."""
        logits = (self._scale * (images @ texts.T) + self._bias).astype(np.float64)
        if self._sigmoid:
            return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float32)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)

    def examples(self) -> list[Prepared]:
        """A grey image and a text of every bucket."""
        image = self.prepare_image(np.full((64, 64, 3), 127, dtype=np.uint8))
        row = self._tokenizer(["a"], truncation=False, padding=False)["input_ids"][0]
        return [image, *(Prepared(Kind.TEXT, bucket, self._padded(row, bucket)) for bucket in self._text_buckets)]

    def _encode_images(self, stacked: torch.Tensor) -> torch.Tensor:
        if self._plan is not None:
            stacked = stacked.permute(0, 3, 1, 2).float() * self._factor + self._offset
        features = self._model.get_image_features(pixel_values=stacked.to(self._dtype))
        return _tensor(features.pooler_output)

    def _encode_texts(self, stacked: torch.Tensor) -> torch.Tensor:
        # No attention mask: CLIP's is causal and reads the end-of-text token, SigLIP was trained to see its padding.
        return _tensor(self._model.get_text_features(input_ids=stacked).pooler_output)

    def _buckets(self, max_tokens: int) -> tuple[int, ...]:
        if self._sigmoid:
            return (max_tokens,)
        return (*(bucket for bucket in TEXT_BUCKETS if bucket < max_tokens), max_tokens)

    def _pad(self, row: list[int]) -> Prepared:
        limit = self._text_buckets[-1]
        if len(row) > limit:
            raise Unprocessable(f"A text has {len(row)} tokens, the limit is {limit}.")
        bucket = next(size for size in self._text_buckets if len(row) <= size)
        return Prepared(Kind.TEXT, bucket, self._padded(row, bucket))

    def _padded(self, row: list[int], bucket: int) -> NDArray[np.int64]:
        padding = self._tokenizer.pad_token_id or 0
        return np.asarray((row + [padding] * bucket)[:bucket], dtype=np.int64)

    def _dimensions(self) -> int:
        config = self._model.config
        return int(config.text_config.projection_size if self._sigmoid else config.projection_dim)


def _load_weights(directory: Path, architecture: str, device: Device) -> Any:
    model_class = _model_class(architecture)
    try:
        model, report = model_class.from_pretrained(
            directory,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=DTYPES[device.dtype],
        )
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        log.debug("loading failed", exc_info=True)
        raise ModelLoadFailed(
            f"The weights and config.json do not make a {architecture} ({type(error).__name__})."
        ) from None
    lacking = sorted({*report["missing_keys"], *(str(key) for key in report["mismatched_keys"])})
    if lacking:
        # transformers would fill them with random numbers and serve nonsense.
        raise ModelLoadFailed(
            f"The weights lack {len(lacking)} tensors of a {architecture}, the first is {lacking[0]}."
        )
    return model.to(device.kind).eval()


def _model_class(architecture: str) -> Any:
    # Imported from where they are defined: the package's front door would load far more.
    from transformers.utils import logging as hf_logging

    hf_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if architecture == "SiglipModel":
        from transformers.models.siglip.modeling_siglip import SiglipModel

        return SiglipModel
    from transformers.models.clip.modeling_clip import CLIPModel

    return CLIPModel


def _load_processors(directory: Path) -> tuple[Any, Any]:
    from transformers import AutoImageProcessor, AutoTokenizer

    try:
        options = {"local_files_only": True, "trust_remote_code": False}
        processor = AutoImageProcessor.from_pretrained(directory, **options)  # type: ignore[no-untyped-call]
        tokenizer = AutoTokenizer.from_pretrained(directory, **options)
    except Exception as error:
        log.debug("loading failed", exc_info=True)
        raise ModelLoadFailed(f"The tokenizer or image processor cannot be loaded ({type(error).__name__}).") from None
    return processor, tokenizer


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
        theirs = _reference(processor, sample) * std + mean
        worst = max(worst, float(np.abs(ours - theirs).mean()) if ours.shape == theirs.shape else np.inf)
    if worst > TOLERANCE:
        log.warning("image preparation falls back to the reference: the plan differs", extra=fields(difference=worst))
        return None
    return plan


def _reference(processor: Any, pixels: Pixels) -> NDArray[np.float32]:
    values = processor(pixels, return_tensors="np", input_data_format="channels_last")["pixel_values"][0]
    return np.asarray(values, dtype=np.float32)


def _normalisation(plan: PixelPlan, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Rescaling and normalisation as one multiplication and one addition per channel."""
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (plan.mean, plan.std))
    return plan.scale / std, -mean / std


def _tensor(value: object) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        raise TypeError("the model returned no tensor")
    return value
