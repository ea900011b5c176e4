"""The faults that requests can meet; see `proxy.Fault`."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tests.chaos.proxy import Dropped, Fault, Forward, Matches, Reply, Request


class Moment(StrEnum):
    """When something happens to a request."""

    BEFORE = "before"  # the API server never hears of it
    COMMITTED = "committed"  # it is done, and nobody is told
    REPLIED = "replied"  # the answer is out


def every(request: Request) -> bool:
    """Any request at all."""
    return True


def writes(request: Request) -> bool:
    """Whatever changes the cluster."""
    return request.is_write


def lists(request: Request) -> bool:
    """Pages of lists."""
    return request.is_list


def watches(request: Request) -> bool:
    """Streams of events."""
    return request.is_watch


def looks(request: Request) -> bool:
    """Lists and watches."""
    return request.is_list or request.is_watch


def of(resource: str, matches: Matches = every) -> Matches:
    """Only requests for one resource."""
    return lambda request: request.resource == resource and matches(request)


def delay(seconds: float) -> Fault:
    """The answer comes late."""

    async def fault(request: Request, forward: Forward) -> Reply:
        await asyncio.sleep(seconds)
        return await forward(request)

    return fault


def answer(status: int, retry_after: int | None = None) -> Fault:
    """The API server says no, in its own words, and does nothing."""

    async def fault(request: Request, forward: Forward) -> Reply:
        return refusal(status, retry_after)

    return fault


def refusal(status: int, retry_after: int | None = None) -> Reply:
    """An answer of the API server that is a Status."""
    reason = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired", 429: "TooManyRequests"}
    content = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"injected {status}",
        "reason": reason.get(status, "InternalError"),
        "code": status,
    }
    headers = {"Content-Type": "application/json"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Reply(status, headers, json.dumps(content).encode())


def drop(moment: Moment) -> Fault:
    """The connection ends."""

    async def fault(request: Request, forward: Forward) -> Reply:
        if moment is Moment.BEFORE:
            raise Dropped
        reply = await forward(request)
        if moment is Moment.COMMITTED:
            raise Dropped
        return reply

    return fault


async def truncate(request: Request, forward: Forward) -> Reply:
    """The answer is cut off in the middle of its JSON, though the length says that it is whole."""
    reply = await forward(request)
    reply.body = reply.body[: len(reply.body) // 2]
    return reply


@dataclass
class Strike:
    """Does something at one moment of the n-th request that matches, counted from 1, and once only.

    `count` goes on counting; `hit` tells what was struck.
    """

    number: int
    moment: Moment
    blow: Callable[[], object]
    count: int = 0
    hit: Request | None = None

    async def __call__(self, request: Request, forward: Forward) -> Reply:
        """See `proxy.Fault`."""
        self.count += 1
        if self.count != self.number:
            return await forward(request)
        self.hit = request
        if self.moment is Moment.BEFORE:
            self.blow()
            raise Dropped
        reply = await forward(request)
        if self.moment is Moment.COMMITTED:
            self.blow()
            raise Dropped
        reply.then = self.blow
        return reply


class Mode(StrEnum):
    """What a Replay does."""

    RECORD = "record"
    PASS = "pass"
    REPLAY = "replay"


class Replay:
    """Answers lists as they were answered while it recorded; a page that was not recorded is asked for."""

    def __init__(self) -> None:
        self.mode = Mode.PASS
        self.replayed = 0
        self._pages: dict[tuple[str, bool], Reply] = {}

    async def __call__(self, request: Request, forward: Forward) -> Reply:
        """See `proxy.Fault`."""
        page = (request.target, "PartialObjectMetadata" in request.headers.get("Accept", ""))
        known = self._pages.get(page)
        if self.mode is Mode.REPLAY and known is not None:
            self.replayed += 1
            return known
        reply = await forward(request)
        if self.mode is Mode.RECORD:
            self._pages[page] = reply
        return reply
