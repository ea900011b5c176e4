"""A small HTTP client for copies of requests: keeps connections, follows nothing, bounds what it reads.

It says "POST" over a socket and lets the parser that the server reads requests with read the answer.
"""

import asyncio
from collections.abc import Iterable
from typing import cast

import httptools

from mmm_server.http.mirror_target import Target
from mmm_server.http.reply import Header, Reply

MOST_HEADERS = 128
MOST_BYTES = 16 * 1024 * 1024


class NoAnswer(Exception):
    """The other side said nothing that is an answer."""


class Connection(asyncio.Protocol):
    """One connection, with at most one request on it at a time."""

    def __init__(self) -> None:
        self.usable = True
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Reply] | None = None
        self._begin()

    async def ask(self, head: bytes, body: bytes) -> Reply:
        """The answer to a request; NoAnswer if the connection ends before."""
        if self._transport is None or not self.usable:
            raise NoAnswer
        self._begin()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.writelines((head, body))  # a body may be too long to be copied
        try:
            return await self._answer
        finally:
            if not self._answer.done() or self._answer.cancelled():
                self.close()  # the answer may still come, and must not be taken for that to another request

    def close(self) -> None:
        """Ends the connection at once."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        """Feeds the parser."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells whoever waits."""
        self._fail()

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keeps a header."""
        self._headers.append((name.lower(), value))
        if len(self._headers) > MOST_HEADERS:
            self._fail()

    def on_body(self, body: bytes) -> None:
        """Keeps a piece of the body."""
        self._body += body
        if len(self._body) > MOST_BYTES:
            self._fail()

    def on_message_complete(self) -> None:
        """Hands over the answer."""
        if self._answer is None or self._answer.done():
            self._fail()
            return
        self.usable = self.usable and self._parser.should_keep_alive()
        self._answer.set_result(Reply(bytes(self._body), tuple(self._headers), self._parser.get_status_code()))

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[Header] = []
        self._body = bytearray()

    def _fail(self) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(NoAnswer())


class Client:
    """Asks one target, over as many connections as there are questions at once."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._idle: list[Connection] = []
        self._closed = False

    async def post(self, path: bytes, headers: Iterable[Header], body: bytes, seconds: float) -> Reply:
        """The answer; raises NoAnswer, OSError, or TimeoutError after so many seconds."""
        lines = [b"POST %b HTTP/1.1" % path, b"host: %b" % self._target.authority]
        lines += [b"%b: %b" % header for header in headers]
        head = b"\r\n".join([*lines, b"content-length: %d" % len(body), b"", b""])
        async with asyncio.timeout(seconds):
            connection = await self._connection()
            reply = await connection.ask(head, body)
        if connection.usable and not self._closed:
            self._idle.append(connection)
        else:
            connection.close()
        return reply

    def close(self) -> None:
        """Ends the connections that are not in use, and the others as soon as they are not."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def _connection(self) -> Connection:
        while self._idle:
            if (known := self._idle.pop()).usable:
                return known
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(Connection, self._target.host, self._target.port)
        return made
