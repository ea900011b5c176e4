"""One HTTP exchange in raw ASGI terms: read with limits, answer in one piece, notice who hung up."""

import asyncio
import itertools
import secrets
import time
import uuid
from collections.abc import Awaitable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.types import Receive, Scope, Send

from mmm_server.engine.version import Version
from mmm_server.errors import ClientGone, Malformed, Refused
from mmm_server.http.reply import Reply

KEY = "mmm.exchange"
PIECE = 256 * 1024  # bytes of an answer; while more than a quarter of it is unsent, the next one waits

# Random once: a new random number for every request is a system call, and the interpreter's lock lost and won.
_PROCESS = uuid.uuid4().hex[:16]
_numbers = itertools.count(secrets.randbits(32))

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Exchange:
    """What is known of a request from its head, and what was answered."""

    request_id: str
    path: str
    started: float = field(default_factory=time.monotonic)
    status: int = 0
    answered: float | None = None  # when the answer was there: how fast a client reads it is not the server's time
    refused: Refused | None = None
    route: str | None = None  # the template of the path, where the route has one
    stages: Mapping[str, float] = field(default_factory=dict)  # seconds spent in each so far
    copied: bool = False  # whether another version has answered it, and only compares
    version: Version | None = None  # which one answers; None: whichever is served when the answer goes out


def new_request_id() -> str:
    """An id that no other process and no other request has: 32 hexadecimal digits."""
    return f"{_PROCESS}{next(_numbers):016x}"


def exchange_of(scope: Scope) -> Exchange:
    """The exchange that the envelope put into the scope."""
    found = scope[KEY]
    if not isinstance(found, Exchange):
        raise TypeError("no exchange in the scope")
    return found


def header_of(scope: Scope, name: bytes) -> str | None:
    """The value of the first header of that (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return None


async def unless_gone(receive: Receive, work: Awaitable[Answer]) -> Answer:
    """The result of `work`; ClientGone, with the work cancelled, as soon as the client hangs up."""
    task = asyncio.current_task()
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        if task is not None:
            task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if not gone or task is None:
            raise
        task.uncancel()
        raise ClientGone("The client is gone.") from None
    finally:
        watcher.cancel()


async def send_whole(send: Send, reply: Reply) -> None:
    """Sends a whole answer; a long one in pieces, of which the next one waits until the last one is nearly taken."""
    start: MutableMapping[str, Any] = {
        "type": "http.response.start",
        "status": reply.status,
        "headers": [*reply.headers, (b"content-length", str(len(reply.body)).encode())],
    }
    await send(start)
    rest = reply.body if len(reply.body) <= PIECE else memoryview(reply.body)
    while len(rest) > PIECE:
        await send({"type": "http.response.body", "body": rest[:PIECE], "more_body": True})
        rest = rest[PIECE:]
    await send({"type": "http.response.body", "body": rest})


def timeout_of(scope: Scope) -> float | None:
    """The seconds that the client grants with X-Request-Timeout-Ms."""
    value = header_of(scope, b"x-request-timeout-ms")
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or not 0 < len(value) < 10 or int(value) == 0:
        raise Malformed("X-Request-Timeout-Ms must be a positive whole number of milliseconds.")
    return int(value) / 1000.0
