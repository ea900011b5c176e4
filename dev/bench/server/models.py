"""Two CLIPs of random weights in Hugging Face layout: a tiny one, and one of the size of ViT-B/32."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dev.models.architecture import build_processor
from dev.models.captions import END, MAX_TOKENS, PAD, START, vocabulary

PIXELS = 224
SPREAD = 3.0


@dataclass(frozen=True)
class Size:
    """The numbers of one model; `megabytes` is what its weights take on disk in fp32."""

    hidden: int
    layers: int
    heads: int
    text_hidden: int
    text_layers: int
    text_heads: int
    words: int
    tokens: int
    megabytes: int


SIZES = {
    "tiny": Size(64, 2, 4, 64, 2, 4, words=0, tokens=0, megabytes=2),
    "vit-b-32": Size(768, 12, 12, 512, 12, 8, words=49408, tokens=77, megabytes=605),
}


@contextmanager
def model_directory(name: str) -> Iterator[Path]:
    """A directory with that model, gone afterwards; its size is printed before it is written."""
    size = SIZES[name]
    with TemporaryDirectory(prefix=f"bench-{name}-") as directory:
        free = shutil.disk_usage(directory).free // 1_000_000
        print(f"  writing {name}, {size.megabytes} MB, to {directory} ({free} MB are free there)", flush=True)
        if free < 2 * size.megabytes:
            raise SystemExit(f"{directory} has no room for {size.megabytes} MB; set TMPDIR to a larger place.")
        _write(size, Path(directory))
        yield Path(directory)


def _write(size: Size, directory: Path) -> None:
    # Here, and not above: the bench itself needs no torch, and every worker would pay for it.
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(7)
    model = CLIPModel(CLIPConfig(**_config(size)))
    with torch.no_grad():
        # With the usual initialisation all answers would be nearly the same, and a wrong one would not be seen.
        model.visual_projection.weight.mul_(SPREAD)
        model.text_projection.weight.mul_(SPREAD)
    model.save_pretrained(directory)
    processor = build_processor()
    processor.image_processor.size = {"shortest_edge": PIXELS}
    processor.image_processor.crop_size = {"height": PIXELS, "width": PIXELS}
    processor.save_pretrained(directory)


def _config(size: Size) -> dict[str, Any]:
    words = vocabulary()
    text = {
        "vocab_size": size.words or len(words),
        "hidden_size": size.text_hidden,
        "intermediate_size": 4 * size.text_hidden,
        "num_hidden_layers": size.text_layers,
        "num_attention_heads": size.text_heads,
        "max_position_embeddings": size.tokens or MAX_TOKENS,
        "pad_token_id": words[PAD],
        "bos_token_id": words[START],
        "eos_token_id": words[END],
    }
    vision = {
        "hidden_size": size.hidden,
        "intermediate_size": 4 * size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "image_size": PIXELS,
        "patch_size": 32,
    }
    return {"text_config": text, "vision_config": vision, "projection_dim": size.text_hidden}
