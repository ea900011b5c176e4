"""GIF: the first frame. Comments and application data before it are left out, and nothing after it is looked at."""

from mmm_server.media.encoded import Encoded, damaged

MAGIC = (b"GIF87a", b"GIF89a")
MAX_BLOCKS = 65_536
EXTENSION, IMAGE = 0x21, 0x2C
CONTROL = 0xF9  # holds the first frame's transparent colour
SCREEN_BYTES = 13
DESCRIPTOR_BYTES = 10


def read_gif(encoded: bytes) -> Encoded:
    """The image up to and after its first descriptor; the canvas is as large as the decoder will make it."""
    if len(encoded) < SCREEN_BYTES:
        raise damaged("GIF")
    flags = encoded[10]
    at = SCREEN_BYTES + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    head, control, blocks = encoded[:at], b"", 0
    while encoded[at : at + 1] != bytes([IMAGE]):
        if at + 2 >= len(encoded) or encoded[at] != EXTENSION:
            raise damaged("GIF")
        end, count = _skip(encoded, at + 2, MAX_BLOCKS - blocks)
        if encoded[at + 1] == CONTROL:
            control = encoded[at:end]
        at, blocks = end, blocks + count
    if at + DESCRIPTOR_BYTES > len(encoded):
        raise damaged("GIF")
    left, top, across, down = (_number(encoded, at + offset) for offset in (1, 3, 5, 7))
    width, height = max(_number(encoded, 6), left + across), max(_number(encoded, 8), top + down)
    whole = len(head) + len(control) == at
    return Encoded("GIF", encoded if whole else b"".join([head, control, encoded[at:]]), width, height)


def _skip(encoded: bytes, at: int, most: int) -> tuple[int, int]:
    """(where the sub-blocks end, how many there were)."""
    for count in range(most):
        if at >= len(encoded):
            break
        length = encoded[at]
        at += 1 + length
        if length == 0:
            return at, count + 1
    raise damaged("GIF")


def _number(encoded: bytes, at: int) -> int:
    return int.from_bytes(encoded[at : at + 2], "little")
