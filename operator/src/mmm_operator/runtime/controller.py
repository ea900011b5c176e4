"""Workers between the queue and the reconcile, and what happens when a reconcile fails."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from mmm_operator.errors import Conflict, KubeError, Refused, Transient
from mmm_operator.runtime.heartbeat import MOST_SILENCE_SECONDS, Heartbeat, Path, straight
from mmm_operator.runtime.lease import ALONE, Work
from mmm_operator.runtime.metrics import Metrics
from mmm_operator.runtime.queue import WorkQueue
from mmm_operator.runtime.reconcile import Outcome
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key

log = logging.getLogger(__name__)

# No MultimodalModel has an empty namespace: this key only proves that workers take keys off the queue.
HEARTBEAT = Key("", "heartbeat")
# Far longer than a healthy reconcile, and shorter than the patience of the liveness probe.
RECONCILE_LIMIT_SECONDS = 45.0
# A resync is spread over this part of its period, lest every object comes at once.
RESYNC_SPREAD = 0.5


Lead = Callable[[Work], Coroutine[Any, Any, None]]


class Controller:
    """Reconciles every key that it hears of, and all of them again every `resync_seconds`.

    `path` leads each heartbeat through the watches before it gets in line.
    """

    def __init__(
        self,
        reconcile: Callable[[Key], Awaitable[Outcome]],
        settings: Settings,
        metrics: Metrics,
        rng: random.Random | None = None,
        path: Path = straight,
    ) -> None:
        # A quarter of the workers is kept for what is new.
        self.queue = WorkQueue(rng, most_routine=settings.workers - settings.workers // 4)
        self._reconcile = reconcile
        self._settings = settings
        self._metrics = metrics
        self._rng = rng or random.Random()
        self._known: set[Key] = set()
        self._heartbeat = Heartbeat(path, self._on_beat)
        self._working = False
        self._begun: dict[Key, float] = {}
        metrics.depth.set_function(lambda: len(self.queue) if self._working else 0)

    def notice(self, key: Key, delay: float = 0.0, *, fresh: bool = True) -> None:
        """Have the object looked at in `delay` seconds at the latest, and from now on regularly."""
        self._known.add(key)
        self.queue.add(key, delay, fresh=fresh)

    def trouble(self) -> str:
        """Which part does not move any more, as a sentence; empty while all of them do."""
        now = asyncio.get_running_loop().time()
        for key, begun in self._begun.items():
            if now - begun >= MOST_SILENCE_SECONDS:
                return f"a worker is stuck with {key} for {now - begun:.0f} s"
        return self._heartbeat.trouble()

    async def run(self, lead: Lead = ALONE.lead) -> None:
        """Work until cancelled, whenever `lead` has it; ends only by a mistake in this module or the queue."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._heartbeat.run(), name="heartbeat")
            tasks.create_task(self._resync(), name="resync")
            tasks.create_task(lead(self._work_all), name="lead")

    async def _work_all(self) -> None:
        # Whatever an earlier term left half done.
        for key in self._known:
            self.queue.add(key, fresh=False)
        self._working = True
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(self._settings.workers):
                    tasks.create_task(self._work(), name=f"worker {number}")
        finally:
            self._working = False

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                if key == HEARTBEAT:
                    self._heartbeat.taken()
                else:
                    self._begun[key] = asyncio.get_running_loop().time()
                    await self._attempt(key)
            finally:
                self._begun.pop(key, None)
                self.queue.done(key)

    def _on_beat(self) -> None:
        if self._working:
            self.queue.add(HEARTBEAT, first=True)
        else:
            self._heartbeat.taken()  # on a standby there is no worker to take it

    async def _attempt(self, key: Key) -> None:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(RECONCILE_LIMIT_SECONDS):
                outcome = await self._reconcile(key)
        except Exception as error:  # noqa: BLE001  (the border: one object's trouble must not reach the others)
            result = self._failed(key, error)
        else:
            result = self._succeeded(key, outcome)
        self._metrics.reconciles.labels(result).inc()
        self._metrics.seconds.observe(time.perf_counter() - started)

    def _succeeded(self, key: Key, outcome: Outcome) -> str:
        self.queue.succeeded(key)
        if outcome.gone:
            self._known.discard(key)
            return "gone"
        if outcome.requeue_after is not None:
            self.queue.add(key, outcome.requeue_after, fresh=False)
        return "ok"

    def _failed(self, key: Key, error: Exception) -> str:
        result = classify(error)
        delay = self.queue.retry(key, getattr(error, "retry_after", None) or 0.0)
        if result == "error":
            log.error("reconcile failed, again in %.1f s", delay, exc_info=error, extra={"key": key})
        else:
            reason = str(error) or f"no end after {RECONCILE_LIMIT_SECONDS:g} s"
            log.warning("%s, again in %.1f s", reason, delay, extra={"key": key})
        return result

    async def _resync(self) -> None:
        period = self._settings.resync_seconds
        while True:
            await asyncio.sleep(period)
            for key in self._known:
                self.queue.add(key, self._rng.uniform(0.0, RESYNC_SPREAD * period), fresh=False)


def classify(error: Exception) -> str:
    """The word for a failed reconcile in the metrics; "error" is a mistake of ours, and gets a traceback."""
    match error:
        case Refused():
            return "refused"
        case Conflict():
            return "conflict"
        case Transient() | TimeoutError():
            return "transient"
        case KubeError():
            return "refused"
        case _:
            return "error"
