"""POST /v1/embeddings."""

import asyncio
import base64
from dataclasses import dataclass

import numpy as np
from starlette.types import Scope

from mmm_server.backends.base import Matrix
from mmm_server.engine.engine import Engine
from mmm_server.engine.ticket import Ticket
from mmm_server.errors import Invalid, UnsupportedType
from mmm_server.http.compression import LARGE
from mmm_server.http.exchange import header_of
from mmm_server.http.openai.models import check_model
from mmm_server.http.openai.request import EmbeddingsCall, parse_embeddings
from mmm_server.http.reply import Reply, json_reply
from mmm_server.http.strict_json import JsonLimits


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector per item, in the order of the request, and the number of tokens that its texts have."""

    vectors: Matrix
    tokens: int


class EmbeddingsHandler:
    """The handler of embeddings."""

    inflates = False

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def check_head(self, scope: Scope, ticket: Ticket) -> None:
        """UnsupportedType for anything but JSON."""
        kind = (header_of(scope, b"content-type") or "application/json").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise UnsupportedType("Send application/json.")

    async def read(self, scope: Scope, ticket: Ticket, body: bytes) -> EmbeddingsCall:
        """The call, for the model that is served; large bodies are parsed in a thread."""
        bounds = JsonLimits(self._engine.limits.json_depth, self._engine.limits.json_values)
        if len(body) > LARGE:
            call = await asyncio.to_thread(parse_embeddings, body, bounds)
        else:
            call = parse_embeddings(body, bounds)
        check_model(call.model, self._engine.settings)
        _check_dimensions(call, ticket)
        return call

    async def respond(self, ticket: Ticket, call: EmbeddingsCall) -> Embeddings:
        """The vectors."""
        vectors = await self._engine.embed(ticket, call.images, call.texts)
        tokens = await self._engine.count_tokens(ticket, call.texts)
        rows = [vectors.images[index] if is_image else vectors.texts[index] for is_image, index in call.order]
        return Embeddings(np.stack(rows), tokens)

    async def finish(self, scope: Scope, ticket: Ticket, call: EmbeddingsCall, answer: Embeddings) -> Reply:
        """The answer as JSON, its vectors as numbers or as base64 of little-endian float32."""
        rows = answer.vectors.astype("<f4", copy=False)
        written = [base64.b64encode(row.tobytes()).decode() for row in rows] if call.base64 else list(rows)
        return json_reply(
            {
                "object": "list",
                "data": [
                    {"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(written)
                ],
                "model": self._engine.settings.model_name,
                "usage": {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens},
            }
        )


def _check_dimensions(call: EmbeddingsCall, ticket: Ticket) -> None:
    if call.dimensions is None or ticket.served is None:
        return
    dimensions = ticket.served.loaded().capabilities.dimensions
    if call.dimensions != dimensions:
        raise Invalid(
            f"The vectors of this model have {dimensions} dimensions and are not shortened.",
            field="dimensions",
        )
