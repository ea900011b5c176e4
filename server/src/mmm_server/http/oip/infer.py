"""POST …/infer: reading a message, computing what it wants, and writing tensors."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import orjson
from starlette.types import Scope

from mmm_server.backends.base import Matrix
from mmm_server.engine.engine import Engine
from mmm_server.engine.ticket import Ticket
from mmm_server.http.compression import LARGE, compressed
from mmm_server.http.exchange import header_of
from mmm_server.http.oip.call import IMAGE_EMBEDS, OUTPUTS, PROBABILITIES, TEXT_EMBEDS, InferenceCall, read_call
from mmm_server.http.oip.message import HEADER_LENGTH, parse_message
from mmm_server.http.oip.metadata import check_served
from mmm_server.http.reply import JSON, Reply
from mmm_server.http.strict_json import JsonLimits
from mmm_server.tasks import Task

BINARY = (b"content-type", b"application/octet-stream")

Outputs = Mapping[str, Matrix]


class Infer:
    """The handler of inference requests."""

    inflates = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def check_head(self, scope: Scope, ticket: Ticket) -> None:
        """ModelNotFound for another model or version."""
        check_served(scope, self._engine.settings.model_name, ticket.version)

    async def read(self, scope: Scope, ticket: Ticket, body: bytes) -> InferenceCall:
        """The call; large bodies are parsed in a thread."""
        length, offered = header_of(scope, HEADER_LENGTH), _offered(ticket)
        if len(body) > LARGE:
            return await asyncio.to_thread(self._parse, body, length, offered)
        return self._parse(body, length, offered)

    async def respond(self, ticket: Ticket, call: InferenceCall) -> Outputs:
        """The wanted outputs, each computed once."""
        engine, names = self._engine, {wanted.name for wanted in call.outputs}
        if names == {PROBABILITIES} and not _embeds(_offered(ticket)):
            return {PROBABILITIES: await engine.classify(ticket, call.images, call.texts)}
        images = call.images if names & {IMAGE_EMBEDS, PROBABILITIES} else []
        texts = call.texts if names & {TEXT_EMBEDS, PROBABILITIES} else []
        vectors = await engine.embed(ticket, images, texts, _needed(names))
        found = {IMAGE_EMBEDS: vectors.images, TEXT_EMBEDS: vectors.texts}
        if PROBABILITIES in names:
            found[PROBABILITIES] = engine.compare(ticket, vectors)
        return found

    async def finish(self, scope: Scope, ticket: Ticket, call: InferenceCall, answer: Outputs) -> Reply:
        """The answer in JSON, and behind it the outputs that shall be binary."""
        version = ticket.version or self._engine.version
        head: dict[str, object] = {"model_name": self._engine.settings.model_name, "model_version": version.name}
        if call.id is not None:
            head["id"] = call.id
        return await compressed(_write(head, call, answer), scope)

    def _parse(self, body: bytes, header_length: str | None, offered: Sequence[Task]) -> InferenceCall:
        limits = self._engine.limits
        message = parse_message(body, header_length, JsonLimits(limits.json_depth, limits.json_values))
        return read_call(message, limits, offered)


def _offered(ticket: Ticket) -> tuple[Task, ...]:
    """The tasks of the version that answers."""
    return () if ticket.served is None else ticket.served.tasks


def _needed(names: Collection[str]) -> list[Task]:
    """What must be on offer for these outputs: probabilities need no task that gives away their vectors."""
    return [task for name, (_, task) in OUTPUTS.items() if name in names]


def _embeds(offered: Sequence[Task]) -> bool:
    return {Task.IMAGE_EMBEDDING, Task.TEXT_EMBEDDING} <= set(offered)


def _write(head: dict[str, object], call: InferenceCall, answer: Outputs) -> Reply:
    described, tail = [], []
    for wanted in call.outputs:
        values = np.ascontiguousarray(answer[wanted.name], dtype="<f4")
        output: dict[str, object] = {"name": wanted.name, "datatype": "FP32", "shape": list(values.shape)}
        if wanted.binary:
            output["parameters"] = {"binary_data_size": values.nbytes}
            tail.append(values.tobytes())
        else:
            output["data"] = values.reshape(-1)
        described.append(output)
    header = orjson.dumps({**head, "outputs": described}, option=orjson.OPT_SERIALIZE_NUMPY)
    if not tail:
        return Reply(header, (JSON,))
    length = (HEADER_LENGTH, str(len(header)).encode())
    return Reply(b"".join([header, *tail]), (BINARY, length))
