"""BMP: read as it is. The run-length encoded kind is decoded in Python, so only small ones are taken."""

from mmm_server.errors import Unprocessable
from mmm_server.media.encoded import Encoded, damaged

MAGIC = b"BM"
OLD_HEADER_BYTES = 12
RUN_LENGTH = (1, 2)
MAX_RUN_LENGTH_BYTES = 256 * 1024
MAX_RUN_LENGTH_PIXELS = 1_000_000


def read_bmp(encoded: bytes) -> Encoded:
    """The image; Unprocessable if it is a large run-length encoded one."""
    if len(encoded) < 34:
        raise damaged("BMP")
    if _number(encoded, 14) == OLD_HEADER_BYTES:
        width, height, compression = _number(encoded, 18, 2), _number(encoded, 20, 2), 0
    else:
        width, height, compression = _number(encoded, 18), _number(encoded, 22), _number(encoded, 30)
    height = min(height, 2**32 - height)  # negative: from top to bottom
    large = len(encoded) > MAX_RUN_LENGTH_BYTES or width * height > MAX_RUN_LENGTH_PIXELS
    if compression in RUN_LENGTH and large:
        raise Unprocessable(
            f"A run-length encoded BMP image may have {MAX_RUN_LENGTH_BYTES} bytes and {MAX_RUN_LENGTH_PIXELS} pixels."
        )
    return Encoded("BMP", encoded, width, height)


def _number(encoded: bytes, at: int, length: int = 4) -> int:
    return int.from_bytes(encoded[at : at + length], "little")
