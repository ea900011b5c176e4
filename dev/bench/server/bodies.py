"""The pictures and labels, and whole HTTP requests that hold them, in the encoding that each contender likes."""

import base64
import io
import json
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from dev.models import CLASSES

LABELS = tuple(f"a photo of a {name}" for name in CLASSES[:8])
PICTURES = 16
QUALITY = 87
BOUNDARY = "bench-boundary"
SIZES = {"224 px": (224, 224), "1080p": (1920, 1080)}


def pictures(size: str) -> list[bytes]:
    """So many different JPEGs of that size, the same ones every time."""
    return [_picture(*SIZES[size], seed) for seed in range(PICTURES)]


def _picture(width: int, height: int, seed: int) -> bytes:
    """Smooth shapes with a little grain: about as heavy as a photograph."""
    source = np.random.default_rng(seed)
    small = source.integers(0, 256, (9, 16, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = source.normal(0, 6, (height, width, 1)).astype(np.int16)
    encoded = io.BytesIO()
    Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(encoded, "JPEG", quality=QUALITY)
    return encoded.getvalue()


def multipart(picture: bytes, labels: Sequence[str]) -> tuple[str, bytes]:
    """A form with a file and one field."""
    lines = [
        f"--{BOUNDARY}",
        'Content-Disposition: form-data; name="labels"',
        "",
        ",".join(labels),
        f"--{BOUNDARY}",
        'Content-Disposition: form-data; name="image"; filename="picture.jpg"',
        "Content-Type: image/jpeg",
        "",
        "",
    ]
    return f"multipart/form-data; boundary={BOUNDARY}", "\r\n".join(lines).encode() + picture + _END


_END = f"\r\n--{BOUNDARY}--\r\n".encode()


def as_json(picture: bytes, labels: Sequence[str]) -> tuple[str, bytes]:
    """What a batchable API of BentoML reads: lists, of which this request brings one element."""
    one = {"image": base64.b64encode(picture).decode(), "labels": ",".join(labels)}
    return "application/json", json.dumps({"requests": [one]}).encode()


def instances(picture: bytes, labels: Sequence[str]) -> tuple[str, bytes]:
    """KServe's V1 protocol."""
    one = {"image": {"b64": base64.b64encode(picture).decode()}, "labels": ",".join(labels)}
    return "application/json", json.dumps({"instances": [one]}).encode()


def msgpack(picture: bytes, labels: Sequence[str]) -> tuple[str, bytes]:
    """A map of `image`, binary, and `labels`, text."""
    text = ",".join(labels).encode()
    head = b"\x82" + _word(b"image") + b"\xc6" + len(picture).to_bytes(4, "big") + picture
    return "application/msgpack", head + _word(b"labels") + b"\xda" + len(text).to_bytes(2, "big") + text


def _word(text: bytes) -> bytes:
    return bytes([0xA0 | len(text)]) + text


Encode = Callable[[bytes, Sequence[str]], tuple[str, bytes]]


def request(path: str, encode: Encode, picture: bytes) -> bytes:
    """A whole HTTP/1.1 request."""
    kind, body = encode(picture, LABELS)
    head = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body
