"""Dual encoders: CLIP (softmax over the texts) and SigLIP (an independent sigmoid per text).

Both map images and texts into one space; a score is `scale · cos(image, text) + bias`.
CLIP: Radford et al. 2021, arXiv:2103.00020. SigLIP: Zhai et al. 2023, arXiv:2303.15343.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mmm_server.backends.base import Capabilities, Device, Kind, Matrix, Prepared, Result, Threads, Wishes
from mmm_server.backends.devices import DTYPES, choose_device, choose_dtype, threads_for
from mmm_server.backends.memory import release_memory
from mmm_server.backends.patches import FoldedEmbeddings, can_fold
from mmm_server.backends.pixels import samples
from mmm_server.backends.preparation import ImagePreparation, TextPreparation, reference_pixels
from mmm_server.backends.programs import Program, Tower, compiled, recorded
from mmm_server.backends.quantize import quantize_linears
from mmm_server.backends.transfer import failures_in_words, launched, staged
from mmm_server.backends.weights import load_processors, load_weights
from mmm_server.errors import DeviceOutOfMemory, ModelLoadFailed, OutOfMemory, WarmUpFailed
from mmm_server.logs import fields
from mmm_server.tasks import Task

log = logging.getLogger(__name__)

TASKS = (Task.IMAGE_EMBEDDING, Task.TEXT_EMBEDDING, Task.ZERO_SHOT_IMAGE_CLASSIFICATION)
TEXT_BUCKETS = (8, 16, 32, 64)
BATCH_ON_CPU = 8  # saturates the cores; more only adds latency
BATCH_ON_CUDA = 32
LEAST_COSINE = 0.99  # between an answer and the reference's own in float32


@dataclass(frozen=True, slots=True)
class Parts:
    """What was loaded from a model directory."""

    architecture: str
    model: Any  # transformers ships no types
    images: ImagePreparation
    texts: TextPreparation
    device: Device


def load(directory: Path, architecture: str, wishes: Wishes) -> "DualEncoder":
    """The model on its device, ready to compute; a Fatal error in words if it cannot be loaded."""
    device = choose_device(wishes)
    try:
        encoder, cosine = _load(directory, architecture, wishes, device)
        reduced = encoder.device.dtype not in ("float32", "int8")
        if wishes.dtype == "auto" and reduced and not cosine >= LEAST_COSINE:
            known = fields(dtype=encoder.device.dtype, cosine=cosine)
            log.warning("the answers differ too much: float32 is used", extra=known)
            del encoder
            release_memory()  # the room was counted for one model, beside the one that serves
            encoder, cosine = _load(directory, architecture, replace(wishes, dtype="float32"), device)
    except (torch.OutOfMemoryError, DeviceOutOfMemory, MemoryError):
        raise OutOfMemory(f"The memory of the {device.kind} device does not hold the model.") from None
    if cosine >= LEAST_COSINE:
        return encoder
    raise ModelLoadFailed(
        f"In {encoder.device.dtype} the answers differ from float32 (cosine {cosine:.3f}, at least {LEAST_COSINE} is"
        " needed): use the dtype auto and no quantization."
    )


def _load(directory: Path, architecture: str, wishes: Wishes, device: Device) -> tuple["DualEncoder", float]:
    """Loads in full precision and reduces as wished: the model, and how far its answers still agree."""
    processor, tokenizer = load_processors(directory)
    model = load_weights(directory, architecture, torch.float32)
    texts = TextPreparation(tokenizer, _buckets(model, architecture, wishes.max_text_tokens))
    reference = _reference(model, processor, texts, architecture)
    parameters = sum(one.numel() for one in model.parameters())
    dtype = choose_dtype(wishes.dtype, device, parameters)
    images = ImagePreparation(processor)
    _reduce(model, images, dtype, wishes.quantization, device)
    reported = replace(device, dtype="int8" if wishes.quantization == "int8" else dtype)
    encoder = DualEncoder(Parts(architecture, model, images, texts, reported), DTYPES[dtype], wishes)
    try:
        batch = [encoder.examples()[0]] * BATCH_ON_CPU
        threads = threads_for(lambda: encoder.launch(batch)(), parameters, wishes.threads, wishes.threads_beside)
        cosine = encoder.agreement(reference)
    except DeviceOutOfMemory:
        raise
    except Exception:
        log.error("the first batch failed", exc_info=True)
        raise WarmUpFailed(f"The {architecture} cannot compute on this device; the server's log says why.") from None
    measured = threads is not wishes.threads_beside
    log.info("compute threads", extra=fields(threads=threads.count, usable=wishes.threads, measured=measured))
    encoder.threads = threads
    encoder.device = replace(reported, cosine=round(cosine, 6))
    return encoder, cosine


class DualEncoder:
    """A CLIP or SigLIP model behind the Backend protocol."""

    def __init__(self, parts: Parts, dtype: torch.dtype, wishes: Wishes) -> None:
        self._model, self._images, self._texts = parts.model, parts.images, parts.texts
        self._sigmoid = parts.architecture == "SiglipModel"
        self._dtype = dtype
        self._folded = isinstance(self._model.vision_model.embeddings, FoldedEmbeddings)
        self._scale = math.exp(self._model.logit_scale.item())
        self._bias = self._model.logit_bias.item() if self._sigmoid else 0.0
        self.device = parts.device
        self.threads: Threads | None = None
        plan, compiles = self._images.plan, wishes.compile != "none"
        default = BATCH_ON_CPU if parts.device.kind == "cpu" else BATCH_ON_CUDA
        self.capabilities = Capabilities(
            architecture=parts.architecture,
            tasks=TASKS,
            dimensions=self._dimensions(),
            max_text_tokens=self._texts.buckets[-1],
            image_edge=None if plan is None or wishes.exact else plan.longest_need,
            default_batch_size=default,
            batch_sizes=_batch_sizes(wishes.max_batch_size or default) if compiles else (),
            overlaps=parts.device.kind == "cuda",
        )
        if plan is not None and not self._folded:
            self._factor, self._offset = _normalisation(plan, parts.device.kind)
        self._programs = self._make_programs(wishes.compile)

    def prepare_image(self, picture: Image.Image) -> Prepared:
        """The item for a decoded picture."""
        return self._images.prepare(picture)

    def prepare_texts(self, texts: Sequence[str]) -> list[Prepared]:
        """One item per text."""
        return self._texts.prepare(texts)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the texts have together, padding aside."""
        return self._texts.count(texts) if texts else 0

    def launch(self, batch: Sequence[Prepared]) -> Result:
        """Starts a batch of one shape; the result is its vectors, scaled to length one."""
        kind, count = batch[0].kind, len(batch)
        sizes = self.capabilities.batch_sizes if kind is Kind.IMAGE else ()
        size = next((size for size in sizes if size >= count), count)
        values = [item.values for item in batch] + [batch[0].values] * (size - count)
        with failures_in_words(), torch.inference_mode():
            return launched(self._programs[kind](staged(values, self.device.kind)), count)

    def finish(self, images: Matrix, texts: Matrix) -> Matrix:
        """The probability of every text for every image."""
        logits = (self._scale * (images @ texts.T) + self._bias).astype(np.float64)
        if self._sigmoid:
            return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float32)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)

    def examples(self) -> list[Prepared]:
        """A grey image and a text of every bucket."""
        image = self.prepare_image(Image.new("RGB", (64, 64), "grey"))
        return [image, *(self._texts.example(bucket) for bucket in self._texts.buckets)]

    def agreement(self, reference: NDArray[np.float32]) -> float:
        """The worst cosine between our vectors of the sample images and texts and those of the reference."""
        items = [*(self.prepare_image(sample) for sample in samples()), *self._texts.samples()]
        ours = np.concatenate([self.launch([item])() for item in items])
        return float((ours * reference).sum(axis=1).min())

    def _make_programs(self, compile_mode: str) -> dict[Kind, Program]:
        image, text = Tower(self._encode_images, self._model), Tower(self._encode_texts, self._model)
        pictures = [self._example_stack(self.examples()[:1] * count) for count in (2, 3)]
        lengths = [self._texts.example(bucket) for bucket in self._texts.buckets]
        words = [self._example_stack([text] * count) for text in lengths for count in (2, 3)]
        return {
            Kind.IMAGE: recorded(image, pictures) if compile_mode == "none" else compiled(image, compile_mode),
            Kind.TEXT: recorded(text, words),
        }

    def _example_stack(self, items: Sequence[Prepared]) -> torch.Tensor:
        return staged([item.values for item in items], self.device.kind)

    def _encode_images(self, stacked: torch.Tensor) -> object:
        if not self._folded:
            if self._images.plan is not None:
                stacked = stacked.permute(0, 3, 1, 2).float() * self._factor + self._offset
            stacked = stacked.to(self._dtype)
        return self._model.get_image_features(pixel_values=stacked).pooler_output

    def _encode_texts(self, stacked: torch.Tensor) -> object:
        # No attention mask: CLIP's is causal and reads the end-of-text token, SigLIP was trained to see its padding.
        return self._model.get_text_features(input_ids=stacked).pooler_output

    def _dimensions(self) -> int:
        config = self._model.config
        return int(config.text_config.projection_size if self._sigmoid else config.projection_dim)


def _reference(model: Any, processor: Any, texts: TextPreparation, architecture: str) -> NDArray[np.float32]:
    """The vectors of the sample images and texts as transformers computes them, in float32 on the processor."""
    try:
        with torch.inference_mode():
            pixels = [torch.from_numpy(reference_pixels(processor, sample))[None] for sample in samples()]
            rows = [model.get_image_features(pixel_values=one).pooler_output for one in pixels]
            ids = [torch.from_numpy(item.values)[None] for item in texts.samples()]
            rows += [model.get_text_features(input_ids=one).pooler_output for one in ids]
            return np.asarray(torch.nn.functional.normalize(torch.cat(rows), dim=-1).numpy(), dtype=np.float32)
    except MemoryError:
        raise
    except Exception:
        log.error("the reference cannot be computed", exc_info=True)
        raise WarmUpFailed(
            f"The {architecture} cannot compute what its own image processor makes of an image."
        ) from None


def _reduce(model: Any, images: ImagePreparation, dtype: str, quantization: str, device: Device) -> None:
    """Brings the model to its device in the wished format, with the preparation of pixels folded into it."""
    embeddings = model.vision_model.embeddings
    folded = None
    if images.plan is not None and can_fold(embeddings, images.plan):
        folded = FoldedEmbeddings(embeddings, images.plan, DTYPES[dtype])
        model.vision_model.embeddings = torch.nn.Identity()
    if quantization == "int8":
        quantize_linears(model)
    if device.kind == "cuda" and dtype == "float32":
        torch.set_float32_matmul_precision("high")  # TF32: checked against float32 like every other format
    for module in model.modules():
        module._apply(lambda tensor: tensor.to(DTYPES[dtype]) if tensor.is_floating_point() else tensor, recurse=False)
    model.to(device.kind)
    if folded is not None:
        model.vision_model.embeddings = folded.to(device.kind)


def _normalisation(plan: Any, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Rescaling and normalisation as one multiplication and one addition per channel."""
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (plan.mean, plan.std))
    return plan.scale / std, -mean / std


def _batch_sizes(most: int) -> tuple[int, ...]:
    """The sizes of compiled programs, which know no others: powers of two, and the largest."""
    return (*(2**power for power in range(most.bit_length()) if 2**power < most), most)


def _buckets(model: Any, architecture: str, wished: int | None) -> tuple[int, ...]:
    reads = int(model.config.text_config.max_position_embeddings)
    most = min(reads, wished or reads)
    if architecture == "SiglipModel":
        return (most,)
    return (*(bucket for bucket in TEXT_BUCKETS if bucket < most), most)
