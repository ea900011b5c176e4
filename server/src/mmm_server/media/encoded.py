"""What every reader of a container makes of an encoded image."""

from dataclasses import dataclass

from mmm_server.errors import Malformed


@dataclass(frozen=True, slots=True)
class Encoded:
    """One still image in its container, without anything that does not change a pixel."""

    format: str  # Pillow's name
    content: bytes
    width: int
    height: int
    orientation: int = 1  # EXIF's


def damaged(kind: str) -> Malformed:
    """The refusal of a header that makes no sense."""
    return Malformed(f"The header of the {kind} image is damaged.")
