"""The decode pool: bytes and texts become prepared items in a few threads, off the event loop."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mmm_server.backends.base import Backend, Prepared, Vector
from mmm_server.engine.ticket import Item, Ticket
from mmm_server.errors import InferenceFailed, NotReady, Refused
from mmm_server.limits import Limits
from mmm_server.logs import fields
from mmm_server.media.image import decode_image
from mmm_server.media.text import check_text

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of one piece of decode work: items for the device, or the reason why there are none."""

    ticket: Ticket
    futures: Sequence[asyncio.Future[Vector]]
    items: Sequence[Item]
    failure: Exception | None
    seconds: float


Finished = Callable[[Decoded], None]  # called in the decode thread


class DecodePool:
    """A few threads; Pillow and the tokenizers let go of the interpreter lock, so they really run side by side."""

    def __init__(self, threads: int, limits: Limits, finished: Finished) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._limits = limits
        self._finished = finished

    def decode_image(self, backend: Backend, ticket: Ticket, encoded: bytes, future: asyncio.Future[Vector]) -> None:
        """Starts to decode and prepare one image."""

        def work() -> list[Prepared]:
            picture = decode_image(encoded, self._limits.image_pixels, backend.capabilities.image_edge)
            return [backend.prepare_image(picture)]

        self._submit(ticket, [future], work)

    def prepare_texts(
        self, backend: Backend, ticket: Ticket, texts: Sequence[str], futures: Sequence[asyncio.Future[Vector]]
    ) -> None:
        """Starts to check and tokenize texts, all in one go."""

        def work() -> list[Prepared]:
            return backend.prepare_texts([check_text(text, self._limits.text_chars) for text in texts])

        self._submit(ticket, futures, work)

    def _submit(
        self, ticket: Ticket, futures: Sequence[asyncio.Future[Vector]], work: Callable[[], list[Prepared]]
    ) -> None:
        try:
            self._pool.submit(self._run, ticket, futures, work)
        except RuntimeError:  # the pool is closed: the drain is over, and this body came too late
            late = NotReady("The server is going away.", retry_after=1.0)
            self._finished(Decoded(ticket, futures, [], late, 0.0))

    def close(self) -> None:
        """Forgets what has not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(
        self, ticket: Ticket, futures: Sequence[asyncio.Future[Vector]], work: Callable[[], list[Prepared]]
    ) -> None:
        started = time.monotonic()
        prepared: list[Prepared] = []
        failure: Exception | None = None
        try:
            if ticket.wanted(started):
                prepared = work()
        except BaseException as error:
            failure = error if isinstance(error, Exception) else InferenceFailed("The input could not be prepared.")
            if not isinstance(error, Refused):
                log.error("an input could not be prepared", exc_info=True, extra=fields(request_id=ticket.request_id))
        now = time.monotonic()
        items = [Item(ticket, one, future, now) for one, future in zip(prepared, futures, strict=False)]
        self._finished(Decoded(ticket, futures, items, failure, now - started))
