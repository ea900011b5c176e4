from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmm_server.errors import Malformed, Refused, Unprocessable, UnsupportedType
from mmm_server.media.image import ORIENTATION_TAG, UPRIGHT, decode_image

BUDGET = 1_000_000


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width: int = 40, height: int = 30) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([rows * 8, columns * 6, (rows + columns) * 3], axis=-1).astype(np.uint8))


def test_lossless_images_come_out_as_they_went_in() -> None:
    for kind in ("PNG", "BMP"):
        np.testing.assert_array_equal(decode_image(encode(gradient(), kind), BUDGET), np.asarray(gradient()))


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
def test_a_rotated_photo_stands_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    stored = gradient()
    back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}.get(orientation, UPRIGHT[orientation])
    encoded = encode(stored.transpose(back), "PNG", exif=exif)
    np.testing.assert_array_equal(decode_image(encoded, BUDGET), np.asarray(stored))


def test_sixteen_bits_of_grey_keep_their_brightness() -> None:
    grey = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    decoded = np.asarray(decode_image(encode(Image.fromarray(grey)), BUDGET))
    np.testing.assert_array_equal(decoded[..., 0], grey >> 8)
    assert decoded.shape == (16, 16, 3)


def test_transparency_is_dropped_as_the_reference_does() -> None:
    image = gradient().convert("RGBA")
    image.putalpha(0)
    np.testing.assert_array_equal(decode_image(encode(image), BUDGET), np.asarray(gradient()))


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    encoded = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_image(encoded, BUDGET).getpixel((0, 0)), [255, 0, 0])


def test_a_large_jpeg_is_decoded_smaller_but_never_below_twice_the_need() -> None:
    encoded = encode(gradient(40, 30).resize((1600, 1200)), "JPEG")
    width, height = decode_image(encoded, 10 * BUDGET, shrink_to=224).size
    assert 448 <= height < 1200
    assert 448 <= width < 1600
    assert decode_image(encoded, 10 * BUDGET).size == (1600, 1200)


def test_one_pixel_is_an_image() -> None:
    assert decode_image(encode(Image.new("RGB", (1, 1))), BUDGET, shrink_to=224).size == (1, 1)


def test_the_budget_is_checked_before_the_pixels_exist() -> None:
    with pytest.raises(Unprocessable, match="1200 × 1000 pixels"):
        decode_image(encode(Image.new("1", (1200, 1000))), BUDGET)


@pytest.mark.parametrize(
    ("encoded", "error"),
    [
        (b"", Malformed),
        (b"%PDF-1.7", UnsupportedType),
        (encode(gradient(), "TIFF"), UnsupportedType),
    ],
)
def test_what_is_no_image_is_refused(encoded: bytes, error: type[Refused]) -> None:
    with pytest.raises(error):
        decode_image(encoded, BUDGET)


SEEDS = [encode(gradient(), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP")]


@given(st.sampled_from(SEEDS), st.integers(0, 4000), st.binary(min_size=1, max_size=8), st.integers(1, 4000))
def test_damaged_images_are_refused_or_decoded_never_a_crash(seed: bytes, at: int, junk: bytes, length: int) -> None:
    damaged = (seed[: at % len(seed)] + junk + seed[at % len(seed) + len(junk) :])[:length]
    with suppress(Malformed, UnsupportedType, Unprocessable):
        picture = decode_image(damaged, BUDGET, shrink_to=16)
        assert picture.mode == "RGB"
        assert min(picture.size) >= 1
