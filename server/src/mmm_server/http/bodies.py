"""Reading bodies with two bounds: how long one may be, and how many bytes are held for all requests together."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from starlette.types import Receive, Scope

from mmm_server.errors import ClientGone, Overloaded, SlowClient, TooLarge
from mmm_server.http.exchange import header_of
from mmm_server.limits import Limits


class BodyReader:
    """Reads the bodies of one server; event loop only."""

    def __init__(self, limits: Limits) -> None:
        self._max_bytes = limits.body_bytes
        self._max_held = limits.inflight_bytes
        self._held = 0

    @asynccontextmanager
    async def body(self, scope: Scope, receive: Receive, seconds: float) -> AsyncIterator[bytes]:
        """The whole body, counted as held until the block ends.

        TooLarge as soon as it is known to be too long, without keeping what came; Overloaded if too much is held
        already; SlowClient if it does not come in time.
        """
        chunks: list[bytes] = []
        try:
            self._check_declared(scope)
            try:
                async with asyncio.timeout(seconds):
                    while await self._take(receive, chunks):
                        pass
            except TimeoutError:
                raise SlowClient("The body did not arrive in time.") from None
            yield chunks[0] if len(chunks) == 1 else b"".join(chunks)
        finally:
            self._held -= sum(map(len, chunks))

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Counts what was made of a body, such as its inflated form, as held until the block ends."""
        self._held += size
        try:
            self._check_held()
            yield
        finally:
            self._held -= size

    def _check_declared(self, scope: Scope) -> None:
        declared = header_of(scope, b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > self._max_bytes:
            raise self._too_large()

    async def _take(self, receive: Receive, chunks: list[bytes]) -> bool:
        """Appends the next chunk; whether more will come."""
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("The client is gone.")
        chunk = message.get("body", b"")
        self._held += len(chunk)
        chunks.append(chunk)
        if sum(map(len, chunks)) > self._max_bytes:
            raise self._too_large()
        self._check_held()
        return bool(message.get("more_body", False))

    def _check_held(self) -> None:
        if self._held > self._max_held:
            raise Overloaded("The server holds as many request bodies as it may.", retry_after=1.0)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is longer than {self._max_bytes} bytes.")
