"""The serving process: two listeners and one engine on one event loop, from the first probe to the last answer.

On SIGTERM: not ready at once, unless whoever sent it takes this server out of traffic anyway · keep accepting for the
drain delay, telling every client to reconnect elsewhere · stop accepting · finish what is in flight or has begun to
arrive · exit 0, at the latest when the grace period is nearly over.
"""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
import time
from collections.abc import Iterator

import uvicorn
import uvloop
from starlette.types import ASGIApp

from mmm_server.engine.engine import Engine
from mmm_server.errors import Fatal, InternalError
from mmm_server.http.app import inference_app, operations_app
from mmm_server.http.connections import Guard, Reason, sweep_seconds
from mmm_server.http.loop_lag import LagMeter, measured
from mmm_server.http.mirror import Mirror
from mmm_server.http.protocol import GuardedConfig, GuardedProtocol
from mmm_server.limits import connection_limits_of
from mmm_server.logs import fields
from mmm_server.metrics import Metrics
from mmm_server.settings import Settings
from mmm_server.termination import write_termination

log = logging.getLogger(__name__)

LINGER_SECONDS = 1.0  # so that callers get their errors and a probe sees the failure before the process ends
LAST_MOMENT_SECONDS = 1.0
CLOSE_SECONDS = 0.5
SPARE_DESCRIPTORS = 256


class Listener(uvicorn.Server):
    """A uvicorn server on one socket that leaves the signals to the process and bounds what connections take."""

    def __init__(self, app: ASGIApp, address: tuple[str, int], guard: Guard) -> None:
        self.socket = _bind(*address)
        config = GuardedConfig(
            app,
            http=GuardedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nothing here asks who the client is
            timeout_keep_alive=guard.limits.keep_alive_seconds,
        )
        config.guard = guard
        super().__init__(config)
        self.task: asyncio.Task[None] | None = None
        self._guard = guard

    @property
    def port(self) -> int:
        """The port, also where any free one was asked for."""
        return int(self.socket.getsockname()[1])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield

    def begin(self) -> None:
        """Starts to accept."""
        self.task = asyncio.create_task(self._serve_and_sweep())

    async def _serve_and_sweep(self) -> None:
        sweeper = asyncio.create_task(self._sweep())
        try:
            await self.serve(sockets=[self.socket])
        finally:
            sweeper.cancel()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(sweep_seconds(self._guard.limits, self._guard.leaving))
            now = loop.time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, GuardedProtocol):
                    connection.sweep(now)

    async def finish(self, seconds: float) -> bool:
        """Stops accepting and waits for the requests in flight; whether all were answered in time."""
        self._guard.leaving = self.should_exit = True
        if self.task is None:
            return True
        done, _ = await asyncio.wait({self.task}, timeout=max(0.0, seconds))
        return bool(done)


class Process:
    """The life of one serving process."""

    def __init__(self, settings: Settings, threads: int) -> None:
        self._settings = settings
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._metrics = metrics = Metrics()
        self._engine = Engine(settings, metrics, threads)
        raise_file_limit(2 * settings.max_connections)
        guards = [Guard(connection_limits_of(settings), self._count_refused) for _ in range(2)]
        inference, operations = (settings.host, settings.http_port), (settings.host, settings.operations_port)
        self._mirror = Mirror(metrics, settings.rollout_dir, loopback=settings.mirror_loopback)
        self._app = inference_app(self._engine, self._mirror)
        self._inference = Listener(self._app, inference, guards[0])
        self._operations = Listener(operations_app(self._engine), operations, guards[1])
        self._lag = LagMeter()
        for reason in Reason:  # a series that exists from the start lets rate() see the first event
            metrics.refused_connections.labels(reason.value)
        metrics.event_loop_lag.set_function(self._lag.longest)

    async def run(self) -> int:
        """The exit code, once everything is over."""
        mirroring = asyncio.create_task(self._mirror.run())
        try:
            with measured(self._lag, lambda: self._engine.lifecycle.answering):
                return await self._run()
        finally:
            mirroring.cancel()

    def _count_refused(self, reason: Reason) -> None:
        self._metrics.refused_connections.labels(reason.value).inc()

    async def _run(self) -> int:
        self._catch_signals()
        self._inference.begin()
        self._operations.begin()
        self._engine.start()
        log.info("listening", extra=fields(http_port=self._inference.port, operations_port=self._operations.port))
        await _first(self._stop, self._engine.failed)
        if not self._engine.failed.is_set():
            await self._drain()
        if self._engine.failed.is_set():
            return await self._give_up()
        return 0

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._on_signal, False)
        loop.add_signal_handler(signal.SIGINT, self._on_signal, True)

    def _on_signal(self, at_once: bool) -> None:
        if at_once or self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _drain(self) -> None:
        began = time.monotonic()
        grace = self._settings.grace_seconds
        deadline = began + grace - min(LAST_MOMENT_SECONDS, 0.2 * grace)
        self._engine.drain()
        delay = min(self._settings.drain_delay_seconds, deadline - began)
        log.info("draining", extra=fields(delay_seconds=delay))
        await _first(self._hurry, self._engine.failed, seconds=delay)
        complete = await self._inference.finish(deadline - time.monotonic())
        self._engine.close()
        await asyncio.to_thread(self._app.close, min(LAST_MOMENT_SECONDS, max(0.0, deadline - time.monotonic())))
        await self._operations.finish(min(CLOSE_SECONDS, max(0.0, deadline - time.monotonic())))
        log.info("drained", extra=fields(complete=complete, seconds=round(time.monotonic() - began, 2)))

    async def _give_up(self) -> int:
        failure: Fatal = self._engine.lifecycle.failure or InternalError("The engine failed.")
        write_termination(self._settings.termination_log, failure)
        if self._engine.load_seconds is not None:
            await asyncio.sleep(LINGER_SECONDS)
        return failure.exit_code


def run(settings: Settings, threads: int) -> int:
    """Serves until told to stop; the exit code. Fatal if it cannot even begin."""

    async def main() -> int:
        return await Process(settings, threads).run()

    return uvloop.run(main())


def raise_file_limit(connections: int) -> None:
    """Lets the process open a descriptor for every connection, as far as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket; without a host it takes IPv4 and IPv6."""
    dual = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=dual)
    except OSError as error:
        raise InternalError(f"The port {port} cannot be opened: {error.strerror or 'not available'}.") from None


async def _first(*events: asyncio.Event, seconds: float | None = None) -> None:
    """Returns when one of the events is set or the time is over."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
