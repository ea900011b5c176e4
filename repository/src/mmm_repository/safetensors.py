"""The header of a safetensors file, checked before a loader trusts it.

Layout: 8 bytes with the header's length (little endian), the header (JSON: name to dtype, shape and the range of
bytes in the data part), then the data part. The ranges must cover the data part without gap or overlap.
"""

import math
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mmm_repository.errors import UnsafeArtifact
from mmm_repository.manifest import parse_json, sentence
from mmm_repository.paths import shown

# A header needs about 100 bytes for each tensor; the largest published models have some 100,000 tensors.
MAX_HEADER_BYTES = 32 * 2**20
LENGTH_BYTES = 8
BITS = {
    **{"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64},
    **{"F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64},
    **{"F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8},
    **{"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
}


class Tensor(BaseModel):
    """What the header says of one tensor."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    dtype: str
    shape: list[int] = Field(max_length=16)
    data_offsets: list[int] = Field(min_length=2, max_length=2)


HEADER = TypeAdapter(dict[str, Tensor])


def check_safetensors(location: Path, path: str) -> None:
    """Raise UnsafeArtifact unless the file's header fits the file. Reads the header only."""
    try:
        header, data_bytes = read_header(location)
        check_tensors(header, data_bytes)
    except (ValueError, RecursionError) as error:
        raise UnsafeArtifact(
            f"The file {shown(path)} has a bad safetensors header: {sentence(error)}. Save the weights again."
        ) from None


def read_header(location: Path) -> tuple[dict[str, Tensor], int]:
    """The tensors that the header names, and the length of the data part; raises ValueError."""
    file_bytes = location.stat().st_size
    with location.open("rb") as file:
        header_bytes = int.from_bytes(file.read(LENGTH_BYTES), "little")
        data_bytes = file_bytes - LENGTH_BYTES - header_bytes
        if file_bytes < LENGTH_BYTES or data_bytes < 0:
            raise ValueError("it is longer than the file")
        if header_bytes > MAX_HEADER_BYTES:
            raise ValueError(f"it is longer than {MAX_HEADER_BYTES} bytes")
        header = file.read(header_bytes)
    # Readers disagree about what may stand before the brace.
    if not header.startswith(b"{"):
        raise ValueError("it does not begin with a brace")
    document = parse_json(header)
    return parse_header(document), data_bytes


def parse_header(document: object) -> dict[str, Tensor]:
    """The tensors in a header document; raises ValueError."""
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is not a map of strings")
    try:
        return HEADER.validate_python(document)
    except ValidationError:
        raise ValueError("a tensor lacks dtype, shape or data_offsets, or has them of the wrong kind") from None


def check_tensors(header: dict[str, Tensor], data_bytes: int) -> None:
    """Raise ValueError unless the tensors fill the data part exactly, each with as many bytes as its shape needs."""
    for tensor in header.values():
        check_tensor(tensor)
    ranges = sorted((tensor.data_offsets[0], tensor.data_offsets[1]) for tensor in header.values())
    ends = [(0, 0), *ranges, (data_bytes, data_bytes)]
    if any(end != begin for (_, end), (begin, _) in pairwise(ends)):
        raise ValueError("its tensors overlap, leave gaps or lie outside the file")


def check_tensor(tensor: Tensor) -> None:
    """Raise ValueError unless the tensor's range is as long as its shape and dtype need."""
    begin, end = tensor.data_offsets
    bits = BITS.get(tensor.dtype)
    if bits is None:
        raise ValueError("a tensor has an unknown dtype")
    if begin < 0 or end < begin or any(length < 0 for length in tensor.shape):
        raise ValueError("a tensor has a negative size")
    if math.prod(tensor.shape) * bits != (end - begin) * 8:
        raise ValueError("a tensor has another length than its shape needs")
