"""What reaches the decoder of an image file: what makes its pixels, and nothing else."""

import struct
import time
import tracemalloc
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mmm_server.errors import Malformed, Refused, Unprocessable
from mmm_server.media.exif import orientation_of
from mmm_server.media.image import ORIENTATION_TAG, UPRIGHT, decode_image, read_container

BUDGET = 1_000_000
BACK = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(width: int = 48, height: int = 32) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([rows * 5, columns * 4, (rows + columns) * 2], axis=-1).astype(np.uint8))


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x010F] = "A maker"
    made[ORIENTATION_TAG] = orientation
    return made


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_turned_photo_of_any_format_stands_upright(kind: str, orientation: int) -> None:
    turned = picture().transpose(BACK.get(orientation, UPRIGHT[orientation]))
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = np.asarray(decode_image(encode(turned, kind, exif=exif(orientation), **options), BUDGET))
    assert decoded.shape == (32, 48, 3)
    assert np.abs(decoded.astype(int) - np.asarray(picture())).mean() < 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_the_pixels_are_those_that_the_decoder_finds_in_the_whole_file(kind: str) -> None:
    profile = {"icc_profile": b"\0" * 3000, "exif": exif(1)} if kind in ("JPEG", "PNG", "WEBP") else {}
    encoded = encode(picture(), kind, **profile)
    still = read_container(encoded)
    assert (still.width, still.height) == (48, 32)
    assert len(still.content) <= len(encoded) - len(profile) * 20
    np.testing.assert_array_equal(
        decode_image(encoded, BUDGET), np.asarray(Image.open(BytesIO(encoded)).convert("RGB"))
    )


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_further_frames_are_never_looked_at(kind: str) -> None:
    colours = ["red", "blue", "green"] * 20
    frames = [Image.new("RGB", (40, 40), colour) for colour in colours]
    encoded = encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=10, lossless=True)
    np.testing.assert_array_equal(decode_image(encoded, BUDGET).getpixel((5, 5)), [255, 0, 0])
    if kind != "GIF":  # of which the rest is passed on unread
        assert len(read_container(encoded).content) < len(encoded) / 4


def test_texts_that_decompress_to_gigabytes_are_left_out() -> None:
    info = PngImagePlugin.PngInfo()
    encoded = encode(picture(), "PNG", pnginfo=info)
    bomb = zlib.compress(b"\0" * 50_000_000, 9)
    texts = b"".join(
        [
            chunk(b"zTXt", b"a\0\0" + bomb),
            chunk(b"iTXt", b"a\0\1\0\0\0" + bomb),
            chunk(b"iCCP", b"a\0\0" + bomb),
            chunk(b"eXIf", b"junk"),
        ]
    )
    tracemalloc.start()
    try:
        decoded = decode_image(encoded[:33] + texts + encoded[33:] + b"trailing", BUDGET)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(decoded, np.asarray(picture()))


def test_exif_whose_tags_overlap_costs_nothing() -> None:
    entries = b"".join(struct.pack("<HHII", 0x8000 + index, 1, 60_000, 8) for index in range(5000))
    tiff = b"II*\0" + struct.pack("<IH", 8, 5000) + entries
    encoded = encode(picture(), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(tiff)) + b"Exif\0\0" + tiff
    tracemalloc.start()
    try:
        decode_image(encoded[:2] + segment + encoded[2:], BUDGET)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "tiff",
    [
        *(b"", b"II", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0"),
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 9, 0),
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 4, 1, 6),
    ],
)
def test_broken_exif_means_upright(tiff: bytes) -> None:
    assert orientation_of(b"Exif\0\0" + tiff) == 1


def test_a_multi_picture_file_is_its_first_picture() -> None:
    first, second = picture(), Image.new("RGB", (20, 20))
    buffer = BytesIO()
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    assert decode_image(buffer.getvalue(), BUDGET, shrink_to=16).size == (48, 32)


def test_endless_scans_are_refused() -> None:
    encoded = encode(picture(), "JPEG", progressive=True)
    scan = encoded.rindex(b"\xff\xda")
    assert decode_image(encoded[:-2] + encoded[scan:-2] * 20 + encoded[-2:], BUDGET).size == (48, 32)
    with pytest.raises(Unprocessable, match="100 scans"):
        decode_image(encoded[:-2] + encoded[scan:-2] * 200 + encoded[-2:], BUDGET)


def test_what_a_phone_puts_behind_the_image_is_not_looked_at() -> None:
    film = np.random.default_rng(5).integers(0, 256, 8_000_000, dtype=np.uint8).tobytes()
    encoded = encode(picture(), "JPEG")
    assert film.count(b"\xff\xda") > 100
    np.testing.assert_array_equal(decode_image(encoded + film, BUDGET), decode_image(encoded, BUDGET))


def test_an_end_within_a_comment_hides_no_scans() -> None:
    encoded = encode(picture(), "JPEG")
    scan = encoded.index(b"\xff\xda")
    comment = b"\xff\xfe\x00\x04\xff\xd9"
    with pytest.raises(Unprocessable, match="scans"):
        decode_image(encoded[:-2] + comment + encoded[scan:-2] * 200 + encoded[-2:], BUDGET)


def test_a_large_run_length_encoded_bitmap_is_refused() -> None:
    def rle(width: int, height: int, content: bytes) -> bytes:
        header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(content), 0, 0, 256, 0)
        start = 14 + 40 + 1024
        return b"BM" + struct.pack("<IHHI", start + len(content), 0, 0, start) + header + bytes(1024) + content

    assert decode_image(rle(4, 1, b"\x04\x07\0\1"), BUDGET).size == (4, 1)
    for large in (rle(900_000, 2, b"\0\1"), rle(10, 10, b"\0\0" * 500_000)):
        with pytest.raises(Unprocessable):
            decode_image(large, 10 * BUDGET)


def png(width: int, height: int, pixels: bytes, depth: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def gif(width: int, height: int, left: int = 0, across: int = 1) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return screen + b"," + struct.pack("<HHHHB", left, 0, across, 1, 0) + b"\x02\x02\x44\x01\x00;"


def webp(width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + sizes + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    "encoded",
    [
        *(png(2**31 - 1, 2**31 - 1, b""), png(60_000, 60_000, b""), gif(65_535, 65_535), gif(1, 1, 65_000, 65_000)),
        *(webp(16_384, 16_384), webp(2**24, 2**24)),
        b"BM" + bytes(12) + struct.pack("<Iii", 40, 2**31 - 1, -(2**31)) + bytes(100),
    ],
)
def test_a_declared_size_beyond_the_budget_costs_nothing(encoded: bytes) -> None:
    began = time.process_time()
    with pytest.raises(Unprocessable, match="limit is 100000 pixels"):
        decode_image(encoded, 100_000)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(("width", "height"), [(1, 65_536), (65_536, 1), (1, 50_000_000), (2**31 - 1, 1)])
def test_an_edge_beyond_every_camera_is_refused_before_its_rows_exist(width: int, height: int) -> None:
    rows = zlib.compress(bytes(2 * 65_536), 9)  # enough for 65,536 rows of one pixel
    began = time.process_time()
    with pytest.raises(Unprocessable, match="limit is 65535 pixels for an edge"):
        decode_image(png(width, height, rows, depth=1, colour=0), 2**31)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("size", [(1, 65_535), (65_535, 1)])
def test_the_longest_edge_is_read_as_the_reference_reads_it(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    encoded = encode(Image.fromarray(noise), "PNG")
    np.testing.assert_array_equal(decode_image(encoded, BUDGET), noise)


def test_a_pixel_stream_that_never_ends_is_cut_off() -> None:
    encoded = png(1, 1, zlib.compress(b"\0" * 100_000_000, 9))
    began = time.process_time()
    assert decode_image(encoded, BUDGET).size == (1, 1)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "encoded",
    [
        *(png(0, 5, b""), png(5, 5, b"") + png(5, 5, b""), png(5, 5, zlib.compress(b"\0" * 10)), gif(0, 0, 0, 0)),
        *(b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBP", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xd9"),
        *(b"\xff\xd8" + b"\xff\xe1\0\2" * 10_000, b"GIF89a" + bytes(7) + b"!\xfe" + b"\1a" * 100_000),
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"tEXt", b"") * 70_000,
    ],
)
def test_headers_without_sense_are_refused(encoded: bytes) -> None:
    with pytest.raises(Refused) as refused:
        decode_image(encoded, BUDGET)
    assert isinstance(refused.value, Malformed)
