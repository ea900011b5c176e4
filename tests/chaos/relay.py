"""A TCP relay that can be closed: a bucket that goes away and comes back under the same address."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Relay:
    """Passes bytes on to an HTTP server; while `closed`, every connection ends at once."""

    def __init__(self, target: str) -> None:
        self.closed = False
        self.endpoint = ""
        parts = urlsplit(target)
        self._host, self._port = parts.hostname, parts.port
        self._open: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        """Listen while the block runs."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for writer in tuple(self._open):
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(OSError):
            if not self.closed:
                there, back = await asyncio.open_connection(self._host, self._port)
                self._open.add(back)
                await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
                self._open.discard(back)
        writer.transport.abort()
        self._open.discard(writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self.closed and (some := await reader.read(65536)):
            writer.write(b"" if self.closed else some)
            await writer.drain()
        writer.transport.abort()
