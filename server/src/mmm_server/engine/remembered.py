"""What a process leaves to the one that is started after it in the same pod: what served, and what was tried.

A version may take the whole process with it, as when the kernel ends a container that is out of memory. Whoever is
started then must not try the same again, but serve what served before.
"""

import contextlib
import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmm_server.engine.swap import Swap, SwapState
from mmm_server.engine.version import Version

FILE = "swap.json"
MAX_BYTES = 64 * 1024
MESSAGE_CHARS = 1024
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
CONTAINER_FAILED = "ContainerFailed"
KILLED = "The process ended while it loaded this version beside the one that serves. The log of the server may say why."

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Remembered:
    """The version that served last, and the swap that was begun after it, with its reason if it failed in words."""

    served: Version | None = None
    tried: Version | None = None
    reason: str | None = None
    message: str | None = None

    def used(self) -> tuple[str, ...]:
        """The digests of the versions whose files the server needs: what served last, and what it may be loading."""
        loading = self.tried if self.reason is None else None
        return tuple(version.digest for version in (self.served, loading) if version and version.digest)

    def failure(self) -> Swap | None:
        """The swap that was tried, as one that failed."""
        if self.tried is None:
            return None
        if self.reason is None:
            return Swap(self.tried, SwapState.FAILED, CONTAINER_FAILED, KILLED)
        return Swap(self.tried, SwapState.FAILED, self.reason, self.message)


def first_version(
    own: Version, wanted: Version | None, remembered: Remembered, is_there: Callable[[Version], bool]
) -> tuple[Version, Swap | None]:
    """What to load first, and the failed swap that is the reason if it is not what is wanted."""
    target = wanted or own
    served = remembered.served if remembered.served and is_there(remembered.served) else None
    if served is not None and not target.is_same(served):
        # What served is known to be good; the other one comes by a swap, which may fail.
        return served, remembered.failure() if target.is_same(remembered.tried) else None
    if is_there(target):
        return target, None
    return served or own, None


def recall(directory: Path) -> Remembered:
    """What the process before this one left; nothing where it left nothing that can be understood."""
    found = read_object(directory / FILE)
    reason, message = found.get("reason"), found.get("message")
    known = isinstance(reason, str) and REASON.fullmatch(reason) is not None
    return Remembered(
        version_of(found.get("served")),
        version_of(found.get("tried")),
        str(reason) if known else None,
        message[:MESSAGE_CHARS] if known and isinstance(message, str) else None,
    )


def remember(directory: Path, what: Remembered) -> None:
    """Leaves it for the next process. Where that is impossible serving goes on, with nothing to fall back on."""
    members = {
        "served": members_of(what.served),
        "tried": members_of(what.tried),
        "reason": what.reason,
        "message": what.message,
    }
    path = directory / FILE
    fresh = path.with_suffix(f".{os.getpid()}")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.write_text(json.dumps(members), encoding="utf-8")
        fresh.replace(path)
    except OSError:
        log.warning("what is served cannot be remembered for a restart", exc_info=True)
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def members_of(version: Version | None) -> dict[str, str | None] | None:
    """A version as JSON."""
    return None if version is None else {"version": version.name, "digest": version.digest}


def version_of(members: object) -> Version | None:
    """The version in a JSON object; None for anything that names none."""
    match members:
        case {"version": str(name), "digest": str(digest)} if DIGEST.fullmatch(digest):
            return Version(name, digest)
    return None


def read_object(path: Path) -> dict[str, object]:
    """The JSON object in a small file; an empty one where there is none."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
