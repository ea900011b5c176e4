"""/healthz, /readyz and /metrics."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from mmm_operator.runtime.metrics import Metrics


class HealthServer:
    """Answers the kubelet and Prometheus while the `async with` block runs.

    `trouble` says in words which part of the process does not move any more, `ready` whether all objects have been
    listed once, `leading` whether this replica works or stands by.
    """

    def __init__(
        self,
        port: int,
        metrics: Metrics,
        trouble: Callable[[], str],
        ready: Callable[[], bool],
        leading: Callable[[], bool] = lambda: True,
    ) -> None:
        self._metrics = metrics
        self._trouble = trouble
        self._ready = ready
        self._leading = leading
        self._port = port
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._page),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, port=self._port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        trouble = self._trouble()
        return web.Response(status=503 if trouble else 200, text=f"{trouble or 'ok'}\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        # A standby is ready too: else a rolling update would wait for it, and the new pods for the Lease.
        if self._ready():
            return web.Response(text="ok\n" if self._leading() else "standby\n")
        return web.Response(status=503, text="the objects have not been listed yet\n")

    async def _page(self, request: web.Request) -> web.Response:
        page = self._metrics.page()
        return web.Response(body=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
