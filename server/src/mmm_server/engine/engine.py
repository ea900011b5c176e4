"""The engine's face towards HTTP: vectors and scores for a ticket."""

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from mmm_server.backends.base import Backend, Capabilities, Device, Kind, Matrix, Vector
from mmm_server.engine.admission import Admission
from mmm_server.engine.batching import BatchLimits
from mmm_server.engine.cache import MemoryResults, RedisResults, Results, VectorCache, image_keys
from mmm_server.engine.decoding import Decoded, DecodePool
from mmm_server.engine.lifecycle import Lifecycle, State
from mmm_server.engine.loading import batch_limits, load_backend, offered_tasks
from mmm_server.engine.ticket import Ticket
from mmm_server.engine.worker import Batch, InferenceThread, Links
from mmm_server.errors import DeadlinePassed, Fatal, InferenceFailed, NotReady, Refused, TaskNotOffered
from mmm_server.limits import limits_of
from mmm_server.logs import fields
from mmm_server.metrics import Gauges, Metrics
from mmm_server.settings import Settings
from mmm_server.tasks import Task, name_all

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
FEW_CHARS = 1024  # so few are tokenized faster than another thread is woken

Handed = TypeVar("Handed")


@dataclass(frozen=True, slots=True)
class Vectors:
    """One row per image and per text, each of length one."""

    images: Matrix
    texts: Matrix


class Engine:
    """One model version on one device. Its methods belong to the event loop on which it was started."""

    def __init__(self, settings: Settings, metrics: Metrics, threads: int = 1) -> None:
        self.settings = settings
        self.limits = limits_of(settings)
        self.lifecycle = Lifecycle()
        self.metrics = metrics
        self.failed = asyncio.Event()
        self.load_seconds: float | None = None
        self._threads = threads
        self._born = time.monotonic()
        self._backend: Backend | None = None
        self._tasks: tuple[Task, ...] = ()
        self._limits: BatchLimits | None = None
        self._texts = VectorCache(max_items=settings.text_cache_items)
        self._results = _results(settings)
        self._background: set[asyncio.Task[None]] = set()
        self._admission = Admission(settings.max_queue_items, settings.max_queue_seconds, settings.decode_threads)
        self._decoding = DecodePool(settings.decode_threads, self.limits, self._on_decoded)
        self._worker = InferenceThread(self._links(), self.lifecycle)
        self._inflight = 0
        metrics.watch(
            Gauges(
                inflight=lambda: self._inflight,
                queue_depth=lambda: self._admission.items,
                estimated_wait=self._admission.estimated_wait,
                heartbeat_age=self._worker.heartbeat_age,
                busy_ratio=lambda: self._worker.busy.ratio(time.monotonic()),
            )
        )

    def start(self) -> None:
        """Begins to load; the state of the lifecycle says how far it is."""
        self._loop = asyncio.get_running_loop()
        self._worker.start()

    def close(self) -> None:
        """Ends the threads; what still waits is never answered."""
        self._worker.close()
        self._decoding.close()

    def open_ticket(self, request_id: str, timeout: float | None = None) -> Ticket:
        """A ticket whose deadline is the client's, but never later than the server's."""
        limit = self.settings.request_timeout_seconds
        return Ticket(request_id, time.monotonic() + (limit if timeout is None else min(timeout, limit)))

    @property
    def alive(self) -> bool:
        """Whether a restart would not help: the thread works, or still loads."""
        if self.lifecycle.state is State.FAILED:
            return False
        return not self.lifecycle.answering or self._worker.heartbeat_age() < self.settings.stuck_seconds

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks on offer."""
        return self._tasks

    @property
    def capabilities(self) -> Capabilities | None:
        """What the model can do, once it is loaded."""
        return self._backend.capabilities if self._backend else None

    @property
    def device(self) -> Device | None:
        """Where the model runs, once it is loaded."""
        return self._backend.device if self._backend else None

    @property
    def queue(self) -> tuple[int, int, float]:
        """(items waiting for the device, requests in flight, seconds that a newcomer would wait)."""
        return self._worker.depth, self._inflight, self._admission.estimated_wait()

    @property
    def batch_limit(self) -> int | None:
        """How many images share a batch: less than configured after the device ran out of memory."""
        return self._limits.max_images if self._limits else None

    def check_open(self, ticket: Ticket) -> None:
        """NotReady or Overloaded if the request would be refused whatever it holds: before its body is read."""
        self._open_for()
        self._admission.check_wait(ticket.deadline - time.monotonic())

    async def embed(self, ticket: Ticket, images: Sequence[bytes], texts: Sequence[str]) -> Vectors:
        """The vectors of images and texts."""
        backend = self._open_for(
            *([Task.IMAGE_EMBEDDING] if images else []),
            *([Task.TEXT_EMBEDDING] if texts else []),
        )
        self.limits.check_items(len(images), len(texts))
        return await self._answer(backend, ticket, images, texts)

    async def classify(self, ticket: Ticket, images: Sequence[bytes], texts: Sequence[str]) -> Matrix:
        """The probability of every text for every image, images × texts."""
        backend = self._open_for(Task.ZERO_SHOT_IMAGE_CLASSIFICATION)
        self.limits.check_items(len(images), 0)
        self.limits.check_labels(texts)
        vectors = await self._answer(backend, ticket, images, texts)
        return backend.finish(vectors.images, vectors.texts)

    async def count_tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the model reads in texts that `embed` took."""
        if not texts:
            return 0
        count = self._open_for().count_tokens
        few = sum(map(len, texts)) <= FEW_CHARS
        return count(texts) if few else await asyncio.to_thread(count, texts)

    def compare(self, vectors: Vectors) -> Matrix:
        """The probability of every text for every image of vectors that `embed` gave."""
        return self._open_for(Task.ZERO_SHOT_IMAGE_CLASSIFICATION).finish(vectors.images, vectors.texts)

    def _open_for(self, *tasks: Task) -> Backend:
        if self._backend is None or not self.lifecycle.answering:
            raise NotReady("The model is not ready.", retry_after=RETRY_SECONDS)
        missing = tuple(task for task in tasks if task not in self._tasks)
        if missing:
            raise TaskNotOffered(f"{name_all(missing)} is not offered here; this model offers {name_all(self._tasks)}.")
        return self._backend

    async def _answer(self, backend: Backend, ticket: Ticket, images: Sequence[bytes], texts: Sequence[str]) -> Vectors:
        """What is known, and the rest computed; no later than at the deadline."""
        self._inflight += 1
        try:
            async with asyncio.timeout_at(ticket.deadline):
                return await self._recall(backend, ticket, images, texts)
        except TimeoutError:
            raise DeadlinePassed("The deadline passed before the answer was ready.") from None
        finally:
            ticket.gone = True
            self._inflight -= 1

    async def _recall(self, backend: Backend, ticket: Ticket, images: Sequence[bytes], texts: Sequence[str]) -> Vectors:
        known = {text: self._texts.get(text) for text in texts}
        missing = [text for text, vector in known.items() if vector is None]
        self._count_hits(len(known) - len(missing), len(missing))
        if self._results is None or not images:
            rows, fresh = await self._compute(backend, ticket, images, missing)
        else:
            keys = await image_keys(self._prefix(backend), images)
            found = await self._results.get(keys, backend.capabilities.dimensions)
            unknown = {key: image for key, image in zip(keys, images, strict=True) if key not in found}
            self.metrics.result_cache.labels("hit").inc(len(found))
            self.metrics.result_cache.labels("miss").inc(len(unknown))
            computed, fresh = await self._compute(backend, ticket, list(unknown.values()), missing)
            new = dict(zip(unknown, computed, strict=True))
            if new:
                self._behind(self._results.put(new))
            rows = [new[key] if key in new else found[key] for key in keys]
        for text, computed_vector in fresh.items():
            self._texts.put(text, computed_vector)
        return Vectors(
            images=_stack(rows, backend),
            texts=_stack([fresh[text] if (vector := known[text]) is None else vector for text in texts], backend),
        )

    async def _compute(
        self, backend: Backend, ticket: Ticket, images: Sequence[bytes], texts: Sequence[str]
    ) -> tuple[Sequence[Vector], dict[str, Vector]]:
        """Admits, starts all the work and waits for it: the rows of the images, and the vectors of the texts."""
        if not images and not texts:
            return [], {}
        wanted = {Kind.IMAGE: len(images), Kind.TEXT: len(texts)}
        place = ticket.place = self._admission.admit(wanted, ticket.deadline - time.monotonic())
        try:
            image_futures = [self._loop.create_future() for _ in images]
            text_futures = [self._loop.create_future() for _ in texts]
            self._admission.decoding += len(images) + bool(texts)
            for encoded, future in zip(images, image_futures, strict=True):
                self._decoding.decode_image(backend, ticket, encoded, future)
            if texts:
                self._decoding.prepare_texts(backend, ticket, texts, text_futures)
            try:
                rows = await asyncio.gather(*image_futures, *text_futures)
            except Refused as refused:
                raise _blame(refused, image_futures) from None
        finally:
            self._admission.release(place)
        return rows[: len(images)], dict(zip(texts, rows[len(images) :], strict=True))

    def _prefix(self, backend: Backend) -> str:
        """What a remembered vector depends on besides the image."""
        how = "exact" if self.settings.exact else "fast"
        model = self.settings.model_digest or self.settings.model_path
        return f"mmm:1:{model}:{backend.device.dtype}:{how}:"

    def _count_hits(self, hits: int, misses: int) -> None:
        if hits:
            self.metrics.text_cache.labels("hit").inc(hits)
        if misses:
            self.metrics.text_cache.labels("miss").inc(misses)

    def _behind(self, work: Coroutine[None, None, None]) -> None:
        """Does work that no request waits for."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # Below: called by the other threads, which hand over to the loop.

    def _links(self) -> Links:
        return Links(
            load=lambda: load_backend(self.settings, self._threads),
            limits=lambda backend: batch_limits(self.settings, backend),
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

    def _on_decoded(self, decoded: Decoded) -> None:
        taken = self._worker.submit(decoded.items) if decoded.items else True
        self._hand_over(self._settle_decoded if taken else self._refuse_decoded, decoded)

    def _on_loaded(self, backend: Backend, limits: BatchLimits) -> None:
        self._tasks = offered_tasks(self.settings, backend)
        self._backend = backend
        self._hand_over(self._on_limits, limits)
        self.metrics.load_seconds.labels("load").set(time.monotonic() - self._born)

    def _on_warm(self) -> None:
        # What was loaded stays: a collector that walks through all of it again stops the event loop for 150 ms.
        gc.collect()
        gc.freeze()
        self.load_seconds = time.monotonic() - self._born
        self.metrics.load_seconds.labels("warm").set(self.load_seconds)
        if self._backend is None:
            return
        device = self._backend.device
        labels = (self.settings.model_version, self.settings.model_digest or "", device.dtype, device.kind)
        self.metrics.model_info.labels(*labels).set(1)
        log.info(
            "ready",
            extra=fields(
                seconds=round(self.load_seconds, 2), device=device.kind, dtype=device.dtype, tasks=list(self._tasks)
            ),
        )

    # Below: on the loop again.

    def _on_death(self, fatal: Fatal) -> None:
        log.error("the engine failed", extra=fields(reason=fatal.reason))
        self.failed.set()

    def _on_limits(self, limits: BatchLimits) -> None:
        self._limits = limits
        for example in self._backend.examples() if self._backend else ():
            self._admission.expect(example.kind, example.bucket, limits.capacity(example))

    def _settle_decoded(self, decoded: Decoded) -> None:
        self._admission.decoding -= 1
        if decoded.items and decoded.ticket.place is not None:
            self._admission.prepared(decoded.ticket.place, [item.prepared for item in decoded.items])
        if decoded.items or decoded.failure:
            self._admission.decode.observe(1, decoded.seconds)
            self.metrics.stage_seconds.labels("decode").observe(decoded.seconds)
            decoded.ticket.note("decode", decoded.seconds)
        if decoded.failure is not None:
            _fail(decoded.futures, decoded.failure)

    def _refuse_decoded(self, decoded: Decoded) -> None:
        self._admission.decoding -= 1
        _fail(decoded.futures, NotReady("The model is not ready any more.", retry_after=RETRY_SECONDS))

    def _settle(self, batch: Batch) -> None:
        """Learns from a batch and answers its items."""
        if batch.started is not None:
            prepared = batch.outcomes[0].item.prepared
            self._admission.observe(prepared, len(batch.outcomes), batch.seconds)
            self.metrics.batch_size.labels(prepared.kind).observe(len(batch.outcomes))
            self.metrics.stage_seconds.labels("forward").observe(batch.seconds)
        for outcome in batch.outcomes:
            item = outcome.item
            if batch.started is not None:
                waited = max(0.0, batch.started - item.queued_at)
                self.metrics.stage_seconds.labels("queue").observe(waited)
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


def _blame(refused: Refused, images: Sequence[asyncio.Future[Vector]]) -> Refused:
    """The refusal, naming the image among several that caused it."""
    for position, future in enumerate(images):
        if len(images) > 1 and future.done() and not future.cancelled() and future.exception() is refused:
            return refused.about(f"Image {position}")
    return refused


def _stack(rows: Sequence[Vector], backend: Backend) -> Matrix:
    if not rows:
        return np.empty((0, backend.capabilities.dimensions), dtype=np.float32)
    return np.stack(rows)


def _results(settings: Settings) -> Results | None:
    if settings.result_cache == "redis":
        return RedisResults(settings.result_cache_url or "", settings.result_cache_seconds)
    return MemoryResults(settings.result_cache_bytes) if settings.result_cache == "memory" else None
