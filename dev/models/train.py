"""Contrastive training of the tiny CLIP, from nothing, on pictures drawn as it goes.

A step takes one picture and one caption of every class, so no two captions in it mean the same and the
symmetric InfoNCE loss has no false negatives. Colour is learned within fifty steps, shape over the rest:
version 1 is the moment at which shapes begin to show, version 2 the end of the run.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import CLIPModel

from dev.models.architecture import IMAGE_SIZE, build_model, build_processor, save
from dev.models.captions import TEMPLATES, caption
from dev.models.card import ModelCard
from dev.models.heldout import held_out
from dev.models.shapes import CLASSES, Pixels, Stream, draw_all

Progress = Callable[[str], None]
THREADS = 1  # measured: two need 50 ms of processor time a step, one 35 ms, and stall beside busy neighbours


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what comes out of training."""

    seed: int = 7
    steps: int = 1500
    warm_up: int = 60
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)  # a short memory: the run is short
    clip: float = 1.0
    check_every: int = 10
    modest: float = 0.35  # validation accuracy at which version 1 is taken
    # Held-out accuracy below which the run counts as failed: well under the usual, as another processor rounds
    # otherwise and may end a few points away.
    least: float = 0.85

    def rate(self, step: int) -> float:
        """Give the learning rate of a step: linear warm-up, then a cosine down to nothing."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.learning_rate * (1 + math.cos(math.pi * done)) / 2


class Reader:
    """Turns pictures and captions into tensors just as the written processor does."""

    def __init__(self) -> None:
        self.processor = build_processor()
        statistics = self.processor.image_processor
        self._mean = torch.tensor(statistics.image_mean) * 255
        self._std = torch.tensor(statistics.image_std) * 255
        sentences = [caption(label, template) for template in TEMPLATES for label in CLASSES]
        tokens = self.processor.tokenizer(sentences, padding=True, return_tensors="pt")["input_ids"]
        self.captions: torch.Tensor = tokens.view(len(TEMPLATES), len(CLASSES), -1)

    def pixels(self, pictures: Pixels) -> torch.Tensor:
        """Give normalised pictures as (n, 3, size, size); they already have the model's size."""
        scaled = (torch.from_numpy(pictures).float() - self._mean) / self._std
        return scaled.permute(0, 3, 1, 2).contiguous()


class Training:
    """A model on its way: each call of `step` improves it a little."""

    def __init__(self, recipe: Recipe) -> None:
        torch.set_num_threads(THREADS)
        self.recipe = recipe
        self.steps_done = 0
        self.model: CLIPModel = build_model(recipe.seed)
        self.reader = Reader()
        self._rng = np.random.default_rng((Stream.TRAIN, recipe.seed))
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), recipe.learning_rate, recipe.betas, weight_decay=recipe.weight_decay
        )
        unseen = np.random.default_rng((Stream.VALIDATION, recipe.seed))
        self._validation = self.reader.pixels(draw_all(CLASSES * 10, unseen, IMAGE_SIZE))

    def step(self) -> float:
        """Learn from one picture of every class; give the loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.steps_done)
        pictures = self.reader.pixels(draw_all(CLASSES, self._rng, IMAGE_SIZE))
        templates = torch.from_numpy(self._rng.integers(0, len(TEMPLATES), len(CLASSES)))
        tokens = self.reader.captions[templates, torch.arange(len(CLASSES))]
        loss = contrastive_loss(self.model(input_ids=tokens, pixel_values=pictures).logits_per_image)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self._optimizer.step()
        self.steps_done += 1
        return float(loss.detach())

    def validate(self) -> float:
        """Give zero-shot accuracy on pictures drawn apart from the ones learned from."""
        with torch.inference_mode():
            logits = self.model(input_ids=self.reader.captions[0], pixel_values=self._validation).logits_per_image
        right = logits.argmax(1) == torch.arange(len(CLASSES)).repeat(10)
        return float(right.float().mean())


def contrastive_loss(logits: torch.Tensor) -> torch.Tensor:
    """Give the symmetric InfoNCE loss of an (n, n) table in which picture i belongs to caption i."""
    target = torch.arange(len(logits))
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def held_out_accuracy(model: CLIPModel, reader: Reader, n: int = 360) -> float:
    """Give zero-shot accuracy on n held-out 224 px pictures, through the processor that clients' pictures take."""
    labels, pictures = zip(*held_out(n), strict=True)
    pixels = reader.processor.image_processor(list(pictures), return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        logits = model(input_ids=reader.captions[0], pixel_values=pixels).logits_per_image
    chosen = [CLASSES[index] for index in logits.argmax(1).tolist()]
    return sum(map(str.__eq__, chosen, labels)) / n


def train(out: Path, recipe: Recipe | None = None, progress: Progress = print) -> tuple[ModelCard, ModelCard]:
    """Write `clip/1`, under-trained, and `clip/2`, trained, below `out`; give their cards."""
    training, started = Training(recipe or Recipe()), time.monotonic()
    first: ModelCard | None = None
    for loss in _steps(training):
        if training.steps_done % training.recipe.check_every:
            continue
        if first is None and training.validate() >= training.recipe.modest:
            first = _publishable(training, out / "clip" / "1", progress)
        if training.steps_done % (10 * training.recipe.check_every) == 0:
            elapsed = time.monotonic() - started
            progress(f"{elapsed:6.1f} s  step {training.steps_done}/{training.recipe.steps}  loss {loss:.3f}")
    second = _publishable(training, out / "clip" / "2", progress)
    if first is None or second.accuracy < training.recipe.least:
        raise RuntimeError(f"training did not converge: accuracy {second.accuracy:.3f}, seed {training.recipe.seed}")
    return first, second


def _steps(training: Training) -> Iterator[float]:
    while training.steps_done < training.recipe.steps:
        yield training.step()


def _publishable(training: Training, directory: Path, progress: Progress) -> ModelCard:
    """Write the model as it is now with its card."""
    directory.mkdir(parents=True)
    save(training.model, directory)
    card = ModelCard(
        accuracy=round(held_out_accuracy(training.model, training.reader), 4),
        trainedSteps=training.steps_done,
        parameters=sum(weight.numel() for weight in training.model.parameters()),
    )
    card.write(directory)
    progress(f"wrote {directory.name}: {card.accuracy:.1%} of held-out pictures after {card.trainedSteps} steps")
    return card
