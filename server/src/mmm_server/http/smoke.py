"""The requests of a version's smoke.json, asked through the routes that clients use, before the version may serve."""

import asyncio
import json
import logging

import orjson
from starlette.types import ASGIApp, Message, Scope

from mmm_repository import RepositoryError, SmokeTest, read_smoke
from mmm_repository.paths import shown
from mmm_server.engine.served import Served
from mmm_server.errors import Refused, SmokeTestFailed
from mmm_server.http.exchange import KEY, Exchange, new_request_id
from mmm_server.http.hot import TRIAL
from mmm_server.http.problems import problem_reply
from mmm_server.logs import fields
from mmm_server.settings import Settings

MODEL = "{model}"  # stands for the name under which the model is served

log = logging.getLogger(__name__)

# What a busy server answers, also when decoding for others took all the time; and how long it is asked again.
BUSY = frozenset({429, 503, 504})
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)


class SmokeRun:
    """Asks a warm version all that its smoke.json holds; SmokeTestFailed at the first answer that is not as expected.

    The requests pass the routes but not the envelope around them: they are nobody's traffic, and no metric counts them.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, served: Served) -> None:
        """Returns when every answer was as expected; at once for a version without smoke tests."""
        directory = self._settings.path_of(served.version.digest)
        try:
            tests = await asyncio.to_thread(read_smoke, directory)
        except RepositoryError as error:
            raise SmokeTestFailed(error.message) from None
        except OSError:
            raise SmokeTestFailed("smoke.json or a picture that it names cannot be read.") from None
        for test in tests:
            status, answer = await self._patiently(served, test)
            if difference := await asyncio.to_thread(test.difference, status, answer):
                raise SmokeTestFailed(f"The smoke test {shown(test.name)} failed: {difference}.")
        if tests:
            log.info("smoke tests passed", extra=fields(version=served.version.name, requests=len(tests)))

    async def _patiently(self, served: Served, test: SmokeTest) -> tuple[int, object]:
        """The answer; that there is no room for a question beside the traffic of another version is none."""
        for pause in PAUSES:
            status, answer = await self._ask(served, test)
            if status not in BUSY or status == test.status:
                return status, answer
            await asyncio.sleep(pause)
        return await self._ask(served, test)

    async def _ask(self, served: Served, test: SmokeTest) -> tuple[int, object]:
        """The status and the document that a request is answered with."""
        model = self._settings.model_name
        # A body may hold many megabytes of pictures, and the version before serves meanwhile.
        body = await asyncio.to_thread(body_of, test, model)
        return await ask(self._app, served, test.path.replace(MODEL, model), body)


def body_of(test: SmokeTest, model: str) -> bytes:
    """The JSON that a test sends, with the name under which the model is served. May take a while."""
    body = dict(test.body)
    if body.get("model") == MODEL:
        body["model"] = model
    try:
        return orjson.dumps(body)  # the other one holds up every thread, for 5 ms per megabyte
    except TypeError:
        return json.dumps(body).encode()  # it knows integers of more than 64 bits, which a test may want refused


async def ask(app: ASGIApp, served: Served, path: str, body: bytes) -> tuple[int, object]:
    """(status, document) of a JSON request that one version is asked, whether it serves or not."""
    scope = _scope(served, path, len(body))
    status, pieces, sent = 500, list[bytes](), False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()  # this client never hangs up
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        pieces.append(message.get("body", b""))

    try:
        await app(scope, receive, send)
    except Refused as refused:
        reply = problem_reply(refused, path, scope[KEY].request_id)
        status, pieces = reply.status, [reply.body]
    except Exception:
        log.exception("a smoke test found a bug")
        status, pieces = 500, []
    try:
        return status, await asyncio.to_thread(json.loads, b"".join(pieces))
    except ValueError:
        return status, None


def _scope(served: Served, path: str, length: int) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(length).encode())],
        KEY: Exchange(new_request_id(), path),
        TRIAL: served,
    }
