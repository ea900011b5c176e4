"""Servers between a client and S3 that misbehave as told."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any, Self
from urllib.parse import urlsplit

REQUEST = re.compile(rb"(?:^|\r\n\r\n)(GET|HEAD|PUT|POST|DELETE) (/[^ ]*) HTTP/1\.1\r\n")

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Server:
    """An async context manager: a server on a free port of loopback."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task, writer in self._connections.items():
            task.cancel()
            writer.transport.abort()  # a task that never began has no end in which it would
        await asyncio.gather(*self._connections, return_exceptions=True)
        # A transport that was aborted closes its socket a moment later; the loop may end before.
        for _round in range(3):
            await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[asyncio.ensure_future(self._serve(reader, writer))] = writer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()


def silent() -> Server:
    """Accepts connections and never says a word."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return Server(hold)


def answering(status: str, body: bytes = b"", headers: str = "") -> Server:
    """Gives the same answer to every request."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)
            await writer.drain()

    return Server(answer)


class StallingProxy(Server):
    """Passes bytes to and from a server until so many of them, both ways, have passed; then passes none."""

    def __init__(self, endpoint: str, budget: int | None = None) -> None:
        super().__init__(self._pass)
        self._upstream = urlsplit(endpoint)
        self.budget = budget
        self.passed = 0
        self.requests: list[tuple[str, str]] = []
        """Method and path of every request that began to pass."""
        self.stalled = asyncio.Event()

    async def throttle(self, count: int) -> None:
        """Wait as long as so many bytes take on this line."""

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
        try:
            await asyncio.gather(self._pump(reader, up_writer, count_requests=True), self._pump(up_reader, writer))
        finally:
            up_writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count_requests: bool = False
    ) -> None:
        while block := await reader.read(64 * 1024):
            if self.budget is not None:
                block = block[: max(0, self.budget - self.passed)]
            self.passed += len(block)
            if count_requests:
                self.requests += [(method.decode(), path.decode()) for method, path in REQUEST.findall(block)]
            await self.throttle(len(block))
            writer.write(block)
            await writer.drain()
            if self.budget is not None and self.passed >= self.budget:
                self.stalled.set()
                await asyncio.Event().wait()
        writer.write_eof()


class SlowProxy(StallingProxy):
    """Passes so many bytes in a second, all connections together."""

    def __init__(self, endpoint: str, bytes_per_second: int) -> None:
        super().__init__(endpoint)
        self._rate = bytes_per_second
        self._line = asyncio.Lock()

    async def throttle(self, count: int) -> None:
        async with self._line:
            await asyncio.sleep(count / self._rate)


class CuttingProxy(StallingProxy):
    """Breaks the first connections off after a few bytes of an answer, then behaves."""

    def __init__(self, endpoint: str, cuts: int, after: int) -> None:
        super().__init__(endpoint)
        self.cuts = cuts
        self._after = after

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count_requests: bool = False
    ) -> None:
        if count_requests:
            await super()._pump(reader, writer, count_requests=True)
            return
        while block := await reader.read(64 * 1024):
            if self.cuts and self.passed > self._after:
                self.cuts -= 1
                raise ConnectionResetError
            self.passed += len(block)
            writer.write(block)
            await writer.drain()
