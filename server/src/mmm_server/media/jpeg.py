"""JPEG: the segments that say how to read the pixels, and everything from the first scan on."""

import re

from mmm_server.errors import Unprocessable
from mmm_server.media.encoded import Encoded, damaged
from mmm_server.media.exif import PREFIX, orientation_of

MAGIC = b"\xff\xd8\xff"
MAX_SEGMENTS = 4096
MAX_SCANS = 100  # a progressive file has about ten; each one makes the decoder visit every block again
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # within a scan all others are data, stuffing or restarts
ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
EXIF, SCAN, END = 0xE1, 0xDA, 0xD9
COLOURS = {0xE0, 0xEE}  # JFIF and Adobe say which colours the channels are
COMMENTS = {*range(0xE0, 0xF0), 0xFE} - COLOURS


def read_jpeg(encoded: bytes) -> Encoded:
    """The image without comments, profiles, thumbnails and maker notes; the first frame of a multi-picture file."""
    kept, size, orientation, at = [encoded[:2]], None, None, 2
    for _ in range(MAX_SEGMENTS):
        marker, start, end = _segment(encoded, at)
        if marker == SCAN:
            if size is None:
                break
            finish = _end_of_image(encoded, start)
            whole = finish == len(encoded) and sum(map(len, kept)) == start
            content = encoded if whole else b"".join([*kept, encoded[start:finish]])
            return Encoded("JPEG", content, *size, orientation or 1)
        if marker in FRAMES:
            if size is not None or end - start < 10:
                break
            size = int.from_bytes(encoded[start + 7 : start + 9]), int.from_bytes(encoded[start + 5 : start + 7])
        elif marker == EXIF and orientation is None and encoded.startswith(PREFIX, start + 4):
            orientation = orientation_of(encoded[start + 4 : end])
        if marker not in COMMENTS:
            kept.append(encoded[start:end])
        at = end
    raise damaged("JPEG")


def _segment(encoded: bytes, at: int) -> tuple[int, int, int]:
    """(marker, start, end) of the next segment with a length; what lies before it is nothing that counts."""
    while True:
        start = encoded.find(b"\xff", at)
        if start < 0 or start + 4 > len(encoded):
            raise damaged("JPEG")
        marker = encoded[start + 1]
        if marker == END:
            raise damaged("JPEG")
        if marker != 0 and marker != 0xFF and marker not in ALONE:
            break
        at = start + 1
    end = start + 2 + int.from_bytes(encoded[start + 2 : start + 4])
    if end < start + 4 or end > len(encoded):
        raise damaged("JPEG")
    return marker, start, end


def _end_of_image(encoded: bytes, start: int) -> int:
    """Where the image ends whose first scan begins at `start`: phones put a film or a second picture behind it."""
    scans, at = 0, start
    while (found := MARKER.search(encoded, at)) is not None:
        marker, at = encoded[found.start() + 1], found.end()
        if marker == END:
            return at
        if marker == SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise Unprocessable(f"The JPEG image has more than {MAX_SCANS} scans.")
        if marker not in ALONE:
            at += int.from_bytes(encoded[at : at + 2])
    return len(encoded)
