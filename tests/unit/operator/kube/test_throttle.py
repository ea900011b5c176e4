"""The throttle: as many calls at a time as the API server bears, and none while it asks for a pause."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from mmm_operator.kube.throttle import LONGEST_PAUSE_SECONDS, Throttle
from tests.unit.operator.runtime.virtual_time import run


@dataclass
class Server:
    """Has `seats` for calls of a tenth of a second each, refuses what finds none, and wants a pause then."""

    seats: int
    retry_after: float | None = 1.0
    under_way: int = 0
    most: int = 0
    served: int = 0
    refused: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)

    async def call(self, throttle: Throttle) -> bool:
        """One call through the throttle; whether it was served."""
        async with throttle:
            since = asyncio.get_running_loop().time()
            self.sent.append(since)
            if self.under_way >= self.seats:
                self.refused.append(since)
                throttle.too_many(self.retry_after, since)
                return False
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            try:
                await asyncio.sleep(0.1)
            finally:
                self.under_way -= 1
            self.served += 1
            throttle.answered()
            return True

    async def until_served(self, throttle: Throttle) -> None:
        while not await self.call(throttle):
            pass


def serve(server: Server, calls: int) -> float:
    """The seconds until so many calls, all wanted at once, were served."""

    async def scenario() -> float:
        throttle = Throttle(16, random.Random(1))
        await asyncio.gather(*(server.until_served(throttle) for _ in range(calls)))
        return asyncio.get_running_loop().time()

    return run(scenario())


def test_a_server_with_room_gets_as_many_calls_at_a_time_as_allowed() -> None:
    server = Server(seats=100)
    assert serve(server, 160) == pytest.approx(1.0)
    assert server.most == 16


def test_a_server_with_one_seat_is_soon_asked_one_thing_at_a_time() -> None:
    server = Server(seats=1)
    serve(server, 400)
    assert server.served == 400
    late = [moment for moment in server.refused if moment > 10]
    assert len(late) < 0.2 * 400
    assert len(server.sent) < 1.5 * 400


def test_nothing_is_sent_during_the_pause_that_the_server_asks_for() -> None:
    server = Server(seats=4, retry_after=7.0)
    serve(server, 40)
    first = server.refused[0]
    assert [moment for moment in server.sent if first < moment < first + 7] == []
    assert min(moment for moment in server.sent if moment > first) < first + 8


@pytest.mark.parametrize(("wish", "pause"), [(None, 1.0), (0.0, 1.0), (3600.0, LONGEST_PAUSE_SECONDS)])
def test_a_pause_is_neither_nothing_nor_endless(wish: float | None, pause: float) -> None:
    server = Server(seats=0, retry_after=wish)

    async def scenario() -> None:
        throttle = Throttle(16)
        await server.call(throttle)
        await server.call(throttle)

    run(scenario())
    assert pause <= server.sent[1] - server.sent[0] <= 1.11 * pause


def test_refusals_of_calls_that_left_together_count_once() -> None:
    async def scenario() -> int:
        throttle = Throttle(16)
        for _ in range(16):
            throttle.too_many(1.0, since=0.0)
        return throttle.limit

    assert run(scenario()) == 8


def test_the_limit_comes_back_when_the_server_bears_it_again() -> None:
    async def scenario() -> list[int]:
        throttle, limits = Throttle(16), []
        for moment in range(10):
            await asyncio.sleep(1)
            throttle.too_many(1.0, since=moment + 1.0)
        limits.append(throttle.limit)
        for _ in range(2000):
            throttle.answered()
        return [*limits, throttle.limit]

    assert run(scenario()) == [1, 16]


@pytest.mark.parametrize("seed", range(20))
def test_turns_of_callers_that_gave_up_are_not_lost(seed: int) -> None:
    rng = random.Random(seed)

    async def scenario() -> int:
        throttle, server = Throttle(2, rng), Server(seats=10)
        calls = [asyncio.create_task(server.until_served(throttle)) for _ in range(60)]
        for call in rng.sample(calls, 40):
            await asyncio.sleep(rng.choice((0.0, 0.0, 0.05)))
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert throttle.limit == 2
        await asyncio.gather(server.call(throttle), server.call(throttle))
        return server.most

    assert run(scenario()) == 2
