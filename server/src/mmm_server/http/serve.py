"""The serving process: two listeners and one engine on one event loop, from the first probe to the last answer.

On SIGTERM: not ready at once · keep accepting for the drain delay, telling every client to reconnect elsewhere · stop
accepting · finish what is in flight · exit 0, at the latest when the grace period is nearly over.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Iterator

import uvicorn
import uvloop
from starlette.types import ASGIApp

from mmm_server.engine.engine import Engine
from mmm_server.engine.lifecycle import State
from mmm_server.errors import Fatal, InternalError
from mmm_server.http.app import inference_app, operations_app
from mmm_server.logs import fields
from mmm_server.metrics import Metrics
from mmm_server.settings import Settings
from mmm_server.termination import write_termination

log = logging.getLogger(__name__)

# Longer than the idle timeouts of usual clients and proxies: whoever closes first should not be us.
KEEP_ALIVE_SECONDS = 120
LINGER_SECONDS = 1.0  # so that callers get their errors and a probe sees the failure before the process ends
LAST_MOMENT_SECONDS = 1.0
CLOSE_SECONDS = 0.5


class Listener(uvicorn.Server):
    """A uvicorn server on one socket that leaves the signals to the process."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self.socket = _bind(host, port)
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        super().__init__(config)
        self.task: asyncio.Task[None] | None = None

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
        self.task = asyncio.create_task(self.serve(sockets=[self.socket]))

    async def finish(self, seconds: float) -> bool:
        """Stops accepting and waits for the requests in flight; whether all were answered in time."""
        self.should_exit = True
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
        self._engine = Engine(settings, Metrics(), threads)
        self._inference = Listener(inference_app(self._engine), settings.host, settings.http_port)
        self._operations = Listener(operations_app(self._engine), settings.host, settings.operations_port)

    async def run(self) -> int:
        """The exit code, once everything is over."""
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
        self._engine.lifecycle.advance(State.DRAINING)
        delay = min(self._settings.drain_delay_seconds, deadline - began)
        log.info("draining", extra=fields(delay_seconds=delay))
        await _first(self._hurry, self._engine.failed, seconds=delay)
        complete = await self._inference.finish(deadline - time.monotonic())
        self._engine.close()
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
