"""Reading bodies with bounds: how long one may be, how slowly it may come, and how many bytes are held for all.

Held are the bodies of requests, what they are inflated to, and the answers that are on their way.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext

from starlette.types import Receive, Scope

from mmm_server.errors import ClientGone, DeadlinePassed, Overloaded, SlowClient, TooLarge
from mmm_server.http.compression import inflated
from mmm_server.http.exchange import header_of
from mmm_server.limits import Limits

INFLATING = 2  # bodies at once: what one of them grows to is known, and counted, when it has grown


class BodyReader:
    """Reads the bodies of one server; event loop only."""

    def __init__(self, limits: Limits) -> None:
        self._max_bytes = limits.body_bytes
        self._max_held = limits.inflight_bytes
        self._stall_seconds = limits.body_stall_seconds
        self._held = 0
        self._turns = asyncio.Semaphore(INFLATING)

    @asynccontextmanager
    async def body(self, scope: Scope, receive: Receive, seconds: float) -> AsyncIterator[bytes]:
        """The whole body, counted as held until the block ends.

        TooLarge as soon as it is known to be too long, without keeping what came; Overloaded if too much is held
        already; SlowClient if it does not come within `seconds`, or nothing of it for too long.
        """
        reading = _Reading()
        try:
            self._check_declared(scope)
            await self._read(receive, reading, seconds)
            yield reading.whole()
        finally:
            self._held -= reading.size

    def content(self, sent: bytes, encoding: str | None, seconds: float) -> AbstractAsyncContextManager[bytes]:
        """What was sent, without its compression, which is counted as held beside it until the block ends.

        Malformed, TooLarge or Overloaded as for any body; DeadlinePassed if its turn does not come within `seconds`.
        """
        return nullcontext(sent) if encoding is None else self._inflated(sent, encoding, seconds)

    @contextmanager
    def owing(self, size: int) -> Iterator[None]:
        """Counts an answer as held until the block ends.

        It is made already, so it is never refused itself; as long as too much is unread, new bodies are.
        """
        self._held += size
        try:
            yield
        finally:
            self._held -= size

    @asynccontextmanager
    async def _inflated(self, sent: bytes, encoding: str, seconds: float) -> AsyncIterator[bytes]:
        async with self._turn(seconds):
            body = await inflated(sent, encoding, self._max_bytes)
            self._held += len(body)  # before the next one grows
        try:
            self._check_held()
            yield body
        finally:
            self._held -= len(body)

    @asynccontextmanager
    async def _turn(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise DeadlinePassed("The deadline passed before the body was inflated.") from None
        try:
            yield
        finally:
            self._turns.release()

    def _check_declared(self, scope: Scope) -> None:
        declared = header_of(scope, b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > self._max_bytes:
            raise self._too_large()

    async def _read(self, receive: Receive, reading: "_Reading", seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + self._stall_seconds)) as timeout:
                while await self._take(receive, reading):
                    timeout.reschedule(min(deadline, loop.time() + self._stall_seconds))
        except TimeoutError:
            raise SlowClient("The body did not arrive in time.") from None

    async def _take(self, receive: Receive, reading: "_Reading") -> bool:
        """Keeps the next piece; whether more will come."""
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("The client is gone.")
        piece = message.get("body", b"")
        self._held += len(piece)
        reading.add(piece)
        if reading.size > self._max_bytes:
            raise self._too_large()
        self._check_held()
        return bool(message.get("more_body", False))

    def _check_held(self) -> None:
        if self._held > self._max_held:
            raise Overloaded("The server holds as many requests and unread answers as it may.", retry_after=1.0)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is longer than {self._max_bytes} bytes.")


class _Reading:
    """The pieces of one body: nearly always one, which is then not copied; many small ones cost their bytes only."""

    def __init__(self) -> None:
        self.size = 0
        self._first = b""
        self._rest = bytearray()

    def add(self, piece: bytes) -> None:
        """Appends a piece."""
        if self.size == 0:
            self._first = piece
        else:
            self._rest += piece
        self.size += len(piece)

    def whole(self) -> bytes:
        """The body."""
        return self._first + self._rest if self._rest else self._first
