"""One connection through a node: bytes, ends and resets are passed on as they come."""

import asyncio
import socket
import struct
from collections.abc import Callable

RESET = struct.pack("ii", 1, 0)


class End(asyncio.Protocol):
    """One side; `other` is where its bytes go."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Passes bytes on."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Passes the end on; what comes back is still read."""
        self.ended = True
        if self.other is not None and self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.write_eof()
        return not (self.other is not None and self.other.ended)

    def connection_lost(self, exc: Exception | None) -> None:
        """Passes a reset on."""
        other = self.other.transport if self.other is not None else None
        if other is not None and not other.is_closing():
            if exc is not None:
                reset(other)
            else:
                other.close()


class Pipe(End):
    """The side of the client; opens the other side to the endpoint that is chosen for it."""

    def __init__(self, choose: Callable[[], int | None], refused: Callable[[int | None], None]) -> None:
        super().__init__()
        self._choose, self._refused = choose, refused
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Chooses, and waits with reading until the endpoint has taken the connection."""
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._opening = asyncio.create_task(self._open(self.transport))

    async def _open(self, transport: asyncio.Transport) -> None:
        port = self._choose()
        try:
            if port is None:
                raise ConnectionRefusedError
            _, end = await asyncio.get_running_loop().create_connection(End, "127.0.0.1", port)
        except OSError:
            self._refused(port)
            reset(transport)
            return
        self.other, end.other = end, self
        if transport.is_closing():
            end.transport.abort() if end.transport is not None else None
        else:
            transport.resume_reading()


def reset(transport: asyncio.Transport) -> None:
    """Ends a connection as a refused one ends: with RST."""
    if (found := transport.get_extra_info("socket")) is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport.abort()
