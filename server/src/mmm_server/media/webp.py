"""WebP: the still image, or the first frame of an animation on its canvas. The decoder makes room for the canvas as
soon as it sees the header, so the size is read here first.
"""

from dataclasses import dataclass

from mmm_server.media.encoded import Encoded, damaged
from mmm_server.media.exif import orientation_of

MAX_CHUNKS = 4096  # orientation that hides behind more frames than this is not found
HEADER_BYTES = 12
EXTENDED, LOSSY, LOSSLESS = b"VP8X", b"VP8 ", b"VP8L"
ANIMATED, ALPHA = 0x02, 0x10
PIXELS = (LOSSY, LOSSLESS, b"ALPH", b"ANIM", b"ANMF")


@dataclass(frozen=True, slots=True)
class _Chunk:
    kind: bytes
    content: bytes

    def encoded(self) -> bytes:
        padding = b"\0" * (len(self.content) % 2)
        return self.kind + len(self.content).to_bytes(4, "little") + self.content + padding


def is_webp(encoded: bytes) -> bool:
    """Whether it claims to be WebP."""
    return encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP"


def read_webp(encoded: bytes) -> Encoded:
    """The image without profiles and other metadata."""
    encoded = encoded[: 8 + int.from_bytes(encoded[4:8], "little")]
    first, at = _chunk(encoded, HEADER_BYTES)
    width, height = _size(first)
    if first.kind != EXTENDED:
        return Encoded("WEBP", _file([first]), width, height)
    flags = first.content[0] & (ANIMATED | ALPHA)
    kept = [_Chunk(EXTENDED, bytes([flags]) + first.content[1:])]
    orientation, frames = 1, 0
    for _ in range(MAX_CHUNKS):
        if at >= len(encoded):
            break
        chunk, at = _chunk(encoded, at)
        if chunk.kind == b"EXIF":
            orientation = orientation_of(chunk.content)
        elif chunk.kind in PIXELS and frames == 0:
            kept.append(chunk)
            frames += chunk.kind == b"ANMF"
    return Encoded("WEBP", _file(kept), width, height, orientation)


def _chunk(encoded: bytes, at: int) -> tuple[_Chunk, int]:
    length = int.from_bytes(encoded[at + 4 : at + 8], "little")
    end = at + 8 + length
    if end > len(encoded):
        raise damaged("WEBP")
    return _Chunk(encoded[at : at + 4], encoded[at + 8 : end]), end + length % 2


def _file(chunks: list[_Chunk]) -> bytes:
    content = b"WEBP" + b"".join(chunk.encoded() for chunk in chunks)
    return b"RIFF" + len(content).to_bytes(4, "little") + content


def _size(first: _Chunk) -> tuple[int, int]:
    content = first.content
    if first.kind == EXTENDED and len(content) >= 10:
        return int.from_bytes(content[4:7], "little") + 1, int.from_bytes(content[7:10], "little") + 1
    if first.kind == LOSSLESS and len(content) >= 5 and content[0] == 0x2F:
        bits = int.from_bytes(content[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if first.kind == LOSSY and len(content) >= 10 and content[3:6] == b"\x9d\x01\x2a":
        across, down = int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")
        return across & 0x3FFF, down & 0x3FFF
    raise damaged("WEBP")
