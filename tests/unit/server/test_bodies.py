"""What is held of all requests together is bounded, also while it is made larger."""

import asyncio
import gzip
import tracemalloc

import pytest

from mmm_server.errors import DeadlinePassed, Overloaded, TooLarge
from mmm_server.http.bodies import INFLATING, BodyReader
from mmm_server.limits import Limits

SIZE = 4 * 1024 * 1024
SENT = gzip.compress(bytes(SIZE))
SOON = 30.0


async def test_what_is_inflated_at_once_is_bounded() -> None:
    room = 2
    bodies = BodyReader(Limits(body_bytes=SIZE, inflight_bytes=room * SIZE))
    refused, over = 0, asyncio.Event()

    async def one() -> None:
        nonlocal refused
        try:
            async with bodies.content(SENT, "gzip", SOON) as body:
                assert len(body) == SIZE
                await over.wait()
        except Overloaded:
            refused += 1
            if refused == count - room:
                over.set()

    count = 16
    tracemalloc.start()
    try:
        await asyncio.wait_for(asyncio.gather(*(one() for _ in range(count))), SOON)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (room + 2 * INFLATING) * SIZE, "a refused one is let go while the next one grows already"


async def test_what_is_not_inflated_any_more_makes_room() -> None:
    bodies = BodyReader(Limits(body_bytes=SIZE, inflight_bytes=SIZE))
    for _ in range(3):
        async with bodies.content(SENT, "gzip", SOON):
            with pytest.raises(Overloaded):
                async with bodies.content(SENT, "gzip", SOON):
                    pass
    for _ in range(3):
        with pytest.raises(TooLarge):
            async with bodies.content(gzip.compress(bytes(SIZE + 1)), "gzip", SOON):
                pass
    async with bodies.content(SENT, "gzip", SOON) as body:
        assert len(body) == SIZE


async def test_nobody_waits_for_a_turn_longer_than_for_the_answer() -> None:
    bodies = BodyReader(Limits(body_bytes=SIZE))

    async def one() -> str:
        try:
            async with bodies.content(SENT, "gzip", 0.0):
                return "inflated"
        except DeadlinePassed:
            return "late"

    outcomes = await asyncio.gather(*(one() for _ in range(INFLATING + 2)))
    assert outcomes == [*["inflated"] * INFLATING, "late", "late"]


async def test_an_answer_that_is_not_taken_is_never_refused_but_what_comes_next_is() -> None:
    bodies = BodyReader(Limits(body_bytes=SIZE, inflight_bytes=SIZE))
    with bodies.owing(SIZE), bodies.owing(SIZE), pytest.raises(Overloaded):
        async with bodies.content(SENT, "gzip", SOON):
            pass
    async with bodies.content(SENT, "gzip", SOON) as body:
        assert len(body) == SIZE


async def test_what_came_as_it_is_is_not_touched() -> None:
    sent = bytes(10)
    async with BodyReader(Limits()).content(sent, None, SOON) as body:
        assert body is sent
