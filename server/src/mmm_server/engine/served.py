"""One model version and all that is true of it alone: its thread, queue, limits, costs and remembered vectors.

A process may hold several, as while it goes over from one to the next. They share the decode threads and the cache of
results, whose keys name the version, and nothing else: what one of them took is answered by it.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from mmm_server.backends.base import Backend, Kind, Matrix, Threads, Vector
from mmm_server.engine.admission import Admission
from mmm_server.engine.batching import BatchLimits
from mmm_server.engine.cache import Results, VectorCache, image_keys
from mmm_server.engine.decoding import Decoded, DecodePool
from mmm_server.engine.lifecycle import Lifecycle
from mmm_server.engine.loading import batch_limits, load_backend, offered_tasks
from mmm_server.engine.ticket import Ticket
from mmm_server.engine.version import Version
from mmm_server.engine.worker import Batch, InferenceThread, Links
from mmm_server.errors import DeadlinePassed, Fatal, InferenceFailed, NotReady, Refused
from mmm_server.metrics import Metrics
from mmm_server.settings import Settings
from mmm_server.tasks import Task

RETRY_SECONDS = 2.0

Handed = TypeVar("Handed")
Examine = Callable[["Served"], Awaitable[None]]  # asks a warm version what it must know; Fatal if it does not


@dataclass(frozen=True, slots=True)
class Vectors:
    """One row per image and per text, each of length one."""

    images: Matrix
    texts: Matrix


@dataclass(frozen=True, slots=True)
class Asked:
    """An image of a request, encoded, and what it is called in a refusal: nothing where it is the only one."""

    encoded: bytes
    name: str


@dataclass(frozen=True, slots=True)
class Shared:
    """What all versions of one process use."""

    settings: Settings
    metrics: Metrics
    decoding: DecodePool
    results: Results | None
    threads: int
    on_death: Callable[["Served", Fatal], None]  # called on the event loop


class Served:
    """One model version on the device. Its methods belong to the event loop on which it was begun."""

    def __init__(self, version: Version, lifecycle: Lifecycle, shared: Shared, beside: Threads | None = None) -> None:
        settings = shared.settings
        self.version = version
        self.lifecycle = lifecycle
        self.backend: Backend | None = None
        self.tasks: tuple[Task, ...] = ()
        self.limits: BatchLimits | None = None
        self.load_seconds: float | None = None
        self.tickets = 0  # requests that began with this version and are not over
        self.inflight = 0
        self.failure: Fatal | None = None  # what its thread died of
        self.admission = Admission(settings.max_queue_items, settings.max_queue_seconds, settings.decode_threads)
        self.worker = InferenceThread(self._links(), lifecycle)
        self._shared = shared
        self._beside = beside
        self._texts = VectorCache(max_items=settings.text_cache_items)
        self._background: set[asyncio.Task[None]] = set()
        self._born = time.monotonic()

    def begin(self) -> None:
        """Starts to load; `warmed` says when that is over."""
        self._loop = asyncio.get_running_loop()
        self._warm: asyncio.Future[None] = self._loop.create_future()
        self.worker.start()

    async def warmed(self) -> None:
        """Returns once the model answered all its examples; the Fatal error that it died of otherwise."""
        await asyncio.shield(self._warm)

    def close(self) -> None:
        """Ends the thread after the batch at hand and lets go of the model; what still waits is never answered."""
        self.worker.close()
        self.backend = None

    async def answer(self, ticket: Ticket, images: Sequence[bytes], texts: Sequence[str]) -> Vectors:
        """What is known, and the rest computed; no later than at the deadline."""
        self.inflight += 1
        try:
            async with asyncio.timeout_at(ticket.deadline):
                return await self._recall(self.loaded(), ticket, images, texts)
        except TimeoutError:
            raise DeadlinePassed("The deadline passed before the answer was ready.") from None
        finally:
            ticket.gone = True
            self.inflight -= 1

    def loaded(self) -> Backend:
        """The model; NotReady before it is loaded."""
        if self.backend is None:
            raise NotReady("The model is not ready.", retry_after=RETRY_SECONDS)
        return self.backend

    async def _recall(self, backend: Backend, ticket: Ticket, images: Sequence[bytes], texts: Sequence[str]) -> Vectors:
        known = {text: self._texts.get(text) for text in texts}
        missing = [text for text, vector in known.items() if vector is None]
        self._count_hits(len(known) - len(missing), len(missing))
        # What a version is examined by, it computes itself: others may have answered the same pictures better.
        results, metrics = None if ticket.trial else self._shared.results, self._shared.metrics
        asked = _named(images)
        if results is None or not images:
            rows, fresh = await self._compute(backend, ticket, asked, missing)
        else:
            keys = await image_keys(self._prefix(backend), images)
            found = await results.get(keys, backend.capabilities.dimensions)
            unknown: dict[str, Asked] = {}
            for key, image in zip(keys, asked, strict=True):
                if key not in found:
                    unknown.setdefault(key, image)  # of an image that comes twice, the first is named
            metrics.result_cache.labels("hit").inc(len(found))
            metrics.result_cache.labels("miss").inc(len(unknown))
            computed, fresh = await self._compute(backend, ticket, list(unknown.values()), missing)
            new = dict(zip(unknown, computed, strict=True))
            if new:
                self._behind(results.put(new))
            rows = [new[key] if key in new else found[key] for key in keys]
        for text, computed_vector in fresh.items():
            self._texts.put(text, computed_vector)
        return Vectors(
            images=_stack(rows, backend),
            texts=_stack([fresh[text] if (vector := known[text]) is None else vector for text in texts], backend),
        )

    async def _compute(
        self, backend: Backend, ticket: Ticket, images: Sequence[Asked], texts: Sequence[str]
    ) -> tuple[Sequence[Vector], dict[str, Vector]]:
        """Admits, starts all the work and waits for it: the rows of the images, and the vectors of the texts."""
        if not images and not texts:
            return [], {}
        wanted = {Kind.IMAGE: len(images), Kind.TEXT: len(texts)}
        decoding = self._shared.decoding
        patience = ticket.deadline - time.monotonic()
        place = ticket.place = self.admission.admit(wanted, patience, copied=ticket.copied)
        try:
            image_futures = [self._loop.create_future() for _ in images]
            text_futures = [self._loop.create_future() for _ in texts]
            self.admission.decoding += len(images) + bool(texts)
            for image, future in zip(images, image_futures, strict=True):
                decoding.decode_image(backend, ticket, image.encoded, future)
            if texts:
                decoding.prepare_texts(backend, ticket, texts, text_futures)
            try:
                rows = await asyncio.gather(*image_futures, *text_futures)
            except Refused as refused:
                raise _blame(refused, image_futures, images) from None
        finally:
            self.admission.release(place)
        return rows[: len(images)], dict(zip(texts, rows[len(images) :], strict=True))

    def _prefix(self, backend: Backend) -> str:
        """What a remembered vector depends on besides the image."""
        settings = self._shared.settings
        how = "exact" if settings.exact else "fast"
        model = self.version.digest or settings.model_path
        return f"mmm:1:{model}:{backend.device.dtype}:{how}:"

    def _count_hits(self, hits: int, misses: int) -> None:
        text_cache = self._shared.metrics.text_cache
        if hits:
            text_cache.labels("hit").inc(hits)
        if misses:
            text_cache.labels("miss").inc(misses)

    def _behind(self, work: Coroutine[None, None, None]) -> None:
        """Does work that no request waits for."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # Below: called by the other threads, which hand over to the loop.

    def _links(self) -> Links:
        return Links(
            load=lambda: load_backend(self._shared.settings, self.version, self._shared.threads, self._beside),
            limits=lambda backend: batch_limits(self._shared.settings, backend),
            on_loaded=self._on_loaded,
            on_warm=self._on_warm,
            on_batch=lambda batch: self._hand_over(self._settle, batch),
            on_limits=lambda limits: self._hand_over(self._on_limits, limits),
            on_death=lambda fatal: self._hand_over(self._on_death, fatal),
        )

    def _hand_over(self, function: Callable[[Handed], None], handed: Handed) -> None:
        # The loop may be gone already: a process that exits owes no answers.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, handed)

    def on_decoded(self, decoded: Decoded) -> None:
        """Queues what was decoded for this version; called in the decode thread."""
        taken = self.worker.submit(decoded.items) if decoded.items else True
        self._hand_over(self._settle_decoded if taken else self._refuse_decoded, decoded)

    def _on_loaded(self, backend: Backend, limits: BatchLimits) -> None:
        self.tasks = offered_tasks(self._shared.settings, backend)
        self.backend = backend
        self._hand_over(self._on_limits, limits)
        self._shared.metrics.load_seconds.labels("load").set(time.monotonic() - self._born)

    def _on_warm(self) -> None:
        # What was loaded stays: a collector that walks through all of it again stops the event loop for 150 ms.
        gc.collect()
        gc.freeze()
        self.load_seconds = time.monotonic() - self._born
        self._shared.metrics.load_seconds.labels("warm").set(self.load_seconds)
        self._hand_over(self._settle_warm, None)

    # Below: on the loop again.

    def _settle_warm(self, failure: Fatal | None) -> None:
        if self._warm.done():
            return
        if failure is None:
            self._warm.set_result(None)
        else:
            self._warm.set_exception(failure)
            self._warm.exception()  # looked at: nobody need wait for it

    def _on_death(self, fatal: Fatal) -> None:
        self.failure = fatal
        self._settle_warm(fatal)
        self._shared.on_death(self, fatal)

    def _on_limits(self, limits: BatchLimits) -> None:
        self.limits = limits
        for example in self.backend.examples() if self.backend else ():
            self.admission.expect(example.kind, example.bucket, limits.capacity(example))

    def _settle_decoded(self, decoded: Decoded) -> None:
        self.admission.decoding -= 1
        if decoded.items and decoded.ticket.place is not None:
            self.admission.prepared(decoded.ticket.place, [item.prepared for item in decoded.items])
        if decoded.items or decoded.failure:
            self.admission.decode.observe(1, decoded.seconds)
            self._shared.metrics.stage_seconds.labels("decode").observe(decoded.seconds)
            decoded.ticket.note("decode", decoded.seconds)
        if decoded.failure is not None:
            _fail(decoded.futures, decoded.failure)

    def _refuse_decoded(self, decoded: Decoded) -> None:
        self.admission.decoding -= 1
        _fail(decoded.futures, NotReady("The model is not ready any more.", retry_after=RETRY_SECONDS))

    def _settle(self, batch: Batch) -> None:
        """Learns from a batch and answers its items."""
        metrics = self._shared.metrics
        if batch.started is not None:
            prepared = batch.outcomes[0].item.prepared
            self.admission.observe(prepared, len(batch.outcomes), batch.seconds)
            metrics.batch_size.labels(prepared.kind).observe(len(batch.outcomes))
            metrics.stage_seconds.labels("forward").observe(batch.seconds)
        for outcome in batch.outcomes:
            item = outcome.item
            if batch.started is not None:
                waited = max(0.0, batch.started - item.queued_at)
                metrics.stage_seconds.labels("queue").observe(waited)
                item.ticket.note("queue", waited)
                item.ticket.note("forward", batch.seconds)
            if isinstance(outcome.result, Refused):
                _fail([item.future], outcome.result)
            elif not item.future.done():
                item.future.set_result(outcome.result)


def _fail(futures: Sequence[asyncio.Future[Vector]], failure: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(
                failure if isinstance(failure, Refused) else InferenceFailed("The input could not be prepared.")
            )


def _named(images: Sequence[bytes]) -> list[Asked]:
    several = len(images) > 1
    return [Asked(image, f"Image {position}" if several else "") for position, image in enumerate(images)]


def _blame(refused: Refused, futures: Sequence[asyncio.Future[Vector]], images: Sequence[Asked]) -> Refused:
    """The refusal, naming the image among several that caused it."""
    for future, image in zip(futures, images, strict=True):
        if image.name and future.done() and not future.cancelled() and future.exception() is refused:
            return refused.about(image.name)
    return refused


def _stack(rows: Sequence[Vector], backend: Backend) -> Matrix:
    if not rows:
        return np.empty((0, backend.capabilities.dimensions), dtype=np.float32)
    return np.stack(rows)
