"""What a following fetcher leaves in the model root: why a version does not come, and which ones came.

.fetch-failed.json  {"digest", "reason", "message"}      for the server, until it is over
.followed.json      {"pod", "digests": [newest first]}   for the next process of the same pod
"""

import json
import logging
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from mmm_repository import RepositoryError
from mmm_repository.volume import write_durably

FAILED_NAME: Final = ".fetch-failed.json"
FOLLOWED_NAME: Final = ".followed.json"
MOST_BYTES: Final = 64 * 1024
MOST_DIGESTS: Final = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a version is not here: the repository's word and sentence."""

    digest: str
    reason: str
    message: str

    def document(self) -> dict[str, str]:
        """As it stands in the file."""
        return asdict(self)


class FollowState:
    """The two files. One that cannot be written is logged: no reason to bring no versions."""

    def __init__(self, root: Path, pod: str = "") -> None:
        self._root = root
        self._pod = pod or socket.gethostname()
        self.failure = read_failure(root)
        followed = _read(root / FOLLOWED_NAME)
        self.resumed = followed.get("pod") == self._pod
        """Whether an earlier process of this pod brought its first version."""
        digests = followed.get("digests")
        self.digests = [one for one in digests if isinstance(one, str)] if isinstance(digests, list) else []
        """The versions that were wanted and came, newest first."""

    def arrived(self, digest: str) -> None:
        """Note that a wanted version is there."""
        self.digests = [digest, *(other for other in self.digests if other != digest)][:MOST_DIGESTS]
        self._write_followed()

    def forget(self, digest: str) -> None:
        """Note that a version is not there any more."""
        self.digests = [other for other in self.digests if other != digest]
        self._write_followed()

    def fail(self, failure: Failure | None) -> None:
        """Say why a version does not come; None: nothing is wrong."""
        if failure is None and self.failure is None:
            return
        self.failure = failure
        if failure is not None:
            self._write(FAILED_NAME, failure.document())
            return
        try:
            (self._root / FAILED_NAME).unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be removed: %s", FAILED_NAME, error.strerror)

    def _write_followed(self) -> None:
        self._write(FOLLOWED_NAME, {"pod": self._pod, "digests": self.digests})

    def _write(self, name: str, document: object) -> None:
        try:
            write_durably(self._root / name, json.dumps(document, ensure_ascii=False).encode())
        except (OSError, RepositoryError) as error:
            log.warning("%s cannot be written: %s", name, getattr(error, "strerror", None) or type(error).__name__)


def read_failure(root: Path) -> Failure | None:
    """What the file in a model root says; None when there is none, or none that makes sense."""
    match _read(root / FAILED_NAME):
        case {"digest": str(digest), "reason": str(reason), "message": str(message)}:
            return Failure(digest, reason, message)
    return None


def _read(location: Path) -> dict[str, object]:
    try:
        with location.open("rb") as file:
            document = json.loads(file.read(MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
