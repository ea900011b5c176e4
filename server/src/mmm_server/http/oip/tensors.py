"""Tensors of the protocol to images and texts.

image   BYTES [N]             encoded images; in JSON as base64
image   UINT8 [N, H, W, 3]    RGB pixels
text    BYTES [M]             UTF-8; in JSON as strings
"""

import struct
from math import prod

import numpy as np
from numpy.typing import NDArray

from mmm_server.errors import Invalid, Malformed, Refused, Unprocessable
from mmm_server.http.oip.message import Tensor
from mmm_server.http.payload import image_bytes
from mmm_server.limits import Limits

LENGTH = struct.Struct("<I")
CHANNELS = 3
BITMAP = struct.Struct("<2sIHHI" + "IiiHHIIiiII")  # BITMAPFILEHEADER and BITMAPINFOHEADER
ROW_BYTES = 4  # rows of a bitmap are padded to a multiple of this


def images_of(tensor: Tensor, limits: Limits) -> list[bytes]:
    """Encoded images; Invalid if datatype, shape and content do not fit together."""
    if tensor.datatype == "BYTES":
        count = _count(tensor)
        limits.check_items(count, 0)
        if tensor.raw is not None:
            return [bytes(one) for one in _elements(tensor.raw, count)]
        return [image_bytes(text) for text in _strings(tensor, count)]
    if tensor.datatype == "UINT8":
        return [bitmap(pixels) for pixels in _pixels(tensor, limits)]
    raise Invalid("The input image must have the datatype BYTES or UINT8.")


def texts_of(tensor: Tensor, limits: Limits) -> list[str]:
    """Texts; Invalid if datatype, shape and content do not fit together."""
    if tensor.datatype != "BYTES":
        raise Invalid("The input text must have the datatype BYTES.")
    count = _count(tensor)
    limits.check_items(0, count)
    if tensor.raw is None:
        return _strings(tensor, count)
    try:
        return [str(one, "utf-8") for one in _elements(tensor.raw, count)]
    except UnicodeDecodeError:
        raise Malformed("An element of the input text is not UTF-8.") from None


def bitmap(pixels: NDArray[np.uint8]) -> bytes:
    """A BMP file of height × width × 3 RGB pixels: lossless, and made and read at the speed of a copy."""
    height, width, _ = pixels.shape
    used = width * CHANNELS
    rows = np.zeros((height, -(-used // ROW_BYTES) * ROW_BYTES), dtype=np.uint8)
    rows[:, :used] = pixels[::-1, :, ::-1].reshape(height, used)
    size, planes, bits = BITMAP.size + rows.size, 1, 8 * CHANNELS
    head = BITMAP.pack(b"BM", size, 0, 0, BITMAP.size, 40, width, height, planes, bits, 0, rows.size, 0, 0, 0, 0)
    return head + rows.tobytes()


def _count(tensor: Tensor) -> int:
    if len(tensor.shape) != 1 or tensor.shape[0] == 0:
        raise Invalid(f"The input {tensor.name} of datatype BYTES must have the shape [N], N at least 1.")
    return tensor.shape[0]


def _strings(tensor: Tensor, count: int) -> list[str]:
    values = tensor.values or []
    strings = [value for value in values if isinstance(value, str)]
    if len(strings) != len(values):
        raise Invalid(f"The data of the input {tensor.name} must be a list of strings.")
    if len(strings) != count:
        raise _mismatch(tensor)
    return strings


def _elements(raw: memoryview, count: int) -> list[memoryview]:
    """The elements of a BYTES tensor: each is preceded by its length."""
    found = []
    for _ in range(count):
        if len(raw) < LENGTH.size:
            raise Malformed("A BYTES tensor is cut off.")
        (length,) = LENGTH.unpack_from(raw)
        element = raw[LENGTH.size : LENGTH.size + length]
        if len(element) != length:
            raise Malformed("A BYTES tensor is cut off.")
        found.append(element)
        raw = raw[LENGTH.size + length :]
    if raw:
        raise Malformed("A BYTES tensor has more elements than its shape says.")
    return found


def _pixels(tensor: Tensor, limits: Limits) -> NDArray[np.uint8]:
    shape = tensor.shape
    if len(shape) != 4 or shape[3] != CHANNELS or 0 in shape:
        raise Invalid(f"The input {tensor.name} of datatype UINT8 must have the shape [N, H, W, 3], none of them 0.")
    limits.check_items(shape[0], 0)
    if shape[1] * shape[2] > limits.image_pixels:
        raise Unprocessable(f"An image has {shape[2]} × {shape[1]} pixels, the limit is {limits.image_pixels} pixels.")
    if tensor.raw is not None and len(tensor.raw) != prod(shape):
        raise _mismatch(tensor)
    values = np.frombuffer(tensor.raw, dtype=np.uint8) if tensor.raw is not None else _numbers(tensor)
    if values.size != prod(shape) or (values.ndim > 1 and values.shape != shape):
        raise _mismatch(tensor)
    return values.reshape(shape)


def _numbers(tensor: Tensor) -> NDArray[np.uint8]:
    """The values of JSON as an array: flat, or nested as deep as the shape."""
    # As objects, eight bytes each: among strings every one would take what the longest takes.
    found = np.array(tensor.values, dtype=object)
    kinds = set(map(type, found.flat))
    if list in kinds:
        raise _mismatch(tensor)  # lists of different lengths
    if kinds - {int} or found.min(initial=0) < 0 or found.max(initial=0) > 255:
        raise Invalid(f"The data of the input {tensor.name} must be whole numbers from 0 to 255.")
    return found.astype(np.uint8)


def _mismatch(tensor: Tensor) -> Refused:
    return Invalid(f"The data of the input {tensor.name} does not fill its shape exactly.")
