"""A Service on loopback that is as late as a real one: every node learns of a change some seconds after it happened.

    servers ─ probed, marked as terminating ─► what is true ─ a delay per node and change ─► what a node knows ─► choice

A connection is given to an endpoint when it is opened, and keeps it. As kube-proxy does, a node chooses among those
that are ready; where none is, among those that terminate but still serve; where none does, it resets the connection.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tests.chaos.rollouts.pipes import Pipe


@dataclass(frozen=True)
class Endpoint:
    """One server as an EndpointSlice tells of it."""

    port: int
    serving: bool
    terminating: bool

    @property
    def ready(self) -> bool:
        """Whether it is to be chosen."""
        return self.serving and not self.terminating


Endpoints = frozenset[Endpoint]


def choices(known: Iterable[Endpoint]) -> list[int]:
    """The ports that a new connection may go to."""
    known = list(known)
    ready = [endpoint.port for endpoint in known if endpoint.ready]
    return sorted(ready or [endpoint.port for endpoint in known if endpoint.serving])


class Node:
    """The way of one node to the servers: what it knows is late, and never out of order."""

    def __init__(self, delay: Callable[[], float], dice: random.Random) -> None:
        self.port = 0
        self.known: Endpoints = frozenset()
        self.refused: Counter[int] = Counter()  # connections that an endpoint did not take, by its port
        self._delay, self._dice = delay, dice
        self._last = 0.0
        self._heard: deque[Endpoints] = deque()

    def hear(self, endpoints: Endpoints) -> None:
        """Is told what is true, and knows it after a while."""
        loop = asyncio.get_running_loop()
        self._last = max(self._last, loop.time() + self._delay())
        self._heard.append(endpoints)
        loop.call_at(self._last, self._learn)  # of calls for the same moment any may come first

    def _learn(self) -> None:
        self.known = self._heard.popleft()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Node"]:
        """Takes connections while the block runs."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Pipe(self._choose, self._note), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    def _choose(self) -> int | None:
        ports = choices(self.known)
        return self._dice.choice(ports) if ports else None

    def _note(self, port: int | None) -> None:
        self.refused[port or 0] += 1


class Service:
    """The nodes, and what is true."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self._true: dict[int, Endpoint] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Service"]:
        """Takes connections on the ports of all nodes while the block runs."""
        async with AsyncExitStack() as stack:
            for node in self.nodes:
                await stack.enter_async_context(node.running())
            yield self

    def set(self, port: int, *, serving: bool, terminating: bool) -> None:
        """Publishes the state of one server, if it is another one."""
        endpoint = Endpoint(port, serving, terminating)
        if self._true.get(port) != endpoint:
            self._true[port] = endpoint
            self._publish()

    def remove(self, port: int) -> None:
        """A server is gone."""
        if self._true.pop(port, None) is not None:
            self._publish()

    def _publish(self) -> None:
        for node in self.nodes:
            node.hear(self.true())

    def true(self) -> Endpoints:
        """What is true now."""
        return frozenset(self._true.values())

    def settled(self) -> bool:
        """Whether every node knows what is true."""
        return all(node.known == self.true() for node in self.nodes)
