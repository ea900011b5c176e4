"""Copies of answered requests go to another version, whose answers are compared and never sent to anybody.

    answer ──► offer ──► queue, bounded ──► at most a few at once ──► other version ──► same? different? ──► counted
                  └─ full: dropped

The original never waits: offering is an append to a queue, and what does not fit is dropped. A copy carries
`X-Mirrored: true` and is not copied again by whoever gets it. Copies are only made while `mirror.json` is there.
"""

import asyncio
import logging
import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import unquote_plus

from starlette.types import Scope

from mmm_server.http.agreement import agree
from mmm_server.http.exchange import exchange_of
from mmm_server.http.mirror_client import Client, NoAnswer
from mmm_server.http.mirror_target import BrokenMirror, Target, read_target
from mmm_server.http.oip.message import HEADER_LENGTH
from mmm_server.http.payload import FIELDS
from mmm_server.http.reply import Header, Reply
from mmm_server.logs import fields
from mmm_server.metrics import Metrics

MARK: Final = b"x-mirrored"
# Who asked, and with what rights, is nobody else's business.
COPIED: Final = frozenset({b"content-type", b"content-encoding", HEADER_LENGTH})
# A version that is served beside this one is found under the name alone.
VERSION: Final = re.compile(rb"/versions/[^/]+(?=/infer$)")

POLL_SECONDS: Final = 1.0
MOST_WAITING: Final = 64
# Of all bodies and answers that are held. The estimate of a swap leaves it out: copies go to canaries, and a model
# either has canaries or swaps; what is held at that moment counts as used.
MOST_BYTES: Final = 64 * 1024 * 1024
MOST_AT_ONCE: Final = 4
TIMEOUT_SECONDS: Final = 10.0
SHORT: Final = 64 * 1024  # bytes of an answer that are read in less than a millisecond
FULL: Final = (429, 503)
REST_SECONDS: Final = 1.0  # after the other version said that it is full, or nothing

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Copy:
    """A request that was answered."""

    path: bytes
    headers: tuple[Header, ...]
    body: bytes
    answer: Reply

    @property
    def size(self) -> int:
        """The bytes that it holds."""
        return len(self.body) + len(self.answer.body)


class Mirror:
    """Sends copies while there is a target; event loop only."""

    def __init__(
        self,
        metrics: Metrics,
        directory: Path | None,
        *,
        loopback: bool = False,
        timeout_seconds: float = TIMEOUT_SECONDS,
        rest_seconds: float = REST_SECONDS,
    ) -> None:
        self.on = False
        self._loopback = loopback
        self._timeout_seconds = timeout_seconds
        self._rest_seconds = rest_seconds
        self._metrics = metrics
        self._directory = directory
        self._target: Target | None = None
        self._client: Client | None = None
        self._queue: deque[Copy] = deque()
        self._held = 0
        self._rest_until = 0.0
        self._workers: set[asyncio.Task[None]] = set()
        self._working = 0
        self._complaint = ""
        # One alone: what two long answers become in memory is many times their length, and requests keep their threads.
        self._reader = ThreadPoolExecutor(1, "mirror")

    async def run(self) -> None:
        """Looks for a target until cancelled."""
        if self._directory is None:
            return
        try:
            while True:
                self._aim(self._look(self._directory))
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self._aim(None)
            for worker in self._workers:
                worker.cancel()
            self._reader.shutdown(wait=False, cancel_futures=True)

    def offer(self, scope: Scope, body: bytes, answer: Reply) -> None:
        """Sends a copy of an answered request, some time, if there is room for it."""
        headers, path = scope["headers"], scope.get("raw_path")
        if path is None or is_copy(scope):
            return  # it came from ourselves, or is a copy
        size = len(body) + len(answer.body)
        if len(self._queue) >= MOST_WAITING or self._held + size > MOST_BYTES or self._rests():
            self._count("dropped")
            return
        copied = tuple((name, value) for name, value in headers if name in COPIED)
        more = ((MARK, b"true"), (b"x-request-id", exchange_of(scope).request_id.encode()))
        self._queue.append(Copy(_address(scope), (*copied, *more), body, answer))
        self._held += size
        if self._working < MOST_AT_ONCE:
            self._working += 1
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    def _look(self, directory: Path) -> Target | None:
        try:
            found, complaint = read_target(directory, loopback=self._loopback), ""
        except BrokenMirror as broken:
            found, complaint = None, str(broken)
        if complaint and complaint != self._complaint:
            log.error(complaint)
        self._complaint = complaint
        return found

    def _aim(self, target: Target | None) -> None:
        if target == self._target:
            return
        if self._client is not None:
            self._client.close()
        self._target, self._client = target, Client(target) if target else None
        self._held -= sum(copy.size for copy in self._queue)
        self._queue.clear()
        self._rest_until = 0.0
        self.on = target is not None
        log.info("copies of requests are sent" if target else "copies of requests are sent no more")

    async def _work(self) -> None:
        try:
            while self._queue and self._client is not None:
                await self._try(self._client, self._queue.popleft())
        finally:
            self._working -= 1  # at once: what is offered before the task is known to be done needs another worker

    async def _try(self, client: Client, copy: Copy) -> None:
        try:
            result = await self._compare(client, copy)
        except Exception:
            # Whatever another version may have said: it must not end what copies the next request.
            address = copy.path.partition(b"?")[0].decode("latin-1")  # what was asked is nothing for a log
            log.exception("a copy could not be compared", extra=fields(path=address))
            result = "failed"
        finally:
            self._held -= copy.size
        self._count(result)

    async def _compare(self, client: Client, copy: Copy) -> str:
        """The result of one copy, as it is counted."""
        if self._rests():
            return "dropped"
        try:
            theirs = await client.post(copy.path, copy.headers, copy.body, self._timeout_seconds)
        except (NoAnswer, OSError):  # a TimeoutError is one, too
            self._rest()
            return "failed"
        if theirs.status in FULL:
            # Copies must not take the room of requests, by which the other version is judged.
            self._rest()
            return "dropped"
        if theirs.status != copy.answer.status:
            # To refuse what the other one answers is another answer; a failure counts as an error where it happened.
            return (
                "different" if HTTPStatus.BAD_REQUEST <= theirs.status < HTTPStatus.INTERNAL_SERVER_ERROR else "failed"
            )
        return "same" if await self._agree(copy.answer, theirs) else "different"

    async def _agree(self, ours: Reply, theirs: Reply) -> bool:
        if _is_short(ours) and _is_short(theirs):
            return agree(ours, theirs)
        return await asyncio.get_running_loop().run_in_executor(self._reader, agree, ours, theirs)

    def _rest(self) -> None:
        self._rest_until = asyncio.get_running_loop().time() + self._rest_seconds

    def _rests(self) -> bool:
        return asyncio.get_running_loop().time() < self._rest_until

    def _count(self, result: str) -> None:
        self._metrics.mirror.labels(result).inc()


def is_copy(scope: Scope) -> bool:
    """Whether another version has answered the request, and asks only to compare."""
    return any(name == MARK for name, _ in scope["headers"])


def _is_short(reply: Reply) -> bool:
    """Whether it is read so quickly that the event loop may do it; few compressed bytes may become many."""
    return len(reply.body) <= SHORT and all(name != b"content-encoding" for name, _ in reply.headers)


def _address(scope: Scope) -> bytes:
    # Only where the path names a version: a model may be called a/versions/b.
    named = "version" in scope.get("path_params", {})
    path, known = VERSION.sub(b"", scope["raw_path"], 1) if named else scope["raw_path"], _known(scope["query_string"])
    return path + b"?" + known if known else path


def _known(query: bytes) -> bytes:
    """The fields of a query that a route reads: there may be others, such as keys for what stands before us."""
    fields = query.split(b"&") if query else ()
    return b"&".join(one for one in fields if unquote_plus(one.partition(b"=")[0].decode("latin-1")) in FIELDS)
