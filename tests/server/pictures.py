"""Encoded images for requests."""

import base64
from io import BytesIO

import numpy as np
from PIL import Image


def picture(width: int = 96, height: int = 80, seed: int = 0) -> Image.Image:
    """A smooth random RGB image."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str = "JPEG") -> bytes:
    """The bytes of an image file."""
    buffer = BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def jpeg(width: int = 96, height: int = 80, seed: int = 0) -> bytes:
    """A JPEG file."""
    return encode(picture(width, height, seed))


def base64_of(encoded: bytes) -> str:
    """The text that a JSON body carries."""
    return base64.b64encode(encoded).decode()
