"""`wanted.json` in the rollout directory: the version that a pod shall serve, when it is not the one it was made with.

kubelet replaces the directory's content at any time, and all of it at once.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from mmm_repository import RepositoryError
from mmm_repository.storage import check_version
from mmm_server.rollout_files import parse_document, read_content

NAME = "wanted.json"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class WantedVersion:
    """A version and its bytes."""

    version: str
    digest: str


class BrokenWanted(Exception):
    """The file is there, and says nothing that can be followed; the message is a sentence without its content."""


def read_wanted(directory: Path) -> WantedVersion | None:
    """What the file names; None when it is not there, BrokenWanted when it makes no sense."""
    content = read_content(directory, NAME, BrokenWanted)
    return None if content is None else parse_wanted(content)


def parse_wanted(content: bytes) -> WantedVersion:
    """What the content names; raises BrokenWanted."""
    match parse_document(content):
        case {"version": str(version), "digest": str(digest)}:
            return WantedVersion(_checked_version(version), _checked_digest(digest))
    raise BrokenWanted(f'{NAME} must be a JSON object with "version" and "digest".')


def _checked_version(version: str) -> str:
    # The name becomes a part of keys in the store.
    try:
        check_version(version)
    except RepositoryError:
        raise BrokenWanted(f"The version in {NAME} cannot be the name of a version.") from None
    return version


def _checked_digest(digest: str) -> str:
    # The digest becomes the name of a directory.
    if not DIGEST.fullmatch(digest):
        raise BrokenWanted(f"The digest in {NAME} must be sha256: and 64 hexadecimal digits.")
    return digest
