"""Clients of several kinds that keep their connections as their libraries do, and count what they get.

A request is lost when it gets no answer, or any other than 200. One exception is HTTP's own: a server may close a
connection that is idle, and a request that crosses this on the wire is sent again on a new connection (RFC 9112,
section 9.3.1). Only requests on a connection that was used before are repeated, only when not one byte came back, and
they are counted.
"""

import asyncio
import contextlib
import http.client
import json
import random
import select
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx

TIMEOUT_SECONDS = 60.0
BODY = json.dumps({"texts": ["a red circle"]}).encode()
PATH = "/v1/embed"
HEAD = (
    f"POST {PATH} HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
).encode()


class Crossed(Exception):
    """The server closed the kept connection before it read the request."""


class Lost(Exception):
    """The request was not answered as it should be."""


@dataclass
class Score:
    """What all clients counted."""

    answered: Counter[str] = field(default_factory=Counter)
    crossed: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    slowest: float = 0.0


class Client:
    """Asks once; subclasses say how."""

    def __init__(self, ports: list[int], dice: random.Random) -> None:
        self.ports, self.dice = ports, dice

    @property
    def port(self) -> int:
        """The node for the next connection."""
        return self.dice.choice(self.ports)

    async def ask(self) -> None:
        """Returns when answered; raises Crossed or Lost."""
        raise NotImplementedError

    async def close(self) -> None:
        """Leaves nothing open."""


class Httpx(Client):
    """httpx with its pool."""

    def __init__(self, ports: list[int], dice: random.Random) -> None:
        super().__init__(ports, dice)
        self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS)

    async def ask(self) -> None:
        """Asks through the pool."""
        headers, steps = {"content-type": "application/json"}, set[str]()

        async def trace(step: str, _: object) -> None:
            steps.add(step)

        url, extensions = f"http://127.0.0.1:{self.port}{PATH}", {"trace": trace}
        try:
            answer = await self._client.post(url, content=BODY, headers=headers, extensions=extensions)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
            raise (Lost if "connection.connect_tcp.started" in steps else Crossed)(repr(error)) from None
        except httpx.HTTPError as error:
            raise Lost(repr(error)) from None
        check(answer.status_code, answer.text)

    async def close(self) -> None:
        """Closes the pool."""
        await self._client.aclose()


class Blocking(Client):
    """http.client in a thread, looking before use whether its connection is closed, as urllib3 does."""

    def __init__(self, ports: list[int], dice: random.Random) -> None:
        super().__init__(ports, dice)
        self._kept: http.client.HTTPConnection | None = None

    async def ask(self) -> None:
        """Asks in a thread."""
        await asyncio.to_thread(self._ask)

    def _ask(self) -> None:
        if self._kept is not None and self._kept.sock is not None and select.select([self._kept.sock], [], [], 0)[0]:
            self._drop()
        fresh = self._kept is None or self._kept.sock is None
        connection = self._kept = self._kept or http.client.HTTPConnection("127.0.0.1", self.port, TIMEOUT_SECONDS)
        try:
            connection.request("POST", PATH, BODY, {"Content-Type": "application/json"})
            answer = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self._drop()
            raise (Lost if fresh else Crossed)(repr(error)) from None
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise Lost(repr(error)) from None
        text = answer.read()
        if answer.will_close:
            self._drop()
        check(answer.status, text.decode())

    def _drop(self) -> None:
        if self._kept is not None:
            self._kept.close()
        self._kept = None

    async def close(self) -> None:
        """Closes the connection."""
        self._drop()


class Raw(Client):
    """A socket of its own."""

    def __init__(self, ports: list[int], dice: random.Random) -> None:
        super().__init__(ports, dice)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> None:
        """Asks on the kept connection, unless its end has arrived already, or a new one."""
        if self._streams is not None and self._streams[0].at_eof():
            await self.close()
        fresh = self._streams is None
        async with asyncio.timeout(TIMEOUT_SECONDS):
            try:
                reader, writer = self._streams = self._streams or await asyncio.open_connection("127.0.0.1", self.port)
                await self._exchange(reader, writer)
            except asyncio.IncompleteReadError as error:
                await self.close()
                raise (Crossed if not fresh and not error.partial else Lost)(f"closed, {error.partial!r}") from None
            except (ConnectionResetError, BrokenPipeError) as error:
                await self.close()
                raise (Lost if fresh else Crossed)(repr(error)) from None
            except OSError as error:
                await self.close()
                raise Lost(repr(error)) from None

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._send(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        text = await reader.readexactly(int(head.partition("content-length:")[2].partition("\r\n")[0]))
        if "connection: close" in head:
            await self.close()
        check(int(head.split(" ", 2)[1]), text.decode())

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + BODY)

    async def close(self) -> None:
        """Closes the connection."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


class Once(Raw):
    """A connection for each request."""

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD[:-2] + b"Connection: close\r\n\r\n" + BODY)


class Slow(Raw):
    """A kept connection on which each request arrives in two pieces."""

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer.write(HEAD[:30])
        await asyncio.sleep(self.dice.uniform(0, 0.2))
        writer.write(HEAD[30:] + BODY)


KINDS: dict[str, type[Client]] = {"httpx": Httpx, "http.client": Blocking, "raw": Raw, "once": Once, "slow": Slow}
PAUSES = (1.0, 1.0, 1.0, 10.0, 60.0)  # how many times the usual pause: some connections rest for long


@dataclass
class Load:
    """Clients that ask so many requests a second in all until told to stop."""

    ports: list[int]
    rate: float
    clients: int
    dice: random.Random
    score: Score = field(default_factory=Score)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> Score:
        """What all of them counted, once it is over."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.clients):
                name = list(KINDS)[number % len(KINDS)]
                pause = self._pause(PAUSES[number // len(KINDS) % len(PAUSES)])
                group.create_task(self._work(name, KINDS[name](self.ports, random.Random(self.dice.random())), pause))
        return self.score

    def _pause(self, times: float) -> float:
        shares = [1 / PAUSES[number // len(KINDS) % len(PAUSES)] for number in range(self.clients)]
        return times * sum(shares) / self.rate

    async def _work(self, name: str, client: Client, pause: float) -> None:
        due = time.monotonic()
        while not self.over.is_set():
            due = max(due + self.dice.expovariate(1 / pause), time.monotonic() - pause)
            await self._rest(due - time.monotonic())
            if self.over.is_set():
                break
            began = time.monotonic()
            await self._count(name, client.ask)
            self.score.slowest = max(self.score.slowest, time.monotonic() - began)
        await client.close()

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), max(0.0, seconds))

    async def _count(self, name: str, ask: Callable[[], Awaitable[None]]) -> None:
        for attempt in range(3):
            try:
                await ask()
            except Crossed as crossed:
                self.score.crossed[name] += 1
                if attempt == 2:
                    self.score.lost.append(f"{name}: thrice on one connection: {crossed}")
                continue
            except (Lost, TimeoutError) as lost:
                self.score.lost.append(f"{time.strftime('%H:%M:%S')} {name}: {lost!r}")
            else:
                self.score.answered[name] += 1
            return


def check(status: int, text: str) -> None:
    """Raises Lost unless the answer is the right one."""
    if status != 200 or "embeddings" not in text:
        raise Lost(f"{status}: {text[:200]}")
