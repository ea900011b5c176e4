"""A proxy before an S3 server that understands which operation a request is, and spoils the answers to one kind.

What the server answers to a request for the first time is kept and given again: a hundred faults in one answer cost the
server one answer. Only versions that do not change may lie behind it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from tests.repository.faults import Server

RANGE = re.compile(rb"\r\nrange: *([^\r]*)", re.IGNORECASE)
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Operation(StrEnum):
    """What a request asks for."""

    HEAD = "HEAD"
    MANIFEST = "GET manifest"
    PART = "GET part"
    LIST = "LIST"
    OTHER = "other"


@dataclass
class Answer:
    """What the server said, ready to be changed."""

    status: str
    headers: dict[str, str]
    body: bytes

    def head(self) -> bytes:
        """The answer's first lines, with whatever the headers say."""
        lines = [f"HTTP/1.1 {self.status}", *(f"{name}: {value}" for name, value in self.headers.items())]
        return "\r\n".join([*lines, "", ""]).encode()

    def bytes(self) -> bytes:
        """The whole answer."""
        return self.head() + self.body


@dataclass(frozen=True)
class Wire:
    """The client's end of a connection, for faults that are about how bytes arrive."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    canary: str
    """An address that nobody may be led to."""

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    def reset(self) -> None:
        """Break the connection off."""
        self.writer.transport.abort()

    async def hang(self) -> None:
        """Say nothing more until the client gives up."""
        await self.reader.read()


Spoil = Callable[[Answer, Wire], Awaitable[None]]


async def honest(answer: Answer, wire: Wire) -> None:
    """Send the answer as it is."""
    await wire.send(answer.bytes())


@dataclass
class Spoiling:
    """What is spoiled, how, and how often (None: always); `seen` counts the requests of that kind."""

    operation: Operation
    spoil: Spoil
    times: int | None = None
    seen: int = field(default=0)

    def applies(self, operation: Operation) -> bool:
        if operation is not self.operation:
            return False
        self.seen += 1
        return self.times is None or self.seen <= self.times


class FaultProxy(Server):
    """Passes requests on one by one; `spoiling` says which answers are spoiled, and can be changed at any time."""

    def __init__(self, endpoint: str, recorded: dict[bytes, Answer], spoiling: Spoiling | None, canary: str) -> None:
        super().__init__(self._pass)
        self._upstream = urlsplit(endpoint)
        self._recorded = recorded
        self._canary = canary
        self.spoiling = spoiling

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found = LENGTH.search(head)
        body = await reader.readexactly(int(found[1])) if found else b""
        operation = operation_of(head)
        answer = await self._answer(head, body, operation)
        spoil = self.spoiling.spoil if self.spoiling and self.spoiling.applies(operation) else honest
        await spoil(answer, Wire(reader, writer, self._canary))
        if not writer.transport.is_closing():
            writer.close()
            await writer.wait_closed()

    async def _answer(self, head: bytes, body: bytes, operation: Operation) -> Answer:
        key = identity(head)
        if operation is Operation.OTHER or key not in self._recorded:
            self._recorded[key] = await self._ask(head, body, operation)
        return self._recorded[key]

    async def _ask(self, head: bytes, body: bytes, operation: Operation) -> Answer:
        reader, writer = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        try:
            writer.write(head[:-2] + b"Connection: close\r\n\r\n" + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
            named = {name.title(): value for name, value in headers.items()}
            content = b"" if operation is Operation.HEAD else await body_of(reader, named)
        finally:
            writer.transport.abort()
        # One connection, one answer: the client must not count on this one any more.
        return Answer(lines[0].partition(" ")[2], {**named, "Connection": "close"}, content)


async def body_of(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """The body of an answer; afterwards the headers name its length, however it was sent."""
    if headers.pop("Transfer-Encoding", "").lower() == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
    elif "Content-Length" in headers:
        body = await reader.readexactly(int(headers["Content-Length"]))
    else:
        body = await reader.read()
    headers["Content-Length"] = str(len(body))
    return body


def identity(head: bytes) -> bytes:
    """What makes requests the same one: method, target and range, whoever signs them when."""
    found = RANGE.search(head)
    return head.partition(b"\r\n")[0] + (found[1] if found else b"")


def operation_of(head: bytes) -> Operation:
    """What the request with these first lines asks for."""
    method, _, rest = head.partition(b" ")
    target = rest.partition(b" ")[0]
    path, _, query = target.partition(b"?")
    if method == b"HEAD":
        return Operation.HEAD
    if method != b"GET":
        return Operation.OTHER
    if b"list-type=2" in query:
        return Operation.LIST
    return Operation.MANIFEST if path.endswith(b"/manifest.json") else Operation.PART
