"""Encoded images to RGB pixels.

    bytes ─► format by content, not by name ─► pixel budget from the header ─► decode the first frame ─► upright ─► RGB

Answers are those of the reference processors: transparency is dropped, as `Image.convert("RGB")` does.
"""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mmm_server.errors import Malformed, Unprocessable, UnsupportedType

Pixels = NDArray[np.uint8]  # height × width × 3

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Our own budget is checked first and is an error; Pillow's is a process-wide warning.
Image.MAX_IMAGE_PIXELS = None


def decode_image(encoded: bytes, max_pixels: int, shrink_to: int | None = None) -> Pixels:
    """The pixels of one encoded image, height × width × 3.

    `shrink_to` permits a JPEG to be decoded at a fraction of its size while both edges stay at least twice that long.
    Raises UnsupportedType, Malformed or Unprocessable.
    """
    image = _open(encoded)
    width, height = image.size
    if width * height > max_pixels:
        raise Unprocessable(f"The image has {width} × {height} pixels, the limit is {max_pixels} pixels.")
    try:
        turn = _orientation(image)
        if shrink_to is not None:
            image.draft(None, (2 * shrink_to, 2 * shrink_to))
        image.load()
        upright = image.transpose(UPRIGHT[turn]) if turn in UPRIGHT else image
        return np.asarray(_to_rgb(upright))
    except MemoryError:
        raise
    # A decoder fed with hostile bytes raises whatever its C code found: all of it means the same to the client.
    except Exception:  # noqa: BLE001
        raise Malformed(f"The {image.format} image is truncated or damaged.") from None


def _open(encoded: bytes) -> Image.Image:
    if not encoded:
        raise Malformed("The image is empty.")
    try:
        return Image.open(BytesIO(encoded), formats=FORMATS)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        raise UnsupportedType(f"The bytes are not an image in one of the formats {', '.join(FORMATS)}.") from None
    except Exception:  # noqa: BLE001  see above
        raise Malformed("The header of the image is damaged.") from None


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; broken EXIF says nothing about the pixels, so it counts as upright."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001  see above
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits of grey: keep the upper eight, convert() would clip
        grey = np.asarray(image).astype(np.int64) >> 8
        return Image.fromarray(grey.clip(0, 255).astype(np.uint8), "L").convert("RGB")
    if image.mode in ("P", "LA", "PA"):
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")
