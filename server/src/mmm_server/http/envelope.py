"""What every request gets, whatever its route: an id, the model's name, metrics, a problem document, a log line."""

import logging
import re
import time
from collections.abc import Collection
from functools import lru_cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmm_server.engine.engine import Engine
from mmm_server.engine.lifecycle import State
from mmm_server.engine.version import Version
from mmm_server.errors import Overloaded, Refused
from mmm_server.http.exchange import KEY, Exchange, header_of, new_request_id, send_whole
from mmm_server.http.mirror import is_copy
from mmm_server.http.problems import problem_reply
from mmm_server.http.tracing import Trace, Tracing
from mmm_server.logs import fields

log = logging.getLogger("mmm_server.access")

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
STAGES = ("read", "decode", "queue", "forward", "finish")
LEAVING = (State.DRAINING, State.FAILED)
ALARMING = (500, 504)  # 503 is what probes get while the server is not ready: nothing to wake up for


class Envelope:
    """The outermost ASGI application."""

    def __init__(self, app: ASGIApp, engine: Engine, routes: Collection[str]) -> None:
        self._app = app
        self._engine = engine
        self._routes = frozenset(routes)
        self._tracing = Tracing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = scope[KEY] = Exchange(_request_id(scope), scope["path"], copied=is_copy(scope))
        trace = self._tracing.begin(scope)

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                exchange.answered = time.monotonic()
                message["headers"] = [*message.get("headers", ()), *self._headers(exchange)]
                self._tracing.note(trace, message)
            await send(message)

        try:
            await self._app(scope, receive, dressed)
        except Refused as refused:
            exchange.refused = refused
            await _refuse(exchange, dressed, refused)
        except Exception:
            known = fields(request_id=exchange.request_id, trace_id=trace.trace_id, route=exchange.path)
            log.error("unhandled", exc_info=True, extra=known)
            await _refuse(exchange, dressed, Refused("The server failed on this request."))
        finally:
            route = self._record(exchange, trace)
            self._tracing.end(trace, scope, exchange.status, route)

    def _headers(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        timing = (b"server-timing", _server_timing(exchange))
        headers = [
            (b"x-request-id", exchange.request_id.encode()),
            timing,
            *_identity(exchange.version or self._engine.version),
        ]
        if self._engine.lifecycle.state in LEAVING:
            headers.append((b"connection", b"close"))  # the next request of this client belongs to another pod
        return headers

    def close(self, seconds: float) -> None:
        """Sends the traces that are left, for no longer than so many seconds; blocks."""
        self._tracing.close(seconds)

    def _record(self, exchange: Exchange, trace: Trace) -> str:
        """Counts and logs an answer; its route."""
        seconds = (exchange.answered or time.monotonic()) - exchange.started
        route = exchange.route or (exchange.path if exchange.path in self._routes else "other")
        self._count(exchange, route, seconds)
        level = logging.WARNING if exchange.status in ALARMING else logging.DEBUG
        if log.isEnabledFor(level):
            known = fields(
                request_id=exchange.request_id,
                trace_id=trace.trace_id,
                route=route,
                status=exchange.status,
                seconds=round(seconds, 5),
            )
            log.log(level, "request", extra=known)
        return route

    def _count(self, exchange: Exchange, route: str, seconds: float) -> None:
        metrics, code = self._engine.metrics, str(exchange.status)
        if exchange.copied:
            metrics.mirrored_requests.labels(route, code).inc()
            metrics.mirrored_request_seconds.labels(route).observe(seconds)
            return
        if isinstance(exchange.refused, Overloaded):
            metrics.rejected.labels(exchange.refused.code).inc()
        metrics.requests.labels(route, code).inc()
        metrics.request_seconds.labels(route).observe(seconds)


@lru_cache(maxsize=8)
def _identity(version: Version) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that name a version."""
    name = (b"x-model-version", version.name.encode("latin-1", "replace"))
    return (name, (b"x-model-digest", version.digest.encode())) if version.digest else (name,)


async def _refuse(exchange: Exchange, send: Send, refused: Refused) -> None:
    if exchange.status == 0:  # nothing was sent yet
        await send_whole(send, problem_reply(refused, exchange.path, exchange.request_id))


def _server_timing(exchange: Exchange) -> bytes:
    """What the server did until now, in milliseconds."""
    spent = {stage: exchange.stages[stage] for stage in STAGES if stage in exchange.stages}
    spent["total"] = time.monotonic() - exchange.started
    return ", ".join(f"{stage};dur={seconds * 1000:.2f}" for stage, seconds in spent.items()).encode()


def _request_id(scope: Scope) -> str:
    """The client's id if it is harmless, else a new one."""
    given = header_of(scope, b"x-request-id")
    return given if given and REQUEST_ID.fullmatch(given) else new_request_id()
