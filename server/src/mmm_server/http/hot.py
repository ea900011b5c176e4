"""Raw ASGI routes: the hot ones, which read a body and compute, and pages, which only look.

A hot route is the same walk in every protocol; a `Handler` says what differs.

    head ─► admission ─► body read, inflated ─► read ─► respond, unless the client is gone ─► finish ─► sent
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from starlette.types import Receive, Scope, Send

from mmm_server.engine.engine import Engine
from mmm_server.engine.ticket import Ticket
from mmm_server.http.bodies import BodyReader
from mmm_server.http.compression import request_encoding
from mmm_server.http.exchange import exchange_of, send_whole, timeout_of, unless_gone
from mmm_server.http.mirror import Mirror
from mmm_server.http.reply import Reply
from mmm_server.http.tally import Tally

TRIAL = "mmm.trial"  # in the scope of requests that the server asks of a version before it may serve

Call = TypeVar("Call")
Answer = TypeVar("Answer")


class Handler(Protocol[Call, Answer]):
    """What one protocol makes of a request; every step may refuse it."""

    @property
    def inflates(self) -> bool:
        """Whether compressed bodies are read."""
        ...

    def check_head(self, scope: Scope, ticket: Ticket) -> None:
        """Refuses what can be refused without the body."""
        ...

    async def read(self, scope: Scope, ticket: Ticket, body: bytes) -> Call:
        """The request as an object."""
        ...

    async def respond(self, ticket: Ticket, call: Call) -> Answer:
        """The answer as values."""
        ...

    async def finish(self, scope: Scope, ticket: Ticket, call: Call, answer: Answer) -> Reply:
        """The answer as bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Serving:
    """What all hot routes of one server share."""

    engine: Engine
    bodies: BodyReader
    tally: Tally
    mirror: Mirror


class HotRoute(Generic[Call, Answer]):
    """Answers the requests of one route with the help of a handler."""

    def __init__(self, serving: Serving, path: str, handler: Handler[Call, Answer]) -> None:
        self._serving = serving
        self._path = path
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        exchange = exchange_of(scope)
        exchange.route = self._path
        engine, trial = self._serving.engine, scope.get(TRIAL)
        tally = self._serving.tally if trial is None else Tally()
        try:
            ticket = engine.open_ticket(exchange.request_id, timeout_of(scope), trial)
            ticket.copied = exchange.copied
            exchange.stages = ticket.stages
            exchange.version = ticket.version
            try:
                reply = await self._reply(scope, receive, ticket)
            finally:
                engine.close_ticket(ticket)
        except Exception:
            tally.failed(time.monotonic() - exchange.started)
            raise
        tally.succeeded(time.monotonic() - exchange.started)
        for stage in ("read", "finish"):
            engine.metrics.stage_seconds.labels(stage).observe(ticket.stages[stage])
        with self._serving.bodies.owing(len(reply.body)):
            await send_whole(send, reply)

    async def _reply(self, scope: Scope, receive: Receive, ticket: Ticket) -> Reply:
        handler, bodies, engine = self._handler, self._serving.bodies, self._serving.engine
        handler.check_head(scope, ticket)
        encoding = request_encoding(scope, inflates=handler.inflates)
        engine.check_open(ticket)
        async with (
            bodies.body(scope, receive, ticket.deadline - time.monotonic()) as sent,
            bodies.content(sent, encoding, ticket.deadline - time.monotonic()) as body,
        ):
            call = await handler.read(scope, ticket, body)
            ticket.note("read", time.monotonic() - exchange_of(scope).started)
            answer = await unless_gone(receive, handler.respond(ticket, call))
        finishing = time.monotonic()
        reply = await handler.finish(scope, ticket, call, answer)
        ticket.note("finish", time.monotonic() - finishing)
        if self._serving.mirror.on and TRIAL not in scope:
            self._serving.mirror.offer(scope, sent, reply)
        return reply


class Page:
    """A route that answers at once, from what is known."""

    def __init__(self, path: str, look: Callable[[Scope], Reply]) -> None:
        self._path = path
        self._look = look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        exchange_of(scope).route = self._path
        await send_whole(send, self._look(scope))
