"""Encoded images to RGB pixels.

    bytes ─► format by content, not by name ─► pixel budget from the header ─► only what makes the first frame
          ─► decode ─► upright ─► RGB

The containers are read here and the pixels by Pillow, which never gets to see what does not change them: texts that
decompress to gigabytes, EXIF whose tags overlap, colour profiles, further frames. One decode holds at most twenty bytes
per pixel beside the encoded image (measured: RGB 10, RGBA and progressive CMYK 14, WebP with alpha 18), and there are
as many at a time as decode threads. Beside the pixels a picture costs something per row, and to resize it something
per pixel of its edges: MAX_EDGE bounds both.

Answers are those of the reference processors: transparency is dropped, as `Image.convert("RGB")` does.
"""

from io import BytesIO

import numpy as np
from PIL import Image

from mmm_server.errors import Malformed, Unprocessable, UnsupportedType
from mmm_server.media import bmp, gif, jpeg, png, webp
from mmm_server.media.encoded import Encoded
from mmm_server.media.exif import ORIENTATION_TAG

__all__ = ["FORMATS", "ORIENTATION_TAG", "UPRIGHT", "decode_image", "read_container"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The longest that JPEG and GIF can say. A PNG of 97 KB may be one column of fifty million rows: every copy of it takes
# 12 bytes for the one pixel of a row, and a processor that resizes the whole image another 32 for its filter.
MAX_EDGE = 65_535

# Our own budget is checked first and is an error; Pillow's is a process-wide warning.
Image.MAX_IMAGE_PIXELS = None


def decode_image(encoded: bytes, max_pixels: int, shrink_to: int | None = None) -> Image.Image:
    """The picture of one encoded image, upright, in RGB, decoded.

    `shrink_to` permits a JPEG to be decoded at a fraction of its size while both edges stay at least twice that long.
    Raises UnsupportedType, Malformed or Unprocessable.
    """
    still = read_container(encoded)
    _check_size(still.width, still.height, max_pixels)
    try:
        image = Image.open(BytesIO(still.content), formats=(still.format,))
        _check_size(*image.size, max_pixels)  # should it have read another size than we did
        if shrink_to is not None:
            image.draft(None, (2 * shrink_to, 2 * shrink_to))
        image.load()
        turn = UPRIGHT.get(still.orientation)
        return _to_rgb(image if turn is None else image.transpose(turn))
    except (MemoryError, Unprocessable):
        raise
    # A decoder fed with hostile bytes raises whatever its C code found: all of it means the same to the client.
    except Exception:  # noqa: BLE001
        raise Malformed(f"The {still.format} image is truncated or damaged.") from None


def read_container(encoded: bytes) -> Encoded:
    """The image as its header describes it, reduced to what makes its pixels."""
    if not encoded:
        raise Malformed("The image is empty.")
    if encoded.startswith(jpeg.MAGIC):
        return jpeg.read_jpeg(encoded)
    if encoded.startswith(png.MAGIC):
        return png.read_png(encoded)
    if webp.is_webp(encoded):
        return webp.read_webp(encoded)
    if encoded.startswith(gif.MAGIC):
        return gif.read_gif(encoded)
    if encoded.startswith(bmp.MAGIC):
        return bmp.read_bmp(encoded)
    raise UnsupportedType(f"The bytes are not an image in one of the formats {', '.join(FORMATS)}.")


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise Unprocessable(f"The image has {width} × {height} pixels, the limit is {max_pixels} pixels.")
    if width == 0 or height == 0:
        raise Malformed("The image has no pixels.")
    if max(width, height) > MAX_EDGE:
        raise Unprocessable(f"The image has {width} × {height} pixels, the limit is {MAX_EDGE} pixels for an edge.")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits of grey: keep the upper eight, convert() would clip
        grey = np.asarray(image)
        deep = grey if grey.dtype == np.uint16 else grey.astype(np.int64).clip(0, 65535)
        return Image.fromarray((deep >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("P", "LA", "PA"):
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")
