"""Tensors of the inference protocol become the pictures and texts that they hold."""

import struct
import tracemalloc
from contextlib import suppress
from io import BytesIO
from math import prod

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from mmm_server.errors import Invalid, Malformed, Unprocessable
from mmm_server.http.oip.call import read_call
from mmm_server.http.oip.message import Tensor, parse_message
from mmm_server.http.oip.tensors import bitmap, images_of, texts_of
from mmm_server.limits import Limits
from mmm_server.media.image import decode_image
from mmm_server.tasks import Task

LIMITS = Limits(items=8)
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def pixels_of(shape: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


@given(shape=SHAPES, seed=st.integers(0, 1000))
def test_a_bitmap_is_lossless(shape: tuple[int, int], seed: int) -> None:
    pixels = pixels_of(shape, seed)
    encoded = bitmap(pixels)
    np.testing.assert_array_equal(decode_image(encoded, 1000), pixels)
    assert Image.open(BytesIO(encoded)).format == "BMP"


@given(shape=SHAPES, count=st.integers(1, 3))
def test_binary_and_json_pixels_are_the_same_pictures(shape: tuple[int, int], count: int) -> None:
    pixels = np.stack([pixels_of(shape, seed) for seed in range(count)])
    binary = Tensor("image", "UINT8", pixels.shape, None, memoryview(pixels.tobytes()))
    flat = Tensor("image", "UINT8", pixels.shape, pixels.reshape(-1).tolist(), None)
    nested = Tensor("image", "UINT8", pixels.shape, pixels.tolist(), None)
    assert images_of(binary, LIMITS) == images_of(flat, LIMITS) == images_of(nested, LIMITS)


def test_pixels_of_json_cost_what_they_are_and_not_what_the_longest_would() -> None:
    values = ["a" * 50_000, *[""] * 1000]
    tensor = Tensor("image", "UINT8", (1, 1, 1, 3), values, None)
    tracemalloc.start()
    try:
        with pytest.raises(Invalid, match="whole numbers"):
            images_of(tensor, LIMITS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * sum(map(len, values))


@pytest.mark.parametrize("value", ["7", 7.0, True, None, {}, 256, -1, 2**64 - 1])
def test_a_pixel_is_a_whole_number_of_one_byte(value: object) -> None:
    with pytest.raises(Invalid, match="whole numbers from 0 to 255"):
        images_of(Tensor("image", "UINT8", (1, 1, 1, 3), [1, value, 3], None), LIMITS)


@pytest.mark.parametrize("values", [[1, 2], [[1, 2, 3]], [[[[1, 2], [3]]]], [[1], 2, 3], [[]]])
def test_pixels_must_fill_their_shape(values: list[object]) -> None:
    with pytest.raises(Invalid, match="does not fill its shape"):
        images_of(Tensor("image", "UINT8", (1, 1, 1, 3), values, None), LIMITS)


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=8))
def test_binary_texts_come_back(texts: list[str]) -> None:
    raw = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    assert texts_of(Tensor("text", "BYTES", (len(texts),), None, memoryview(raw)), LIMITS) == texts


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@given(
    name=st.sampled_from(["image", "text"]),
    datatype=st.sampled_from(["BYTES", "UINT8"]),
    shape=st.lists(st.integers(0, 4), max_size=5),
    data=JSON | st.lists(st.integers(-1, 256), max_size=12),
    raw=st.none() | st.binary(max_size=40),
)
def test_no_tensor_raises_anything_but_a_refusal(
    name: str, datatype: str, shape: list[int], data: object, raw: bytes | None
) -> None:
    one: dict[str, object] = {"name": name, "datatype": datatype, "shape": shape}
    try:
        one |= {"data": data} if raw is None else {"parameters": {"binary_data_size": len(raw)}}
        header = orjson.dumps({"inputs": [one]})
    except TypeError:  # a number that is too large for this writer
        return
    message = header + (raw or b"")
    with suppress(Malformed, Invalid, Unprocessable):
        call = read_call(parse_message(message, str(len(header))), LIMITS, tuple(Task))
        assert len(call.images) + len(call.texts) == shape[0] > 0
        assert prod(shape) > 0
