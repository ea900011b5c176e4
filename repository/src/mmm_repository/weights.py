"""How large a model is, told from the headers of its weights."""

import math
from dataclasses import dataclass
from pathlib import Path

from mmm_repository.errors import UnsafeArtifact
from mmm_repository.manifest import sentence
from mmm_repository.paths import shown
from mmm_repository.safetensors import read_header


@dataclass(frozen=True)
class Weights:
    """The number of values in all tensors, and the bytes of their files."""

    parameters: int
    stored_bytes: int


def weights_of(directory: Path) -> Weights:
    """The size of the model in a directory, none for one without safetensors. Reads headers only."""
    files = sorted(directory.rglob("*.safetensors"))
    return Weights(sum(map(parameters_in, files)), sum(file.stat().st_size for file in files))


def parameters_in(file: Path) -> int:
    """The number of values in the file's tensors; raises UnsafeArtifact for a bad header."""
    try:
        header, _ = read_header(file)
    except (ValueError, RecursionError) as error:
        raise UnsafeArtifact(f"The file {shown(file.name)} has a bad header: {sentence(error)}.") from None
    return sum(math.prod(tensor.shape) for tensor in header.values())
