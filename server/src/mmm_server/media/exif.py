"""The one fact of EXIF that concerns pixels. A general reader builds every tag, and hostile tags overlap: 64 KiB become
hundreds of megabytes.
"""

import struct

ORIENTATION_TAG = 0x0112
SHORT = 3
ENTRY_BYTES = 12
PREFIX = b"Exif\0\0"


def orientation_of(exif: bytes) -> int:
    """EXIF's orientation, 1 to 8; 1 (upright) where nothing sensible is said, as damaged EXIF damages no pixel."""
    tiff = exif.removeprefix(PREFIX)
    order = {b"II": "<", b"MM": ">"}.get(bytes(tiff[:2]))
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for index in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + index * ENTRY_BYTES)
            if tag == ORIENTATION_TAG:
                return value if kind == SHORT and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
