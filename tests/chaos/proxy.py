"""An HTTP proxy between the operator and the API server, through which every fault is made.

The operator speaks plain HTTP to loopback, the proxy TLS to the API server; the operator's own token travels through.
A fault is a function that gets a request and `forward`, and returns a reply: so it can wait, lie, forward and forget,
or end the connection. Watches are passed on line by line, each line through the line faults of the moment. Other
answers are passed on whole: the largest is a page of a list.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial

import aiohttp
from aiohttp import web
from yarl import URL

# What belongs to one connection and not to the message, and what would make answers unreadable here.
HOP = {"host", "connection", "keep-alive", "transfer-encoding", "accept-encoding", "content-length"}
WRITING = {"POST", "PUT", "PATCH", "DELETE"}


class Dropped(Exception):
    """The connection to the operator is to end without an answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the operator asks for."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def resource(self) -> str:
        """The plural of the kind, with the subresource: `deployments`, `multimodalmodels/status`."""
        parts = self.path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        if parts[:1] == ["namespaces"] and len(parts) > 2:
            parts = parts[2:]
        return "/".join(parts[:1] + parts[2:])

    @property
    def name(self) -> str:
        """The object's name; empty for a collection."""
        _, _, rest = self.path.partition(f"/{self.resource.partition('/')[0]}/")
        return rest.partition("/")[0]

    @property
    def is_watch(self) -> bool:
        """Whether the answer is a stream of events."""
        return self.method == "GET" and ("watch=true" in self.target or "watch=1" in self.target)

    @property
    def is_list(self) -> bool:
        """Whether the answer is a page of a list."""
        return self.method == "GET" and not self.is_watch and self.name == "" and bool(self.resource)

    @property
    def is_write(self) -> bool:
        """Whether it changes the cluster; the Lease is not part of what is to be done."""
        return self.method in WRITING and self.resource != "leases"

    def __str__(self) -> str:
        return f"{self.method} {self.resource} {self.name}".strip()


@dataclass(slots=True)
class Reply:
    """What the operator gets; `lines` for a watch, to be read and closed. `then` is called when it is out."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    lines: aiohttp.ClientResponse | None = None
    then: Callable[[], object] | None = None


Forward = Callable[[Request], Awaitable[Reply]]
Matches = Callable[[Request], bool]
Fault = Callable[[Request, Forward], Awaitable[Reply]]


class Stream:
    """A watch that is open now."""

    def __init__(self, request: Request, response: web.StreamResponse, transport: asyncio.Transport) -> None:
        self.request = request
        self.pump: asyncio.Future[None] | None = None
        self._response = response
        self._transport = transport

    async def send(self, line: bytes) -> None:
        """Pass a line on as it is."""
        await self._response.write(line)

    def end(self) -> None:
        """End the answer as the API server does when its time is over."""
        if self.pump is not None:
            self.pump.cancel()

    def abort(self) -> None:
        """End the connection in the middle of nothing."""
        self._transport.abort()


LineFault = Callable[[Stream, bytes], Awaitable[Iterable[bytes]]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that went through, and when; `status` 0 when there was no answer."""

    at: float
    request: Request
    status: int


class Proxy:
    """The proxy on a port of its own; everything in it happens in one event loop."""

    def __init__(self, server: str, context: ssl.SSLContext) -> None:
        self.seen: list[Seen] = []
        self.streams: set[Stream] = set()
        self.port = 0
        self._last_write = 0.0
        self._writing = 0  # writes that are not answered yet
        self._server = server
        self._context = context
        self._faults: list[tuple[Matches, Fault]] = []
        self._line_faults: list[tuple[Matches, LineFault]] = []
        self._connections: set[asyncio.Transport] = set()
        # A watch whose reader is gone is over; nothing else would ever end it.
        self._runner = web.ServerRunner(web.Server(self._serve, handler_cancellation=True), shutdown_timeout=0.5)
        self._site: web.TCPSite | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        """Listen while the block runs."""
        connector = aiohttp.TCPConnector(ssl=self._context, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=2**22) as self._session:
            await self._runner.setup()
            try:
                await self.listen()
                yield self
            finally:
                self.cut()
                await self._runner.cleanup()

    async def listen(self) -> None:
        """Accept connections, on the port of the first time."""
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await self._site.start()
        assert self._runner.addresses
        self.port = self._runner.addresses[0][1]

    async def refuse(self) -> None:
        """End all connections and accept none, as a host does on which nothing listens."""
        assert self._site is not None
        await self._site.stop()
        self.cut()

    def cut(self) -> None:
        """End all connections."""
        for transport in tuple(self._connections):
            transport.abort()

    @contextmanager
    def fault(self, matches: Matches, fault: Fault) -> Iterator[None]:
        """Put a fault in the way of the requests that match, while the block runs."""
        entry = (matches, fault)
        self._faults.append(entry)
        try:
            yield
        finally:
            self._faults.remove(entry)

    @contextmanager
    def line_fault(self, matches: Matches, fault: LineFault) -> Iterator[None]:
        """The same for the lines of watches, also of those that are open already."""
        entry = (matches, fault)
        self._line_faults.append(entry)
        try:
            yield
        finally:
            self._line_faults.remove(entry)

    def damage(self, matches: Matches, fault: LineFault) -> None:
        """Put a fault in the way of the lines of watches, for good."""
        self._line_faults.append((matches, fault))

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        self._connections.add(transport)
        asked = Request(request.method, request.path_qs, request.headers, await request.read())
        try:
            reply = await self._reply(asked)
            if reply.lines is None:
                return await _answer(request, reply)
            async with reply.lines as lines:
                return await self._stream(request, asked, reply, lines)
        except (Dropped, aiohttp.ClientError, ConnectionError):
            transport.abort()
            return web.Response(status=502)  # goes nowhere
        finally:
            if transport.is_closing():
                self._connections.discard(transport)

    @property
    def last_write(self) -> float:
        """When the last write was answered: now, while one is under way."""
        return asyncio.get_running_loop().time() if self._writing else self._last_write

    async def _reply(self, request: Request) -> Reply:
        status = 0
        self._writing += request.is_write
        try:
            reply = await self._faulty(tuple(self._faults), request)
            status = reply.status
            return reply
        finally:  # also when the operator did not wait for the answer
            self._writing -= request.is_write
            self._note(request, status)

    def _note(self, request: Request, status: int) -> None:
        now = asyncio.get_running_loop().time()
        self.seen.append(Seen(now, request, status))
        if request.is_write:
            self._last_write = now

    async def _faulty(self, faults: Sequence[tuple[Matches, Fault]], request: Request) -> Reply:
        for number, (matches, fault) in enumerate(faults):
            if matches(request):
                return await fault(request, partial(self._faulty, faults[number + 1 :]))
        return await self._forward(request)

    async def _forward(self, request: Request) -> Reply:
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        # Byte for byte: to encode the target again could change what it selects.
        url = URL(self._server + request.target, encoded=True)
        response = await self._session.request(
            request.method, url, headers=headers, data=request.body or None, allow_redirects=False
        )
        kept = {name: value for name, value in response.headers.items() if name.lower() not in HOP}
        if request.is_watch and response.status == 200:
            return Reply(200, kept, lines=response)
        async with response:
            return Reply(response.status, kept, await response.read())

    async def _stream(
        self, request: web.BaseRequest, asked: Request, reply: Reply, lines: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
        response.enable_chunked_encoding()
        await response.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        stream = Stream(asked, response, request.transport)
        stream.pump = asyncio.ensure_future(self._pump(stream, lines))
        self.streams.add(stream)
        try:
            await asyncio.wait({stream.pump})
            if not stream.pump.cancelled():
                stream.pump.result()
            await response.write_eof()
        finally:
            stream.pump.cancel()
            self.streams.discard(stream)
        return response

    async def _pump(self, stream: Stream, lines: aiohttp.ClientResponse) -> None:
        while line := await lines.content.readline():
            for changed in await self._through_faults(stream, line):
                await stream.send(changed)

    async def _through_faults(self, stream: Stream, line: bytes) -> Iterable[bytes]:
        lines: Iterable[bytes] = (line,)
        for matches, fault in tuple(self._line_faults):
            if matches(stream.request):
                lines = [changed for one in lines for changed in await fault(stream, one)]
        return lines


async def _answer(request: web.BaseRequest, reply: Reply) -> web.Response:
    response = web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body)
    if reply.then is not None:
        await response.prepare(request)
        await response.write_eof()
        reply.then()
    return response
