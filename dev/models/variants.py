"""Broken copies of a good version directory: what tests publish to see it refused, or rolled back.

Each function changes the directory that it is given, so give it a copy.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PICKLE = "pytorch_model.bin"


def corrupt(directory: Path) -> None:
    """Flip one bit in the middle of the weights: the header still reads, the hash no longer fits."""
    weights = bytearray((directory / WEIGHTS).read_bytes())
    (header,) = struct.unpack("<Q", weights[:8])
    weights[8 + header + (len(weights) - 8 - header) // 2] ^= 0x10
    (directory / WEIGHTS).write_bytes(weights)


def pickled(directory: Path) -> None:
    """Store the weights as a pickle, which nobody may load."""
    torch.save(load_file(directory / WEIGHTS), directory / PICKLE)
    (directory / WEIGHTS).unlink()


def without_backend(directory: Path) -> None:
    """Name an architecture that no server knows."""
    config = json.loads((directory / CONFIG).read_text())
    (directory / CONFIG).write_text(json.dumps(config | {"architectures": ["NopeModel"]}, indent=2) + "\n")


def random_weights(directory: Path, seed: int = 0) -> None:
    """Replace every trained number by noise of the same spread: it loads and answers, but badly."""
    generator = torch.Generator().manual_seed(seed)

    def noise(weight: torch.Tensor) -> torch.Tensor:
        spread = weight.std() if weight.numel() > 1 else torch.tensor(0.0)
        return torch.randn(weight.shape, generator=generator) * spread + weight.mean()

    _rewrite(directory, lambda tensors: {name: noise(weight) for name, weight in tensors.items()})


def crashing(directory: Path) -> None:
    """Cut one tensor to a wrong shape: names, headers and configuration pass, loading fails."""
    name = "visual_projection.weight"
    _rewrite(directory, lambda tensors: tensors | {name: tensors[name][:, :-1].contiguous()})


def _rewrite(directory: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    tensors = load_file(directory / WEIGHTS)
    save_file(change(tensors), directory / WEIGHTS, metadata={"format": "pt"})
