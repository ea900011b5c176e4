"""What every contender computes: Hugging Face's processor and model, called as their documentation does it.

It runs in the contender's own environment and is told what to serve by four variables: BENCH_MODEL, a directory;
BENCH_DTYPE, the name of a torch dtype; BENCH_THREADS, of torch; BENCH_PORT, where to listen.
"""

import io
import os
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

MAX_BATCH = 8
WAIT_SECONDS = 0.005
PORT = int(os.environ.get("BENCH_PORT", "0"))


class Preparation:
    """The processor alone."""

    def __init__(self) -> None:
        # A pool of the same size for everybody.
        torch.set_num_threads(int(os.environ["BENCH_THREADS"]))
        self.processor = CLIPProcessor.from_pretrained(os.environ["BENCH_MODEL"], local_files_only=True)

    def prepare(self, picture: bytes) -> Any:
        """The pixels of one picture as the processor makes them, 3 × height × width."""
        with Image.open(io.BytesIO(picture)) as image:
            return self.processor.image_processor(image, return_tensors="np")["pixel_values"][0]


class Classifier(Preparation):
    """Zero-shot classification with one CLIP."""

    def __init__(self) -> None:
        super().__init__()
        self.dtype = getattr(torch, os.environ["BENCH_DTYPE"])
        model = CLIPModel.from_pretrained(os.environ["BENCH_MODEL"], local_files_only=True, dtype=self.dtype)
        self.model = model.train(False)

    def classify(self, pixels: Sequence[Any], labels: Sequence[Sequence[str]]) -> list[list[float]]:
        """For each picture the probabilities of its labels; a text that several ask for is computed once."""
        texts = list(dict.fromkeys(text for asked in labels for text in asked))
        tokens = self.processor.tokenizer(texts, return_tensors="pt", padding=True)
        with torch.inference_mode():
            stacked = torch.stack([torch.as_tensor(one) for one in pixels]).to(self.dtype)
            logits = self.model(pixel_values=stacked, **tokens).logits_per_image.float()
        rows = []
        for row, asked in zip(logits, labels, strict=True):
            rows.append(row[[texts.index(text) for text in asked]].softmax(dim=-1).tolist())
        return rows
