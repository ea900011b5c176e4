"""Keeps the watches running: starts kopf, and starts it again when it ends.

kopf ends on several faults of a watch. It also cancels every task of its event loop when it ends and takes the
process' signals for itself, therefore it gets a thread and a loop of its own.
"""

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

import kopf

from mmm_operator import names
from mmm_operator.errors import KubeError, OperatorError
from mmm_operator.kube.port import Kube
from mmm_operator.runtime.handlers import Connect, build_registry, build_settings
from mmm_operator.runtime.metrics import Metrics
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key

T = TypeVar("T")

log = logging.getLogger(__name__)

SHORTEST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
MOST_RESTARTS = 5
RESTART_WINDOW_SECONDS = 600.0
STOP_SECONDS = 4.0


class WatchesFailed(OperatorError):
    """The watches ended too often; a new process may do better."""


class Supervisor:
    """The watches; `notice` hears of every object that may need a look, in the loop that `run` runs in."""

    def __init__(
        self, kube: Kube, connect: Connect, notice: Callable[[Key], None], settings: Settings, metrics: Metrics
    ) -> None:
        self._kube = kube
        self._connect = connect
        self._notice = notice
        self._settings = settings
        self._metrics = metrics
        self.ready = False

    async def run(self) -> None:
        """Watch until cancelled; raises WatchesFailed when that does not work for long."""
        restarts: deque[float] = deque(maxlen=MOST_RESTARTS)
        while True:
            await self._first_look()
            host = WatchHost(self._connect, self._notice, self._settings)
            reason = await host.run()
            self.ready = False
            self._metrics.watch_restarts.inc()
            restarts.append(time.monotonic())
            if len(restarts) == MOST_RESTARTS and restarts[-1] - restarts[0] < RESTART_WINDOW_SECONDS:
                raise WatchesFailed(f"the watches ended {MOST_RESTARTS} times in a short time, at last: {reason}")
            pause = _pause(len(restarts))
            log.warning("the watches ended, again in %.1f s: %s", pause, reason)
            await asyncio.sleep(pause)

    async def _first_look(self) -> None:
        """All objects, listed: proves that the kind exists and that we may read it, which kopf would not say."""
        attempt = 0
        while True:
            try:
                for namespace in self._settings.namespaces or (None,):
                    for item in await self._kube.list(names.KIND, namespace, {}):
                        self._notice(Key(item["metadata"]["namespace"], item["metadata"]["name"]))
            except KubeError as error:
                attempt += 1
                pause = _pause(attempt)
                log.warning("cannot list %s, again in %.1f s: %s", names.PLURAL, pause, error)
                await asyncio.sleep(pause)
            else:
                self.ready = True
                return


def _pause(attempt: int) -> float:
    longest = min(LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS * 2.0**attempt)
    return random.uniform(SHORTEST_PAUSE_SECONDS, longest)


class WatchHost:
    """kopf, once, in its own thread."""

    def __init__(self, connect: Connect, notice: Callable[[Key], None], settings: Settings) -> None:
        self._main = asyncio.get_running_loop()
        self._registry = build_registry(lambda key: self._in_main_loop(notice, key), connect)
        self._settings = settings
        self._ended: asyncio.Future[str] = self._main.create_future()
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

    def _in_thread(self) -> None:
        try:
            asyncio.run(self._watch())
            reason = "kopf ended by itself"
        except BaseException as error:  # noqa: BLE001  (the border of a thread: the reason travels as text)
            reason = f"{type(error).__name__}: {error}"
        self._in_main_loop(self._end, reason)

    async def _watch(self) -> None:
        loop, flag = asyncio.get_running_loop(), asyncio.Event()
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

    def _end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)

    def _in_main_loop(self, call: Callable[[T], object], argument: T) -> None:
        # At the end of the process the main loop is gone before this thread: then nobody listens any more.
        with contextlib.suppress(RuntimeError):
            self._main.call_soon_threadsafe(call, argument)
