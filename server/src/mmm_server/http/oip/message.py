"""The bytes of an inference request: a JSON header, and after it the tensors that are not in the JSON.

Each tensor comes in one of two spellings: as `data` in the JSON, flat or nested, or as bytes after the JSON, in the
order of the inputs, little-endian, with `binary_data_size` in its parameters.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mmm_server.errors import Invalid, Malformed
from mmm_server.http.strict_json import DEFAULT, JsonLimits, parse_json

HEADER_LENGTH = b"inference-header-content-length"
TENSOR_VALUES = 1_000_000  # raw pixels may come as numbers
MAX_INPUTS = 16


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input as it came: exactly one of `values` (of JSON) and `raw` is there."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Sequence[object] | None
    raw: memoryview | None


@dataclass(frozen=True, slots=True)
class Message:
    """A request taken apart, without an opinion on what it asks for."""

    document: Mapping[str, object]
    tensors: tuple[Tensor, ...]


def parse_message(body: bytes, header_length: str | None, limits: JsonLimits = DEFAULT) -> Message:
    """The message of a body; Malformed or Invalid with a sentence that says what is wrong."""
    header, rest = _split(body, header_length)
    document = parse_json(header, replace(limits, values=max(limits.values, TENSOR_VALUES)))
    if not isinstance(document, dict):
        raise Invalid("The request must be a JSON object.")
    inputs = objects_of(document, "inputs")
    if not inputs:
        raise Invalid("The request needs at least one input.")
    if len(inputs) > MAX_INPUTS:
        raise Invalid(f"The request has more than {MAX_INPUTS} inputs.")
    tensors = tuple(_tensors(inputs, memoryview(rest)))
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise Invalid("An input is given twice.")
    return Message(document, tensors)


def objects_of(holder: Mapping[str, object], field: str) -> list[dict[str, object]]:
    """The list of objects in a field, empty if it is not there; Invalid if it is anything else."""
    found = holder.get(field)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Invalid(f"The field {field} must be a list of objects.")
    objects = [one for one in found if isinstance(one, dict)]
    if len(objects) != len(found):
        raise Invalid(f"The field {field} must be a list of objects.")
    return objects


def parameters_of(holder: Mapping[str, object]) -> dict[str, object]:
    """The parameters of a request, an input or an output."""
    found = holder.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Invalid("The field parameters must be an object.")
    if any(str(name).startswith("shared_memory") for name in found):
        raise Invalid("Shared memory is not offered here; send the tensor in the request.")
    return found


def name_of(holder: Mapping[str, object], what: str) -> str:
    """The name of an input or output."""
    found = holder.get("name")
    if not isinstance(found, str):
        raise Invalid(f"Every {what} needs a name.")
    return found


def _split(body: bytes, header_length: str | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    if not header_length.isascii() or not header_length.isdigit() or len(header_length) > 12:
        raise Malformed("Inference-Header-Content-Length must be a whole number.")
    length = int(header_length)
    if length > len(body):
        raise Malformed("Inference-Header-Content-Length is more than the length of the body.")
    return body[:length], body[length:]


def _tensors(inputs: list[dict[str, object]], rest: memoryview) -> Iterator[Tensor]:
    for one in inputs:
        name, datatype, values = name_of(one, "input"), one.get("datatype"), one.get("data")
        if not isinstance(datatype, str):
            raise Invalid("Every input needs a datatype.")
        if values is not None and not isinstance(values, list):
            raise Invalid("The data of an input must be a list.")
        size = _binary_size(parameters_of(one))
        if (size is None) == (values is None):
            raise Invalid("Every input needs either data or binary_data_size, and not both.")
        if size is not None and size > len(rest):
            raise Malformed("The body ends before the binary tensors do.")
        raw = None if size is None else rest[:size]
        rest = rest[size or 0 :]
        yield Tensor(name, datatype, _shape_of(one), values, raw)
    if rest:
        raise Malformed("Bytes follow the last binary tensor.")


def _binary_size(parameters: Mapping[str, object]) -> int | None:
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Invalid("binary_data_size must be a whole number of bytes.")
    return size


def _shape_of(one: Mapping[str, object]) -> tuple[int, ...]:
    shape = one.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise Invalid("Every input needs a shape: a list of whole numbers.")
    return tuple(shape)
