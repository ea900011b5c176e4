"""The faults that the lines of a watch can meet; see `proxy.LineFault`."""

import asyncio
import json
from collections.abc import Callable, Iterable

from tests.chaos.proxy import LineFault, Stream


def error(code: int | None) -> bytes:
    """The line with which the API server ends a watch; without a code when None."""
    content = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "injected"}
    if code is not None:
        content |= {"code": code, "reason": "Expired" if code == 410 else "InternalError"}  # type: ignore[dict-item]
    return json.dumps({"type": "ERROR", "object": content}).encode() + b"\n"


MALFORMED = b'{"type":"MODIFIED","object":{"metadata":{\n'


async def twice(stream: Stream, line: bytes) -> Iterable[bytes]:
    """Every event comes twice."""
    return (line, line)


async def lost(stream: Stream, line: bytes) -> Iterable[bytes]:
    """No event comes, and nothing shows it."""
    return ()


def lost_of(*types: str) -> LineFault:
    """Events of these types do not come."""
    marks = tuple(f'"type":"{type_}"'.encode() for type_ in types)

    async def fault(stream: Stream, line: bytes) -> Iterable[bytes]:
        return () if any(mark in line[:40] for mark in marks) else (line,)

    return fault


class Nth:
    """Loses the n-th event, counted from 1 over all streams that match."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = 0

    async def __call__(self, stream: Stream, line: bytes) -> Iterable[bytes]:
        """See `proxy.LineFault`."""
        self.count += 1
        return () if self.count == self.number else (line,)


def late(seconds: float) -> LineFault:
    """Every event comes late, one after the other."""

    async def fault(stream: Stream, line: bytes) -> Iterable[bytes]:
        await asyncio.sleep(seconds)
        return (line,)

    return fault


class Behind:
    """Each watch is so many seconds behind: its first events wait so long, those that come after them do not."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[Stream, float] = {}

    async def __call__(self, stream: Stream, line: bytes) -> Iterable[bytes]:
        """See `proxy.LineFault`."""
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, self._until.setdefault(stream, now + self._seconds) - now))
        return (line,)


class Stall:
    """Nothing comes until `over` is set; then everything does."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def __call__(self, stream: Stream, line: bytes) -> Iterable[bytes]:
        """See `proxy.LineFault`."""
        await self.over.wait()
        return (line,)


class Shuffle:
    """Passes lines on in the reverse order, a few at a time; what is held back goes out when the fault ends."""

    def __init__(self, size: int = 3) -> None:
        self.size = size
        self._held: dict[Stream, list[bytes]] = {}

    async def __call__(self, stream: Stream, line: bytes) -> Iterable[bytes]:
        """See `proxy.LineFault`."""
        held = self._held.setdefault(stream, [])
        held.append(line)
        if len(held) < self.size:
            return ()
        del self._held[stream]
        return reversed(held)

    async def release(self) -> None:
        """Pass on what is held back."""
        for stream, held in self._held.items():
            for line in reversed(held):
                await stream.send(line)
        self._held.clear()


def instead(make: Callable[[], bytes], ends: bool = False) -> LineFault:
    """Every event becomes this line; with `ends` the connection breaks after it."""

    async def fault(stream: Stream, line: bytes) -> Iterable[bytes]:
        await stream.send(make())
        if ends:
            stream.abort()
        return ()

    return fault
