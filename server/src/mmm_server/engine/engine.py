"""The engine's face towards HTTP: vectors and scores for a ticket, of the version that the ticket was opened with."""

import asyncio
import logging
import time
from collections.abc import Sequence

from mmm_server.backends.base import Backend, Capabilities, Device, Matrix
from mmm_server.engine.cache import MemoryResults, RedisResults, Results
from mmm_server.engine.decoding import Decoded, DecodePool
from mmm_server.engine.lifecycle import Lifecycle, State
from mmm_server.engine.remembered import first_version, recall
from mmm_server.engine.served import RETRY_SECONDS, Examine, Served, Shared, Vectors
from mmm_server.engine.swap import Swap
from mmm_server.engine.swapper import Swapper, wish_of
from mmm_server.engine.ticket import Ticket
from mmm_server.engine.version import Version
from mmm_server.errors import Fatal, InternalError, NotReady, TaskNotOffered
from mmm_server.limits import limits_of
from mmm_server.logs import fields
from mmm_server.metrics import Gauges, Metrics
from mmm_server.settings import Settings
from mmm_server.tasks import Task, name_all
from mmm_server.wanted import BrokenWanted

log = logging.getLogger(__name__)

FEW_CHARS = 1024  # so few are tokenized faster than another thread is woken


async def _unexamined(served: Served) -> None:
    """Lets any version pass."""


class Engine:
    """The version that is served. Its methods belong to the event loop on which it was started."""

    def __init__(self, settings: Settings, metrics: Metrics, threads: int = 1) -> None:
        self.settings = settings
        self.limits = limits_of(settings)
        self.lifecycle = Lifecycle()
        self.metrics = metrics
        self.failed = asyncio.Event()
        self.examine: Examine = _unexamined
        self._decoding = DecodePool(settings.decode_threads, self.limits, _on_decoded)
        self._shared = Shared(settings, metrics, self._decoding, _results(settings), threads, self._on_death)
        first, failed = _first(settings)
        self._served = Served(first, self.lifecycle, self._shared)
        self._swapper = Swapper(self, settings, failed)
        metrics.watch(
            Gauges(
                inflight=lambda: self._served.inflight,
                queue_depth=lambda: self._served.admission.items,
                estimated_wait=lambda: self._served.admission.estimated_wait(),
                heartbeat_age=lambda: self._served.worker.heartbeat_age(),
                busy_ratio=lambda: self._served.worker.busy.ratio(time.monotonic()),
            )
        )

    def start(self) -> None:
        """Begins to load; the state of the lifecycle says how far it is."""
        self._served.begin()
        self._opening = asyncio.create_task(self._open())

    def drain(self) -> None:
        """No new traffic is wanted from now on, and no other version."""
        self.lifecycle.advance(State.DRAINING)
        self._swapper.stop()

    def close(self) -> None:
        """Ends the threads; what still waits is never answered."""
        self._served.worker.close()
        self._decoding.close()

    def open_ticket(self, request_id: str, timeout: float | None = None, trial: Served | None = None) -> Ticket:
        """A ticket whose deadline is the client's, but never later than the server's. Close it when all is over.

        `trial` is a version that is asked before it may serve.
        """
        limit = self.settings.request_timeout_seconds
        ticket = Ticket(request_id, time.monotonic() + (limit if timeout is None else min(timeout, limit)))
        ticket.served = served = trial or self._served
        ticket.trial = trial is not None
        served.tickets += 1
        return ticket

    def close_ticket(self, ticket: Ticket) -> None:
        """Says that a request is over."""
        if ticket.served is not None:
            ticket.served.tickets -= 1

    @property
    def served(self) -> Served:
        """The version that new requests get."""
        return self._served

    @property
    def version(self) -> Version:
        """Which version that is."""
        return self._served.version

    @property
    def swap(self) -> Swap | None:
        """The swap to another version that is under way, or the last one."""
        return self._swapper.swap

    @property
    def alive(self) -> bool:
        """Whether a restart would not help: the thread works, or still loads."""
        if self.lifecycle.state is State.FAILED:
            return False
        return not self.lifecycle.answering or self._served.worker.heartbeat_age() < self.settings.stuck_seconds

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks on offer."""
        return self._served.tasks

    @property
    def capabilities(self) -> Capabilities | None:
        """What the model can do, once it is loaded."""
        backend = self._served.backend
        return backend.capabilities if backend else None

    @property
    def device(self) -> Device | None:
        """Where the model runs, once it is loaded."""
        backend = self._served.backend
        return backend.device if backend else None

    @property
    def queue(self) -> tuple[int, int, float]:
        """(items waiting for the device, requests in flight, seconds that a newcomer would wait)."""
        served = self._served
        return served.worker.depth, served.inflight, served.admission.estimated_wait()

    @property
    def batch_limit(self) -> int | None:
        """How many images share a batch: less than configured after the device ran out of memory."""
        limits = self._served.limits
        return limits.max_images if limits else None

    @property
    def load_seconds(self) -> float | None:
        """How long it took until the version that is served was warm."""
        return self._served.load_seconds

    def check_open(self, ticket: Ticket) -> None:
        """NotReady or Overloaded if the request would be refused whatever it holds: before its body is read."""
        served, _ = self._open_for(ticket)
        served.admission.check_wait(ticket.deadline - time.monotonic())
        if ticket.copied:
            served.admission.check_copy()

    async def embed(
        self, ticket: Ticket, images: Sequence[bytes], texts: Sequence[str], tasks: Sequence[Task] | None = None
    ) -> Vectors:
        """The vectors of images and texts; `tasks` are what they are for if it is not to give them away."""
        served, _ = self._open_for(ticket, *(_embedding(images, texts) if tasks is None else tasks))
        self.limits.check_items(len(images), len(texts))
        return await served.answer(ticket, images, texts)

    async def classify(self, ticket: Ticket, images: Sequence[bytes], texts: Sequence[str]) -> Matrix:
        """The probability of every text for every image, images × texts."""
        served, backend = self._open_for(ticket, Task.ZERO_SHOT_IMAGE_CLASSIFICATION)
        self.limits.check_items(len(images), 0)
        self.limits.check_labels(texts)
        vectors = await served.answer(ticket, images, texts)
        return backend.finish(vectors.images, vectors.texts)

    async def count_tokens(self, ticket: Ticket, texts: Sequence[str]) -> int:
        """How many tokens the model reads in texts that `embed` took."""
        if not texts:
            return 0
        count = self._open_for(ticket)[1].count_tokens
        few = sum(map(len, texts)) <= FEW_CHARS
        return count(texts) if few else await asyncio.to_thread(count, texts)

    def compare(self, ticket: Ticket, vectors: Vectors) -> Matrix:
        """The probability of every text for every image of vectors that `embed` gave."""
        _, backend = self._open_for(ticket, Task.ZERO_SHOT_IMAGE_CLASSIFICATION)
        return backend.finish(vectors.images, vectors.texts)

    def _open_for(self, ticket: Ticket, *tasks: Task) -> tuple[Served, Backend]:
        served = ticket.served
        if served is None or served.backend is None or not (ticket.trial or self.lifecycle.answering):
            raise NotReady("The model is not ready.", retry_after=RETRY_SECONDS)
        missing = tuple(task for task in tasks if task not in served.tasks)
        if missing:
            offered = name_all(served.tasks)
            raise TaskNotOffered(f"{name_all(missing)} is not offered here; this model offers {offered}.")
        return served, served.backend

    # The life of a version.

    async def _open(self) -> None:
        """Serves the first version once it is warm and was examined."""
        served = self._served
        try:
            await served.warmed()
            await self.examine(served)
        except Fatal as fatal:
            self._fail(fatal)
        except Exception:
            log.error("the model could not be examined", exc_info=True)
            self._fail(InternalError("The server failed while it examined the model; its log says why."))
        else:
            self._announce(served)
            if self.lifecycle.advance(State.READY) and self.settings.hot_swap:
                self._swapper.start()

    def begin(self, version: Version) -> Served:
        """Another version, which begins to load beside the one that serves."""
        serving = self._served.backend
        served = Served(version, Lifecycle(), self._shared, serving.threads if serving else None)
        served.begin()
        return served

    def switch(self, served: Served) -> None:
        """Serves another version from the next request on; what is in flight stays with the one that took it."""
        self._served = served
        self._announce(served)

    def rename(self, version: Version) -> None:
        """Serves the same bytes under another name."""
        self._served.version = version
        self._announce(self._served)

    def _announce(self, served: Served) -> None:
        """Tells metrics and log what is served now."""
        device = served.loaded().device
        self.metrics.model_info.clear()
        labels = (served.version.name, served.version.digest or "", device.dtype, device.kind)
        self.metrics.model_info.labels(*labels).set(1)
        known = fields(
            version=served.version.name,
            seconds=round(served.load_seconds or 0.0, 2),
            device=device.kind,
            dtype=device.dtype,
            tasks=list(served.tasks),
        )
        log.info("ready", extra=known)

    def _on_death(self, served: Served, fatal: Fatal) -> None:
        if served is self._served:
            self._fail(fatal)

    def _fail(self, fatal: Fatal) -> None:
        if self.failed.is_set():
            return
        self.lifecycle.fail(fatal)
        log.error("the engine failed", extra=fields(reason=fatal.reason))
        self.failed.set()


def _first(settings: Settings) -> tuple[Version, Swap | None]:
    """What to load first, and the swap that failed before the process was started again, if one did."""
    own = Version(settings.model_version, settings.model_digest)
    if not settings.hot_swap:
        return own, None
    remembered = recall(settings.state_dir)
    try:
        wanted = wish_of(settings)
    except BrokenWanted:
        wanted = remembered.served  # what makes no sense changes nothing
    return first_version(own, wanted, remembered, lambda version: settings.path_of(version.digest).is_dir())


def _embedding(images: Sequence[bytes], texts: Sequence[str]) -> list[Task]:
    """The tasks of whoever gets the vectors of images and texts."""
    return [*([Task.IMAGE_EMBEDDING] if images else []), *([Task.TEXT_EMBEDDING] if texts else [])]


def _on_decoded(decoded: Decoded) -> None:
    """Leads what was decoded to the version that its request began with; called in the decode thread."""
    if decoded.ticket.served is not None:
        decoded.ticket.served.on_decoded(decoded)


def _results(settings: Settings) -> Results | None:
    if settings.result_cache == "redis":
        return RedisResults(settings.result_cache_url or "", settings.result_cache_seconds)
    return MemoryResults(settings.result_cache_bytes) if settings.result_cache == "memory" else None
