"""What the operator asked of the API server, read from the audit log as it grows."""

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from mmm_operator.snapshot import Manifest
from tests.integration.operator_process import USER, WRITING

LOOK_SECONDS = 0.05
_MARK = f'"username":"{USER}"'.encode()


@dataclass(frozen=True, slots=True)
class Write:
    """One call of the operator that asked for a change; `code` is the API server's answer."""

    at: float
    verb: str
    namespace: str
    resource: str
    name: str
    code: int

    @property
    def created(self) -> bool:
        """Whether it made a new object."""
        return self.code == 201

    @property
    def on_child(self) -> bool:
        """Whether it was neither a status nor an event."""
        return "/" not in self.resource and self.resource != "events"

    def __str__(self) -> str:
        return f"{self.verb} {self.resource} {self.name} ({self.code})"


@dataclass
class _Space:
    writes: list[Write] = field(default_factory=list)
    last: float = 0.0


class Trail:
    """The operator's writes by namespace, and how many requests it made; a context manager that reads beside the test.

    Survives the rotation of the audit log. Times are those of `time.monotonic` when the line was read.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._spaces: dict[str, _Space] = defaultdict(_Space)
        self._requests = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trail", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(timeout=10)

    @property
    def requests(self) -> int:
        """Every call so far, reads included."""
        with self._lock:
            return self._requests

    def writes(self, namespace: str, since: float = 0.0) -> list[Write]:
        """The writes in a namespace, oldest first."""
        with self._lock:
            return [write for write in self._spaces[namespace].writes if write.at >= since]

    def all_writes(self, since: float = 0.0) -> list[Write]:
        """The writes in all namespaces."""
        with self._lock:
            return [write for space in self._spaces.values() for write in space.writes if write.at >= since]

    def quiet_since(self, namespace: str) -> float:
        """When the operator wrote there last."""
        with self._lock:
            return self._spaces[namespace].last

    def _run(self) -> None:
        for line in self._lines():
            if _MARK in line:
                self._note(json.loads(line))

    def _lines(self) -> Iterator[bytes]:
        """Every line that is written from now on, of this file and those that take its place."""
        log = self._log.open("rb")
        log.seek(0, 2)
        rest = b""
        try:
            while not self._end.is_set():
                chunk = log.read()
                if chunk:
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from lines
                elif _other(self._log, log.fileno()):
                    log.close()
                    log, rest = self._log.open("rb"), b""
                else:
                    self._end.wait(LOOK_SECONDS)
        finally:
            log.close()

    def _note(self, entry: Manifest) -> None:
        target = entry.get("objectRef", {})
        with self._lock:
            self._requests += 1
            if entry["verb"] in WRITING:
                write = _write(entry, target)
                space = self._spaces[write.namespace]
                space.writes.append(write)
                space.last = write.at


def _other(path: Path, descriptor: int) -> bool:
    """Whether another file is in that place than the open one; none at all may be there for a moment."""
    with suppress(FileNotFoundError):
        return path.stat().st_ino != os.fstat(descriptor).st_ino
    return False


def _write(entry: Manifest, target: Manifest) -> Write:
    resource = "/".join(filter(None, (target.get("resource", ""), target.get("subresource"))))
    return Write(
        at=time.monotonic(),
        verb=entry["verb"],
        namespace=target.get("namespace", ""),
        resource=resource,
        name=target.get("name", ""),
        code=entry.get("responseStatus", {}).get("code", 0),
    )
