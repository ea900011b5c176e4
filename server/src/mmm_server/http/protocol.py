"""uvicorn's HTTP protocol with the bounds that it lacks: of heads, slow readers, pipelines and connections.

A message that breaks a rule of HTTP gets one small answer and the end of the connection. It never gets that answer in
the place of another one: what was asked before it is answered first.
"""

import heapq
import math
import random
from asyncio import AbstractEventLoop, Transport
from collections.abc import Iterable
from typing import Any, Final
from weakref import WeakMethod

import httptools
import uvicorn
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from mmm_server.errors import HeadTooLarge, Malformed, Refused, SlowClient, TooManyConnections
from mmm_server.http.connections import (
    EVICTION_SECONDS,
    LINGER_SECONDS,
    QUIET_SECONDS,
    Guard,
    Phase,
    Reason,
    Unsent,
    old_age,
    overdue,
    unread,
)
from mmm_server.http.exchange import new_request_id
from mmm_server.http.problems import problem_reply

MAX_PIPELINED = 16
FREE_PIECES = 16_384  # pieces of a body that may be as small as they like
LEAST_PIECE = 16  # bytes that pieces must have on average after that: a callback costs as much as hundreds of bytes
SLACK = 256 * 1024  # one read of the socket
HOP_FIELDS: Final = (b"connection", b"upgrade", b"http2-settings")
VERSIONS: Final = ("1.1", "1.0")
NOT_HTTP = "The request is not valid HTTP/1.1."

# Names of their own, as looking up a member of an enumeration takes longer than what is done with it.
HEAD, BODY, ANSWER, IDLE, LINGER, ENDED = Phase


class GuardedConfig(uvicorn.Config):
    """uvicorn's settings together with our own bounds."""

    guard: Guard


class _Broken(Exception):
    """Raised through the parser; it becomes the answer to the request."""


class _Outlet(Transport):
    """The transport as those see it who answer: its end is the protocol's, which knows whether more is coming."""

    def __init__(self, protocol: "GuardedProtocol") -> None:
        super().__init__()
        self._transport = protocol.transport
        self._end = WeakMethod(protocol.end)  # a connection that is over is freed at once, not by the collector

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Ends the connection behind what was sent."""
        end = self._end()
        if end is not None:
            end()


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: GuardedConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.url = b""  # uvicorn sets it with the first byte, and a refusal may come before that
        self.guard = config.guard
        self.limits = config.guard.limits
        self.url = b""  # until a request begins
        self.phase = HEAD
        self.since = 0.0
        self._old = math.inf  # when it is time for the client to open another connection
        self._peer: str | None = None  # set while the guard counts this connection
        self._unsent = Unsent()
        self._outlet: _Outlet  # once there is a transport
        self._running: RequestResponseCycle | None = None  # the newest one, which is `cycle`, may wait behind it
        self._deaf = False  # nothing that comes is read any more
        self._refusal: Refused | None = None
        self._barren = 0  # bytes received since anything came out of them
        self._pieces = 0
        self._piece_bytes = 0
        self._trailers = 0
        self._upgrading = False

    # The connection

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Counts the connection, or turns it away."""
        super().connection_made(transport)
        self._outlet = _Outlet(self)
        self.since = self.loop.time()
        self._old = self.since + old_age(self.limits.connection_seconds, random.random())
        peer = self.client[0] if self.client else ""
        if self.guard.full():
            make_room(self.connections, self.since)
        if self.guard.welcome(peer):
            self._peer = peer
            self.guard.enter(peer)
        else:
            busy = TooManyConnections("The server has as many connections as it may.", retry_after=1.0)
            self._answer(busy, Reason.TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._leave()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)
        # After a reset uvicorn leaves this timer behind, and with it the whole connection for as long as it runs.
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Feeds the parser and watches what becomes of it."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        if self.phase is IDLE:
            self._enter(HEAD)
        self._barren += len(data)
        self._feed(data)
        # Of several requests that came at once only the last one may end the connection.
        if self.loop.time() > self._old and self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._feed_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            refusal = self._refusal or Malformed(NOT_HTTP)
            self._refuse(refusal, Reason.HEAD_TOO_LARGE if refusal.status == 431 else Reason.MALFORMED)
        else:
            self._check_barren()

    def _feed_without_upgrade(self, rest: bytes) -> None:
        """Reads the request again as one that asks for no other protocol: the parser left its body out.

        Java's own client asks so on every new connection, also with a body.
        """
        close = any(name == b"connection" and b"close" in value.lower() for name, value in self.headers)
        fields = [field for field in self.headers if field[0] not in HOP_FIELDS]
        fields += [(b"connection", b"close")] if close else []
        version = self.parser.get_http_version().encode()
        head = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does with the first one
        self._upgrading = False
        self._enter(HEAD)
        self._feed(b"".join([*head, *(b"%b: %b\r\n" % field for field in fields), b"\r\n", rest]))

    def _check_barren(self) -> None:
        if self.phase is HEAD and self._barren > self.limits.head_bytes:
            self._refuse(self._head_too_large(), Reason.HEAD_TOO_LARGE)
        elif self.phase is BODY and self._barren > self.limits.head_bytes + SLACK:
            self._refuse(Malformed("The body has more wrapping than content."), Reason.MALFORMED)

    def sweep(self, now: float) -> None:
        """Ends the connection if it takes too long."""
        if self.guard.leaving:
            self.part(now)
        self._unsent.observe(self.transport.get_write_buffer_size(), now)
        if self._unsent.stalled(now, self.limits.write_stall_seconds):
            self._abort(Reason.WRITE_STALLED)
            return
        if self.phase is ENDED:
            self._wait_for_end(now)
            return
        reason = None if self._deaf else overdue(self.phase, now - self.since, self.limits)
        if reason is Reason.HEAD_TIMEOUT:
            self._refuse(SlowClient("The head of the request did not arrive in time."), reason)
        elif reason is not None:
            self._abort(reason)

    def resume_writing(self) -> None:
        """Lets the answer go on."""
        self._unsent.taken(self.loop.time())
        super().resume_writing()

    def _wait_for_end(self, now: float) -> None:
        if self._unsent.size:
            self.since = now  # the client is still reading
        elif now - self.since > LINGER_SECONDS:
            self.transport.abort()

    @property
    def answered(self) -> bool:
        """Whether nobody waits for an answer; a request that was refused half-way gets no other."""
        return self.phase is ENDED or self.cycle is None or bool(self.cycle.response_complete)

    def shutdown(self) -> None:
        """Answers what is asked already, also where only a part of it has arrived, and ends the connection."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self.part(self.loop.time())

    def part(self, now: float) -> None:
        """Ends the connection if nothing is being asked on it, as far as one can know."""
        silent = self.phase is IDLE or self.phase is ENDED or (self.phase is HEAD and not self._barren)
        if silent and self.answered and now - self.since >= QUIET_SECONDS and not self._unread():
            self.transport.close()

    def _unread(self) -> bool:
        found = self.transport.get_extra_info("socket")
        return found is not None and not self.transport.is_closing() and unread(found.fileno())

    def end(self) -> None:
        """Ends the connection behind the last answer, so that also a client that is still sending can read it."""
        if self._deaf or self.phase is HEAD or self.phase is BODY:
            self._deaf = True
            self.pipeline.clear()  # whoever was told that nothing follows asks again elsewhere
            self._hang_up()
        else:
            self.transport.close()

    def evict(self) -> None:
        """Gives way to a newcomer."""
        self._abort(Reason.EVICTED)

    # The messages

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keeps a field of the head; those after a chunked body are dropped."""
        if self.phase is not HEAD:
            self._trailers += 1
            if self._trailers > self.limits.head_fields:
                raise _Broken
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Checks the head and begins to answer."""
        self._check_head()
        version = self.parser.get_http_version()
        if version not in VERSIONS or len(self.pipeline) >= MAX_PIPELINED:
            raise _Broken
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _Broken
            self._upgrading = True
            return
        if version == "1.0":
            self.expect_100_continue = False  # such a client does not know what to make of an interim answer
        super().on_headers_complete()
        self.cycle.transport = self._outlet
        self._barren = self._pieces = self._piece_bytes = self._trailers = 0
        self.phase = BODY
        if self.expect_100_continue:
            # Until the body comes: a final answer may take its place, and then nobody knows what the next bytes are.
            self._kept_alive = self.cycle.keep_alive
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Hands over a piece of the body."""
        self._barren = 0
        self._pieces += 1
        self._piece_bytes += len(body)
        if self._pieces > FREE_PIECES and self._piece_bytes < LEAST_PIECE * self._pieces:
            raise _Broken
        if self.expect_100_continue:
            self._allow_keep_alive()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Notes that the request was read."""
        if self._upgrading:
            return
        self._barren = 0
        if self.expect_100_continue:
            self._allow_keep_alive()
        super().on_message_complete()
        if self.cycle.response_complete:
            self._enter(IDLE)
            self._arm_keep_alive()
        else:
            self.phase = ANSWER

    def on_message_begin(self) -> None:
        """Begins the head of another request."""
        super().on_message_begin()
        if self.phase is not HEAD:
            self._enter(HEAD)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Notes that a request was answered."""
        last = not self.pipeline
        super().on_response_complete()
        if self._deaf and last:  # the newest message may be one that broke off and is never answered
            self._hang_up()
            return
        if not self.cycle.response_complete:
            return
        if self.phase is ANSWER:
            self._enter(IDLE)
        elif self.phase is BODY:
            self._enter(LINGER)

    # What they share

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = self.loop.time()

    def _arm_keep_alive(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _allow_keep_alive(self) -> None:
        if not self.cycle.response_started:
            self.expect_100_continue = False
            self.cycle.keep_alive = self._kept_alive

    def _check_head(self) -> None:
        # Bytes received bound the head from above: nearly always that is all there is to look at.
        if self._barren > self.limits.head_bytes:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self.limits.head_bytes:
                self._refusal = self._head_too_large()
                raise _Broken
        if len(self.headers) > self.limits.head_fields:
            self._refusal = self._head_too_large()
            raise _Broken

    def _head_too_large(self) -> HeadTooLarge:
        limits = self.limits
        return HeadTooLarge(f"The head may have {limits.head_bytes} bytes and {limits.head_fields} fields.")

    def _stop_after_answers(self) -> bool:
        """Reads no more; whether answers are still owed, after which the connection ends."""
        self._deaf = True
        if self.cycle is None or self.cycle.response_complete:
            return False
        self.cycle.keep_alive = False
        return True

    def _refuse(self, refusal: Refused, reason: Reason) -> None:
        """Answers the message that is being read, in its turn, and ends the connection."""
        if self.phase is HEAD or self.phase is ANSWER:
            if self._stop_after_answers():
                self.guard.count_refused(reason)
            else:
                self._answer(refusal, reason)
        elif self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()
            self._deaf = True
            self.guard.count_refused(reason)
        elif self.cycle.response_started:
            self._deaf = True
            self.transport.close()
            self.guard.count_refused(reason)
        else:
            self._answer(refusal, reason)
            self.cycle.waiting_for_100_continue = False  # nothing can be written any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _answer(self, refusal: Refused, reason: Reason) -> None:
        reply = problem_reply(refusal, self.url.partition(b"?")[0].decode("latin-1"), new_request_id())
        fields = [
            *self.server_state.default_headers,
            *reply.headers,
            (b"content-length", str(len(reply.body)).encode()),
        ]
        lines = [b"%b: %b\r\n" % field for field in fields if field[0] != b"connection"]
        self.transport.write(b"".join([STATUS_LINE[refusal.status], *lines, b"connection: close\r\n\r\n", reply.body]))
        self._deaf = True
        self._hang_up()
        self.guard.count_refused(reason)

    def _hang_up(self) -> None:
        """Ends our side: to a client that is still sending, a close is a reset, which may take the answer with it."""
        if self._peer is None:  # turned away: it may hold nothing
            self.transport.close()
        elif not self.transport.is_closing():
            self.flow.resume_reading()  # whoever is still sending sees the answer only when that is over
            self.transport.write_eof()
            self._enter(ENDED)

    def _leave(self) -> None:
        if self._peer is not None:
            self.guard.leave(self._peer)
            self._peer = None

    def _abort(self, reason: Reason) -> None:
        self._leave()
        self._deaf = True
        self.transport.abort()
        self.guard.count_refused(reason)


def make_room(connections: Iterable[object], now: float) -> None:
    """Closes those that have waited longest without asking anything: a few at once, as looking at all costs time."""
    waiting = [
        one
        for one in connections
        if isinstance(one, GuardedProtocol)
        and (one.phase is IDLE or one.phase is HEAD or one.phase is ENDED)
        and one.answered
        and now - one.since > EVICTION_SECONDS
    ]
    for one in heapq.nsmallest(1 + len(waiting) // 32, waiting, key=lambda each: each.since):
        one.evict()
