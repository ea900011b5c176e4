"""Operators that share a Lease, edits that keep them busy, and what the audit log says of their taking turns."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.integration.objects import Objects, eventually
from tests.integration.operator_process import WRITING, Operator, describe

AGENT = "mmm-operator/"
# Several of them start at the same time on a machine that may have little to give.
START_SECONDS = 60.0


@dataclass(frozen=True)
class Replicas:
    """Operators of which one works at a time; all of them run unless a test has ended one."""

    members: Sequence[Operator]

    def start(self) -> None:
        """Start those that do not run, and wait until one leads and all are ready."""
        for member in self.members:
            if member.process is None or member.process.poll() is not None:
                member.start()
        for member in self.members:
            eventually(lambda member=member: member.status_of("/readyz") == 200, START_SECONDS)  # type: ignore[misc]
        self.leader()

    def end(self) -> list[int]:
        """The exit codes of those that still ran."""
        running = [member for member in self.members if member.process is not None and member.process.poll() is None]
        for member in running:
            send(member, signal.SIGCONT)
        return [member.end() for member in running]

    def leader(self) -> Operator:
        """The one that works, once there is one."""
        return eventually(lambda: next(filter(leads, self.members), None))

    def complaints(self) -> list[Manifest]:
        """What went wrong in any of them, except that the Lease was lost: that is what tests do to them."""
        lines = [line for member in self.members for line in member.complaints()]
        return [line for line in lines if not line["message"].startswith("lost the Lease")]


def leads(member: Operator) -> bool:
    """Whether it says so; one that does not answer does not lead."""
    try:
        return member.metric("mmm_operator_leader") == 1
    except httpx.TransportError:
        return False


def send(member: Operator, wish: signal.Signals) -> float:
    """Send a signal; the moment, by the clock of the audit log."""
    assert member.process is not None
    moment = time.time()
    member.process.send_signal(wish)
    return moment


@contextmanager
def edits(objects: Objects, pause: float = 0.1, name: str = "clip") -> Iterator[None]:
    """The spec changes again and again while the block runs, and each change asks for a write."""
    end = threading.Event()

    def edit() -> None:
        number = 0
        while not end.wait(pause):
            number += 1
            objects.patch(names.KIND, name, {"spec": {"replicas": 1 + number % 3}})

    thread = threading.Thread(target=edit, name="edits")
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@dataclass(frozen=True, order=True)
class Write:
    """One write of an operator: when it came in, when it was done, by whom, and what it was."""

    begin: float
    end: float
    agent: str
    what: str
    lease: bool
    done: bool


class Ledger:
    """What operators write to some namespaces from now on; survives the rotation of the audit log.

    A context manager, for it keeps the log open.
    """

    def __init__(self, log: Path, *namespaces: str) -> None:
        self._path = log
        self._namespaces = namespaces
        self._log = log.open("rb")
        self._log.seek(0, os.SEEK_END)
        self._rest = b""
        self._found: list[Write] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    def writes(self, since: float = 0.0) -> list[Write]:
        """All of them since that moment, in the order in which they came in."""
        self._read()
        return sorted(write for write in self._found if write.begin >= since)

    def _read(self) -> None:
        self._rest += self._log.read()
        if self._rotated():
            self._rest += self._log.read()
            self._log.close()
            self._log = self._path.open("rb")
            self._rest += self._log.read()
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            if AGENT.encode() in line:
                self._note(json.loads(line))

    def _rotated(self) -> bool:
        with suppress(FileNotFoundError):  # between the old file and the new one
            return self._path.stat().st_ino != os.fstat(self._log.fileno()).st_ino
        return False

    def _note(self, entry: Manifest) -> None:
        mine = entry["verb"] in WRITING and entry.get("userAgent", "").startswith(AGENT)
        if mine and entry["objectRef"].get("namespace") in self._namespaces:
            self._found.append(_write(entry))


def _write(entry: Manifest) -> Write:
    return Write(
        begin=_moment(entry["requestReceivedTimestamp"]),
        end=_moment(entry["stageTimestamp"]),
        agent=entry["userAgent"],
        what=describe(entry),
        lease=entry["objectRef"]["resource"] == "leases",
        done=_is_done(entry.get("responseStatus", {})),
    )


def _is_done(status: Manifest) -> bool:
    """Whether it was done for certain; of what ended before it was answered, the record says 200 all the same."""
    return 0 < status.get("code", 0) < 300 and status.get("message") != "Connection closed early"


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def intrusions(found: Sequence[Write]) -> list[str]:
    """Writes that came in before their replica held the Lease, or were not done when another took it.

    What came before anything was heard of the Lease is not judged.
    """
    taken = [write for write in found if write.lease and write.done]
    wrong = []
    for write in found:
        if write.lease or not taken or write.begin < taken[0].end:
            continue
        before = [lease for lease in taken if lease.end <= write.begin]
        after = [lease for lease in taken if lease.begin <= write.end]
        if not before or before[-1].agent != write.agent or after[-1].agent != write.agent:
            wrong.append(f"{write.what} by {write.agent} at {write.begin:.3f}")
    return wrong


def first_write_of_another(found: Sequence[Write], agent: str) -> float:
    """When somebody else than `agent` changed anything but the Lease for the first time."""
    moments = [write.begin for write in found if write.agent != agent and not write.lease]
    assert moments, "nobody else wrote anything"
    return min(moments)


def last_agent(found: Sequence[Write]) -> str:
    """Who wrote last."""
    return next(write.agent for write in reversed(found) if not write.lease)
