"""Images of every format, mode, depth and size, and the same damaged in every way that is cheap to make."""

import random
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image

from tests.server.corpora.case import ANY, FINE, REFUSED, Case, flipped, rng

SIZES = [(1, 1), (1, 64), (64, 1), (7, 5), (33, 47), (1, 900), (900, 1), (64, 64), (200, 120)]
TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"}
JPEG_OPTIONS: list[dict[str, object]] = [{}, {"quality": 10}, {"quality": 100, "subsampling": 0}, {"progressive": True}]
SAVED: dict[str, list[tuple[str, dict[str, object]]]] = {
    "JPEG": [(mode, options) for mode in ("L", "RGB", "CMYK") for options in JPEG_OPTIONS],
    "PNG": [(mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
    "WEBP": [(mode, {"lossless": lossless}) for mode in ("RGB", "RGBA", "L") for lossless in (False, True)],
    "GIF": [("P", {}), ("L", {}), ("P", {"transparency": 0}), ("RGB", {"interlace": 1}), ("1", {})],
    "BMP": [(mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")],
}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # of each PNG colour type
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
EXTREMES = [0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def image_cases() -> list[Case]:
    """All of them, the same for the same seed."""
    random_ = rng("images")
    valid = [*_saved(random_), *_raw_png(random_), *_animated(), *_oriented()]
    seeds = [case for case in valid if len(case.body) > 60 and ("33x47" in case.name or "animated" in case.name)]
    return [*valid, *_truncated(seeds), *_flipped(seeds, random_), *_overwritten(seeds, random_), *_hostile(seeds)]


def chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _picture(size: tuple[int, int], mode: str, random_: random.Random) -> Image.Image:
    noise = np.frombuffer(random_.randbytes(4 * 4 * 4), dtype=np.uint8).reshape(4, 4, 4)
    smooth = Image.fromarray(noise, "RGBA").resize(size)
    if mode == "I;16":
        return Image.fromarray(np.asarray(smooth.convert("L")).astype(np.uint16) * 257)
    return smooth.convert("RGB").convert(mode) if mode in ("CMYK", "P", "1") else smooth.convert(mode)


def _encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _saved(random_: random.Random) -> Iterator[Case]:
    for kind, variants in SAVED.items():
        for mode, options in variants:
            for size in SIZES:
                name = f"{kind} {mode} {options} {size[0]}x{size[1]}"
                yield Case(name, _encode(_picture(size, mode, random_), kind, **options), TYPES[kind], FINE)


def _raw_png(random_: random.Random) -> Iterator[Case]:
    for colour, depths in DEPTHS.items():
        for depth in depths:
            for interlaced in (0, 1):
                for width, height in [(1, 1), (9, 3), (33, 47)]:
                    name = f"PNG type {colour} depth {depth} interlaced {interlaced} {width}x{height}"
                    pixels = b"".join(_rows(width, height, CHANNELS[colour] * depth, interlaced, random_))
                    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
                    palette = chunk(b"PLTE", random_.randbytes(3 << depth)) if colour == 3 else b""
                    body = chunk(b"IHDR", header) + palette + chunk(b"IDAT", zlib.compress(pixels))
                    yield Case(name, b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b""), "image/png", FINE)


def _rows(width: int, height: int, bits: int, interlaced: int, random_: random.Random) -> Iterator[bytes]:
    for left, top, across, down in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        columns, rows = len(range(left, width, across)), len(range(top, height, down))
        for _ in range(rows if columns else 0):
            yield b"\0" + random_.randbytes((columns * bits + 7) // 8)


def _animated() -> Iterator[Case]:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")] * 5
    for kind in ("GIF", "WEBP", "PNG"):
        for count in (2, 15):
            body = _encode(frames[0], kind, save_all=True, append_images=frames[1:count], duration=20)
            yield Case(f"{kind} animated {count}", body, TYPES[kind], FINE)


def _oriented() -> Iterator[Case]:
    for kind in ("JPEG", "PNG", "WEBP"):
        for orientation in range(10):
            exif = Image.Exif()
            exif[0x0112] = orientation
            body = _encode(Image.new("RGB", (20, 10), "red"), kind, exif=exif)
            yield Case(f"{kind} orientation {orientation}", body, TYPES[kind], FINE)


def _truncated(seeds: list[Case]) -> Iterator[Case]:
    for seed in seeds:
        for part in range(1, 10):
            cut = len(seed.body) * part // 10
            # Of an animation only the first frame is needed.
            allowed = ANY if "animated" in seed.name else REFUSED | (FINE if "GIF" in seed.name else frozenset())
            yield Case(f"{seed.name} cut to {cut}", seed.body[:cut], seed.content_type, allowed)


def _flipped(seeds: list[Case], random_: random.Random) -> Iterator[Case]:
    for seed in seeds:
        for number in range(14):
            body = flipped(seed.body, random_, flips=1 + number // 5)
            yield Case(f"{seed.name} flipped {number}", body, seed.content_type)


def _overwritten(seeds: list[Case], random_: random.Random) -> Iterator[Case]:
    """Extreme numbers in the first bytes, where sizes, counts and offsets are."""
    for seed in seeds:
        for number in range(12):
            order = random_.choice("<>")
            value = struct.pack(f"{order}I", random_.choice(EXTREMES))[: random_.choice((1, 2, 4))]
            at = random_.randrange(2, min(64, len(seed.body) - 4))
            body = seed.body[:at] + value + seed.body[at + len(value) :]
            yield Case(f"{seed.name} overwritten {number}", body, seed.content_type)


def _hostile(seeds: list[Case]) -> Iterator[Case]:
    bomb = zlib.compress(bytes(5_000_000), 9)
    png = next(seed.body for seed in seeds if seed.name.startswith("PNG RGB "))
    for kind, head in ((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0")):
        body = png[:33] + chunk(kind, head + bomb) * 3 + png[33:]
        yield Case(f"PNG with a bomb in {kind.decode()}", body, "image/png", FINE)
    for first in seeds[::4]:
        yield Case(f"{first.name} and a PDF", first.body + b"%PDF-1.7\n<script>", first.content_type, FINE)
        yield Case(f"a PDF and {first.name}", b"%PDF-1.7\n" + first.body, first.content_type, REFUSED)
        yield Case(f"{first.name} twice", first.body * 2, first.content_type, FINE)
    for content in (b"", b"\0" * 1000, b"<svg/>", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"RIFF", b"\x89PNG"):
        yield Case(f"only {content[:8]!r}", content, "image/png", REFUSED)
