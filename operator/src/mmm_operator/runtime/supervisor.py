"""Keeps the watches running: starts kopf, and starts it again when it ends.

kopf ends on several faults of a watch. It also cancels every task of its event loop when it ends and takes the
process' signals for itself, therefore it gets a thread and a loop of its own.
"""

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any

import kopf
import uvloop

from mmm_operator import names
from mmm_operator.errors import KubeError, OperatorError
from mmm_operator.kube.store import seen
from mmm_operator.runtime.feed import Feed
from mmm_operator.runtime.handlers import Connect, build_registry, build_settings
from mmm_operator.runtime.mailbox import Mailbox
from mmm_operator.runtime.metrics import Metrics
from mmm_operator.settings import Settings

log = logging.getLogger(__name__)

SHORTEST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 8.0
# Watches that held for so long were well; the next trouble is a new one.
WELL_SECONDS = 60.0
PATIENCE_SECONDS = 600.0
STOP_SECONDS = 4.0


class WatchesFailed(OperatorError):
    """The watches cannot be kept up; a new process may do better."""


class Supervisor:
    """The watches and the store that they feed."""

    def __init__(self, feed: Feed, connect: Connect, settings: Settings, metrics: Metrics) -> None:
        self._feed = feed
        self._connect = connect
        self._settings = settings
        self._metrics = metrics
        self._host: WatchHost | None = None
        self.ready = False

    async def run(self) -> None:
        """Watch until cancelled; raises WatchesFailed when that does not work for long."""
        attempt, well = 0, _now()
        while True:
            await self._first_look()
            started = _now()
            reason = await self._watch()
            self.ready = False
            self._metrics.watch_restarts.inc()
            if _now() - started >= WELL_SECONDS:
                attempt, well = 0, _now()
            if _now() - well >= PATIENCE_SECONDS:
                raise WatchesFailed(f"no watch held for {PATIENCE_SECONDS:g} s, at last: {reason}")
            attempt += 1
            pause = _pause(attempt)
            log.warning("the watches ended, again in %.1f s: %s", pause, reason)
            await asyncio.sleep(pause)

    def ping(self, arrive: Callable[[], None]) -> None:
        """Have `arrive` called here after a turn in kopf's loop; at once while kopf does not run."""
        if self._host is None:
            arrive()
        else:
            self._host.ping(arrive)

    async def _watch(self) -> str:
        self._host = WatchHost(self._connect, self._feed, self._settings)
        try:
            return await self._host.run()
        finally:
            self._host = None

    async def _first_look(self) -> None:
        """Everything, listed: proves that the kinds exist and that we may read them, which kopf would not say."""
        attempt = 0
        while True:
            try:
                await self._feed.fill()
            except KubeError as error:
                attempt += 1
                pause = _pause(attempt)
                log.warning("cannot list %s and what belongs to them, again in %.1f s: %s", names.PLURAL, pause, error)
                await asyncio.sleep(pause)
            else:
                self.ready = True
                return


def _pause(attempt: int) -> float:
    longest = min(LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS * 2.0**attempt)
    return random.uniform(SHORTEST_PAUSE_SECONDS, longest)


def _tell(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    # Where several watches fail at once kopf raises for the first one and leaves the others to asyncio, which would
    # call each an error of the program.
    log.warning("a watch ended too: %s", context.get("exception") or context["message"])


def _now() -> float:
    return asyncio.get_running_loop().time()


class WatchHost:
    """kopf, once, in its own thread."""

    def __init__(self, connect: Connect, feed: Feed, settings: Settings) -> None:
        self._feed = feed
        self._mailbox = Mailbox()
        self._own: asyncio.AbstractEventLoop | None = None
        self._registry = build_registry(self._hear, connect)
        self._settings = settings
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._stopped = threading.Event()
        self._stop: Callable[[], object] = self._stopped.set

    async def run(self) -> str:
        """Watch until kopf ends; the answer says why. Cancelled, it ends kopf."""
        threading.Thread(target=self._in_thread, name="watches", daemon=True).start()
        try:
            return await asyncio.shield(self._ended)
        finally:
            with contextlib.suppress(RuntimeError):  # it has ended already, and its loop is closed
                self._stop()
            await asyncio.wait({self._ended}, timeout=STOP_SECONDS)

    def ping(self, arrive: Callable[[], None]) -> None:
        """Have `arrive` called in the main loop after a turn in kopf's; never, when that has ended."""
        if self._own is not None:
            with contextlib.suppress(RuntimeError):
                self._own.call_soon_threadsafe(self._mailbox.post, arrive)

    def _in_thread(self) -> None:
        try:
            uvloop.run(self._watch())
            reason = "kopf ended by itself"
        except BaseException as error:  # noqa: BLE001  (the border of a thread: the reason travels as text)
            reason = f"{type(error).__name__}: {error}"
        self._mailbox.post(lambda: self._end(reason))

    async def _watch(self) -> None:
        self._own = loop = asyncio.get_running_loop()
        loop.set_exception_handler(_tell)
        flag = asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(flag.set)
        if self._stopped.is_set():
            return
        await kopf.operator(
            registry=self._registry,
            settings=build_settings(self._settings),
            stop_flag=flag,
            clusterwide=not self._settings.namespaces,
            namespaces=self._settings.namespaces,
        )

    def _hear(self, kind: str, raw: Mapping[str, Any], event: str | None) -> None:
        if event is None:
            self._mailbox.post(self._feed.listed)
        # That a MultimodalModel is there is news even when all of it is known: from now on this watch tells of its end.
        if event == "DELETED" or kind == names.KIND or not self._feed.knows(kind, raw):
            found = seen(kind, raw)
            self._mailbox.post(lambda: self._feed.saw(found, event))

    def _end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)
