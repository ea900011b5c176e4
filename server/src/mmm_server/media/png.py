"""PNG: the chunks that make the picture. Compressed texts, profiles and the frames of animations are left out."""

from mmm_server.media.encoded import Encoded, damaged
from mmm_server.media.exif import orientation_of

MAGIC = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 65_536
KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
HEADER_BYTES = 25
AROUND = 12  # length, type and checksum


def read_png(encoded: bytes) -> Encoded:
    """The image without what is around it; of an animation the default image."""
    if encoded[12:16] != b"IHDR" or len(encoded) < len(MAGIC) + HEADER_BYTES:
        raise damaged("PNG")
    width, height = int.from_bytes(encoded[16:20]), int.from_bytes(encoded[20:24])
    kept, orientation, at = [MAGIC], 1, len(MAGIC)
    for _ in range(MAX_CHUNKS):
        end = at + AROUND + int.from_bytes(encoded[at : at + 4])
        kind = encoded[at + 4 : at + 8]
        if kind == b"eXIf":
            orientation = orientation_of(encoded[at + 8 : end - 4])
        elif kind in KEPT:
            kept.append(encoded[at:end])
        at = end
        if kind == b"IEND" or at >= len(encoded):
            break
    else:
        raise damaged("PNG")
    kinds = [piece[4:8] for piece in kept]
    if kinds.count(b"IHDR") != 1 or b"IDAT" not in kinds:
        raise damaged("PNG")
    whole = sum(map(len, kept)) == len(encoded)
    return Encoded("PNG", encoded if whole else b"".join(kept), width, height, orientation)
