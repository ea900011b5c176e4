"""The inference thread: it loads the model, owns it, and is the only one that ever computes with it."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mmm_server.backends.base import Backend, Kind, Matrix, Prepared, Result, Shape, Vector
from mmm_server.engine.batching import BatchLimits, Seen, Waiting, patience
from mmm_server.engine.busy import BusyMeter
from mmm_server.engine.lifecycle import Lifecycle, State
from mmm_server.engine.ticket import Item
from mmm_server.errors import (
    DeadlinePassed,
    DeviceOutOfMemory,
    Fatal,
    InferenceFailed,
    InternalError,
    NotReady,
    OutOfMemory,
    Refused,
    WarmUpFailed,
)
from mmm_server.logs import fields

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of an item."""

    item: Item
    result: Vector | Refused


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One forward pass and its outcomes; `started` is None for items that were never computed."""

    outcomes: Sequence[Outcome]
    started: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """A batch that was launched."""

    items: list[Item]
    started: float
    result: Result


@dataclass(frozen=True, slots=True)
class Links:
    """How the thread reaches the rest of the server; every function is called in the inference thread."""

    load: Callable[[], Backend]
    limits: Callable[[Backend], BatchLimits]
    on_loaded: Callable[[Backend, BatchLimits], None]
    on_warm: Callable[[], None]  # whoever is told decides whether the model may serve
    on_batch: Callable[[Batch], None]
    on_limits: Callable[[BatchLimits], None]
    on_death: Callable[[Fatal], None]  # whoever is told decides what that is the end of


class _Unwanted(Exception):
    """The thread was closed before the model was warm."""


class InferenceThread(threading.Thread):
    """Loads, warms up, and then computes batch after batch until it is closed or dies."""

    def __init__(self, links: Links, lifecycle: Lifecycle) -> None:
        super().__init__(name="inference", daemon=True)
        self._links = links
        self._lifecycle = lifecycle
        self._limits = self._full = BatchLimits()
        self._roomy = False
        self._wake = threading.Condition()
        self._waiting = Waiting()
        self._current: list[Item] = []
        self._running: Running | None = None
        self._device_free = 0.0
        self._seen: dict[Shape, Seen] = {}
        self._closed = False
        self._beat = time.monotonic()
        self.busy = BusyMeter()

    def submit(self, items: Sequence[Item]) -> bool:
        """Queues prepared items; False if the thread is gone and will never take them."""
        with self._wake:
            if self._closed:
                return False
            self._waiting.add(items)
            self._wake.notify()
            return True

    def close(self) -> None:
        """Lets the thread end after the batch that it is computing."""
        with self._wake:
            self._closed = True
            self._wake.notify()

    def restore(self) -> None:
        """Tries full batches again, as others gave memory back; where that does not suffice they shrink again."""
        with self._wake:
            self._roomy = True
            self._wake.notify()

    @property
    def depth(self) -> int:
        """Items that wait for the device."""
        return len(self._waiting)

    def heartbeat_age(self) -> float:
        """Seconds since the thread last showed life: past a second only while a batch computes, or after death."""
        return time.monotonic() - self._beat

    def run(self) -> None:
        """The life of the thread; whatever ends it is reported, and nobody keeps waiting for it."""
        try:
            backend = self._prepare()
            while self._step(backend):
                self._grow()
        except _Unwanted:
            log.info("a model that nobody waits for any more is not warmed up")
        except Fatal as fatal:
            self._die(fatal)
        except BaseException:
            log.error("the inference thread died", exc_info=True)
            self._die(InternalError("The inference thread died."))

    def _prepare(self) -> Backend:
        self._lifecycle.advance(State.LOADING)
        backend = self._links.load()
        self._limits = self._full = self._links.limits(backend)
        self._links.on_loaded(backend, self._limits)
        self._beat = time.monotonic()
        self._lifecycle.advance(State.WARMING)
        self._warm_up(backend)
        if backend.capabilities.batch_sizes:
            self._full = self._limits  # a program of another size would be compiled within a request
        self._beat = time.monotonic()
        self._links.on_warm()
        return backend

    def _warm_up(self, backend: Backend) -> None:
        """One forward pass of every shape bucket, alone and in a full batch: what works now works under load."""
        for example in backend.examples():
            capacity = self._limits.capacity(example)
            fixed = backend.capabilities.batch_sizes if example.kind is Kind.IMAGE else ()
            for size in sorted({1, capacity, *(size for size in fixed if size < capacity)}):
                # A compiled program is recorded as a graph when it runs again, which must not be a request.
                for _ in range(3 if fixed else 1):
                    self._warm(backend, example, size)

    def _warm(self, backend: Backend, example: Prepared, size: int) -> None:
        self._beat = time.monotonic()
        if self._closed:
            raise _Unwanted
        try:
            vectors = backend.launch([example] * size)()
        except DeviceOutOfMemory:
            if size == 1:
                raise OutOfMemory("The memory of the device does not hold the model and one item.") from None
            if size <= self._limits.capacity(example):  # or it was tried before
                self._halve()
            return
        except Exception:
            log.error("warm-up failed", exc_info=True)
            raise WarmUpFailed(f"The model failed on an example ({example.kind}).") from None
        if vectors.shape != (size, backend.capabilities.dimensions) or not np.isfinite(vectors).all():
            raise WarmUpFailed(
                f"The model answered an example ({example.kind}) with a vector that is not finite or of a wrong size."
            )

    def _step(self, backend: Backend) -> bool:
        """Launches the next batch and settles the one before; False once closed.

        Where the device works on its own, one batch is launched ahead, so that it never waits for this thread.
        """
        with self._wake:
            self._beat = time.monotonic()
            if self._closed and self._running is None:
                return False
            if not len(self._waiting) and self._running is None:
                self._wake.wait(BEAT_SECONDS)
                return True
            if (pause := self._pause(backend)) > 0.0:
                self._wake.wait(pause)
                return True
            choice = self._waiting.choose(self._limits, self._beat)
            self._current = [*self._current, *choice.batch]
        if choice.dropped:
            late = DeadlinePassed("The deadline passed before the computation began.")
            self._links.on_batch(Batch([Outcome(item, late) for item in choice.dropped]))
        ahead = self._launch(backend, choice.batch) if choice.batch else None
        if self._running is not None:
            self._settle(backend, self._running)
        self._running = ahead
        if ahead is not None and not backend.capabilities.overlaps:
            self._settle(backend, ahead)
            self._running = None
        self._current = [] if self._running is None else self._running.items
        return True

    def _pause(self, backend: Backend) -> float:
        """How long to wait for company: not where another shape could be computed or a batch is computed anyway."""
        alone = self._waiting.only()
        if alone is None or backend.capabilities.overlaps or self._closed:
            return 0.0
        example, count = alone
        idle = time.monotonic() - self._device_free
        return patience(count, self._limits.capacity(example), self._seen.get(example.shape), idle)

    def _launch(self, backend: Backend, items: list[Item]) -> Running:
        started = time.monotonic()
        try:
            result = backend.launch([item.prepared for item in items])
        except DeviceOutOfMemory:
            # Another one: to the frames of this one belongs what was computed so far, and that memory is needed now.
            result = _raising(DeviceOutOfMemory())
        except Exception as error:  # noqa: BLE001  raised again when the batch is settled, after the one before it
            result = _raising(error)
        return Running(items, started, result)

    def _settle(self, backend: Backend, running: Running) -> None:
        started = max(running.started, self._device_free)
        outcomes = self._outcomes(backend, running.items, running.result)
        self._device_free = ended = time.monotonic()
        self.busy.add(started, ended)
        shape = running.items[0].prepared.shape
        self._seen[shape] = Seen(ended - started, len(running.items) + self._waiting.count(shape))
        self._links.on_batch(Batch(outcomes, started, ended - started))

    def _outcomes(self, backend: Backend, items: Sequence[Item], result: Result) -> list[Outcome]:
        """One outcome per item. A batch that fails is halved until the item that fails stands alone."""
        try:
            vectors = result()
            finite = np.asarray(np.isfinite(vectors).all(axis=1))
            return [Outcome(*one) for one in zip(items, map(_judge, vectors, finite), strict=True)]
        except DeviceOutOfMemory:
            if len(items) <= self._limits.capacity(items[0].prepared):  # or the other half of it said so before
                self._halve()
        except Fatal:
            raise
        except Exception:
            first = fields(items=len(items), request_id=items[0].ticket.request_id)
            log.error("a batch failed", exc_info=len(items) == 1, extra=first)
        if len(items) == 1:
            return [Outcome(items[0], InferenceFailed("The model failed on this item."))]
        middle = len(items) // 2
        return self._again(backend, items[:middle]) + self._again(backend, items[middle:])

    def _again(self, backend: Backend, items: Sequence[Item]) -> list[Outcome]:
        return self._outcomes(backend, items, lambda: backend.launch([item.prepared for item in items])())

    def _halve(self) -> None:
        self._limits = self._limits.halved()
        log.warning(
            "the device is out of memory: smaller batches from now on", extra=fields(max_images=self._limits.max_images)
        )
        self._links.on_limits(self._limits)

    def _grow(self) -> None:
        if not self._roomy:
            return
        self._roomy = False
        if self._limits != self._full:
            self._limits = self._full
            log.info("memory was given back: full batches again", extra=fields(max_images=self._limits.max_images))
            self._links.on_limits(self._limits)

    def _die(self, fatal: Fatal) -> None:
        with self._wake:
            self._closed = True
            stranded = self._waiting.clear()
        lost = InferenceFailed("The inference thread died while it computed this item.")
        gone = NotReady("The inference thread died.", retry_after=1.0)
        outcomes = [Outcome(item, lost) for item in self._current] + [Outcome(item, gone) for item in stranded]
        self._links.on_batch(Batch(outcomes))
        self._links.on_death(fatal)


def _judge(vector: Vector, finite: np.bool) -> Vector | Refused:
    return vector if finite else InferenceFailed("The model's answer for this item is not a finite number.")


def _raising(error: Exception) -> Result:
    """Raises the error once and keeps nothing of it: its frames hold what the batch had computed."""
    held = [error]

    def result() -> Matrix:
        raise held.pop()

    return result
