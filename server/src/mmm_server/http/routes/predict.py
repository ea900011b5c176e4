"""The friendly surface: POST /predict, /v1/classify, /v1/embed. Raw ASGI, as these are the hot routes."""

import time
from collections.abc import Awaitable, Callable

import orjson
from starlette.types import Receive, Scope, Send

from mmm_server.engine.engine import Engine
from mmm_server.engine.ticket import Ticket
from mmm_server.errors import Unprocessable, UnsupportedType
from mmm_server.http.bodies import BodyReader
from mmm_server.http.exchange import exchange_of, header_of, send_json, timeout_of, unless_gone
from mmm_server.http.payload import Payload, Source, read_payload

JSON = (b"content-type", b"application/json")
STAGES = ("read", "decode", "queue", "forward", "finish")

Respond = Callable[[Engine, Ticket, Payload], Awaitable[dict[str, object]]]


class HotRoute:
    """Reads a payload, lets `respond` answer it, and sends the answer as JSON."""

    def __init__(self, engine: Engine, bodies: BodyReader, respond: Respond, *, split_commas: bool) -> None:
        self._engine = engine
        self._respond = respond
        self._split_commas = split_commas
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        exchange = exchange_of(scope)
        ticket = self._engine.open_ticket(exchange.request_id, timeout_of(scope))
        self._engine.check_open(ticket)
        if header_of(scope, b"content-encoding") not in (None, "identity"):
            raise UnsupportedType("Compressed bodies are not read here; images are compressed already.")
        async with self._bodies.body(scope, receive, ticket.deadline - time.monotonic()) as body:
            payload = await read_payload(self._source(scope, body))
            ticket.note("read", time.monotonic() - exchange.started)
            answer = await unless_gone(receive, self._respond(self._engine, ticket, payload))
        finishing = time.monotonic()
        encoded = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        ticket.note("finish", time.monotonic() - finishing)
        self._observe(ticket)
        await send_json(send, 200, encoded, [JSON, (b"server-timing", _server_timing(ticket))])

    def _source(self, scope: Scope, body: bytes) -> Source:
        limits = self._engine.limits
        return Source(
            body=body,
            content_type=header_of(scope, b"content-type") or "",
            query=scope["query_string"],
            max_parts=limits.items + limits.labels + 1,
            split_commas=self._split_commas,
        )

    def _observe(self, ticket: Ticket) -> None:
        for stage in ("read", "finish"):
            self._engine.metrics.stage_seconds.labels(stage).observe(ticket.stages[stage])


async def predict(engine: Engine, ticket: Ticket, payload: Payload) -> dict[str, object]:
    """For every image the best label and the probability of every label."""
    if not payload.images:
        raise Unprocessable("At least one image is needed.")
    engine.limits.check_labels(payload.texts)
    probabilities = await engine.classify(ticket, payload.images, payload.prompts())
    best = probabilities.argmax(axis=1).tolist()
    return {
        "predictions": [
            {"label": payload.texts[top], "score": row[top], "scores": dict(zip(payload.texts, row, strict=True))}
            for top, row in zip(best, probabilities.tolist(), strict=True)
        ]
    }


async def embed(engine: Engine, ticket: Ticket, payload: Payload) -> dict[str, object]:
    """One vector of length one per image and per text."""
    if not payload.images and not payload.texts:
        raise Unprocessable("At least one image or text is needed.")
    vectors = await engine.embed(ticket, payload.images, payload.prompts())
    embeddings = [
        {"type": kind, "index": index, "embedding": row}
        for kind, rows in (("image", vectors.images), ("text", vectors.texts))
        for index, row in enumerate(rows)
    ]
    return {"embeddings": embeddings, "dimensions": vectors.images.shape[1]}


def _server_timing(ticket: Ticket) -> bytes:
    found = (f"{stage};dur={ticket.stages[stage] * 1000:.2f}" for stage in STAGES if stage in ticket.stages)
    return ", ".join(found).encode()
