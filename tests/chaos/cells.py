"""The ways in which lists and watches break: each is active while its block runs, and healed at the end.

The first sixteen are those that are known to end or to deafen a kopf operator (`docs/reliability.md`); the others lose,
repeat and mix single events of streams that look healthy.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from tests.chaos import lines
from tests.chaos.faults import answer, every, lists, truncate, watches
from tests.chaos.proxy import Fault, LineFault, Matches, Proxy, Stream

ACTIVE_SECONDS = 4.0
# Not all at once: what comes back must meet the fault again.
BETWEEN_SECONDS = 1.0

Make = Callable[[Proxy], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Cell:
    """A fault; `silent` when nothing shows that events are missing, so that only the next sweep can tell.

    `lasting` when it is never healed, so that sweeps have to find everything.
    """

    make: Make
    silent: bool = False
    lasting: bool = False


def injected(line: bytes | None, ends: bool = True) -> Make:
    """Every open watch gets this line, once a second, and then breaks."""

    @asynccontextmanager
    async def make(proxy: Proxy) -> AsyncIterator[None]:
        async def inject() -> None:
            while True:
                for stream in tuple(proxy.streams):
                    if line is not None:
                        await stream.send(line)
                    if ends:
                        stream.end()
                await asyncio.sleep(BETWEEN_SECONDS)

        task = asyncio.create_task(inject())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return make


def window(matches: Matches, fault: Fault, first: bytes | None = None) -> Make:
    """Requests that match fail. Before, every watch ends: with this line, if there is one, so that lists follow."""

    @asynccontextmanager
    async def make(proxy: Proxy) -> AsyncIterator[None]:
        with proxy.fault(matches, fault):
            for stream in tuple(proxy.streams):
                if first is not None:
                    await stream.send(first)
                stream.end()
            yield

    return make


def through(fault: LineFault) -> Make:
    """Every line of every watch goes through a fault."""

    @asynccontextmanager
    async def make(proxy: Proxy) -> AsyncIterator[None]:
        with proxy.line_fault(every, fault):
            yield

    return make


@asynccontextmanager
async def cut(proxy: Proxy) -> AsyncIterator[None]:
    """All connections break, once."""
    proxy.cut()
    yield


@asynccontextmanager
async def refused(proxy: Proxy) -> AsyncIterator[None]:
    """Nobody listens."""
    await proxy.refuse()
    try:
        yield
    finally:
        await proxy.listen()


@asynccontextmanager
async def stalled(proxy: Proxy) -> AsyncIterator[None]:
    """No watch says anything; afterwards everything comes at once."""
    stall = lines.Stall()
    with proxy.line_fault(every, stall):
        yield
    stall.over.set()


@asynccontextmanager
async def dead(proxy: Proxy) -> AsyncIterator[None]:
    """The watches that are open now never say anything again, and nothing else shows it."""
    mute = set(proxy.streams)

    async def silence(stream: Stream, line: bytes) -> tuple[bytes, ...]:
        return () if stream in mute else (line,)

    # It outlives the block: connections that died are not healed.
    proxy.damage(every, silence)
    yield


@asynccontextmanager
async def shuffled(proxy: Proxy) -> AsyncIterator[None]:
    """Events come in another order."""
    shuffle = lines.Shuffle()
    with proxy.line_fault(every, shuffle):
        yield
    await shuffle.release()


GONE = lines.error(410)

CELLS: dict[str, Cell] = {
    "watch-closed": Cell(injected(None)),
    "watch-stalled": Cell(stalled),
    "error-410": Cell(injected(GONE)),
    "error-500": Cell(injected(lines.error(500))),
    "error-504": Cell(injected(lines.error(504))),
    "error-without-code": Cell(injected(lines.error(None))),
    "malformed-line": Cell(injected(lines.MALFORMED)),
    "truncated-line": Cell(injected(b'{"type":"MODIFIED","obj')),
    "list-503": Cell(window(lists, answer(503), GONE)),
    "list-403": Cell(window(lists, answer(403), GONE)),
    "list-404": Cell(window(lists, answer(404), GONE)),
    "watch-500": Cell(window(watches, answer(500))),
    "watch-403": Cell(window(watches, answer(403))),
    "list-429": Cell(window(lists, answer(429, retry_after=1), GONE)),
    "watch-429": Cell(window(watches, answer(429, retry_after=1))),
    "401": Cell(window(every, answer(401))),
    "connections-cut": Cell(cut),
    "connections-refused": Cell(refused),
    "everything-500": Cell(window(every, answer(500))),
    "everything-403": Cell(window(every, answer(403), GONE)),
    "list-500": Cell(window(lists, answer(500), GONE)),
    "watch-404": Cell(window(watches, answer(404))),
    "watch-503": Cell(window(watches, answer(503))),
    "watch-410": Cell(window(watches, answer(410))),
    "list-truncated": Cell(window(lists, truncate, GONE)),
    "events-twice": Cell(through(lines.twice)),
    "events-late": Cell(through(lines.late(0.3))),
    "events-shuffled": Cell(shuffled),
    "events-lost": Cell(through(lines.lost), silent=True),
    "additions-lost": Cell(through(lines.lost_of("ADDED")), silent=True),
    "changes-lost": Cell(through(lines.lost_of("MODIFIED")), silent=True),
    "deletions-lost": Cell(through(lines.lost_of("DELETED")), silent=True),
    "watch-dead": Cell(dead, silent=True, lasting=True),
}
