"""The friendly surface: POST /predict, /v1/classify, /v1/embed, /v1/similarity."""

from collections.abc import Awaitable, Callable

from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from mmm_server.engine.engine import Engine
from mmm_server.engine.ticket import Ticket
from mmm_server.errors import Unprocessable
from mmm_server.http.exchange import header_of
from mmm_server.http.hot import HotRoute, Serving
from mmm_server.http.payload import Payload, Source, read_payload
from mmm_server.http.reply import Reply, json_reply
from mmm_server.http.strict_json import JsonLimits

Respond = Callable[[Engine, Ticket, Payload], Awaitable[dict[str, object]]]


def friendly_routes(serving: Serving) -> list[BaseRoute]:
    """The routes of this surface."""
    wanted: list[tuple[str, Respond, bool]] = [
        ("/predict", predict, True),
        ("/v1/classify", predict, True),
        ("/v1/embed", embed, False),
        ("/v1/similarity", similarity, False),
    ]
    return [
        Route(path, HotRoute(serving, path, Friendly(serving.engine, respond, split_commas=commas)), methods=["POST"])
        for path, respond, commas in wanted
    ]


class Friendly:
    """Reads any spelling of images and texts, lets `respond` answer, and says it in JSON."""

    inflates = False

    def __init__(self, engine: Engine, respond: Respond, *, split_commas: bool) -> None:
        self._engine = engine
        self._respond = respond
        self._split_commas = split_commas

    def check_head(self, scope: Scope, ticket: Ticket) -> None:
        """Refuses nothing yet."""

    async def read(self, scope: Scope, ticket: Ticket, body: bytes) -> Payload:
        """The images and texts."""
        limits = self._engine.limits
        return await read_payload(
            Source(
                body=body,
                content_type=header_of(scope, b"content-type") or "",
                query=scope["query_string"],
                max_parts=limits.items + limits.labels + 1,
                split_commas=self._split_commas,
                json=JsonLimits(limits.json_depth, limits.json_values),
            )
        )

    async def respond(self, ticket: Ticket, call: Payload) -> dict[str, object]:
        """The answer of this route."""
        return await self._respond(self._engine, ticket, call)

    async def finish(self, scope: Scope, ticket: Ticket, call: Payload, answer: dict[str, object]) -> Reply:
        """The answer as JSON."""
        return json_reply(answer)


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
    engine.limits.check_items(len(payload.images), len(payload.texts))  # before each gets the template around it
    vectors = await engine.embed(ticket, payload.images, payload.prompts())
    embeddings = [
        {"type": kind, "index": index, "embedding": row}
        for kind, rows in (("image", vectors.images), ("text", vectors.texts))
        for index, row in enumerate(rows)
    ]
    return {"embeddings": embeddings, "dimensions": vectors.images.shape[1]}


async def similarity(engine: Engine, ticket: Ticket, payload: Payload) -> dict[str, object]:
    """The cosine of every image with every text, images × texts."""
    if not payload.images or not payload.texts:
        raise Unprocessable("At least one image and one text are needed.")
    engine.limits.check_items(len(payload.images), len(payload.texts))  # before each gets the template around it
    vectors = await engine.embed(ticket, payload.images, payload.prompts())
    return {"similarities": (vectors.images @ vectors.texts.T).clip(-1.0, 1.0)}
