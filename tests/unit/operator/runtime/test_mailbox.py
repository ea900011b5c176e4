"""Calls from other threads: none is lost, none overtakes another of its thread, whatever the others do."""

import asyncio
import threading

import pytest

from mmm_operator.runtime.mailbox import Mailbox

THREADS, CALLS = 4, 2000


def test_every_call_of_every_thread_is_made_in_its_order() -> None:
    made: list[tuple[int, int]] = []

    async def scene() -> None:
        mailbox, done = Mailbox(), asyncio.Event()

        def note(thread: int, number: int) -> None:
            made.append((thread, number))
            if len(made) == THREADS * CALLS:
                done.set()

        def leave(thread: int) -> None:
            for number in range(CALLS):
                mailbox.post(lambda number=number: note(thread, number))  # type: ignore[misc]

        for thread in range(THREADS):
            threading.Thread(target=leave, args=(thread,)).start()
        await asyncio.wait_for(done.wait(), 30)

    asyncio.run(scene())
    for thread in range(THREADS):
        assert [number for who, number in made if who == thread] == list(range(CALLS))


def test_a_call_that_fails_takes_no_other_with_it() -> None:
    made: list[str] = []

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: made.append("trouble"))
        mailbox = Mailbox()
        for call in (lambda: 1 / 0, lambda: made.append("next")):
            mailbox.post(call)
        await asyncio.sleep(0.05)

    asyncio.run(scene())
    assert made == ["trouble", "next"]


def test_a_closed_loop_is_nobodys_trouble(recwarn: pytest.WarningsRecorder) -> None:
    async def scene() -> Mailbox:
        return Mailbox()

    asyncio.run(scene()).post(lambda: None)
    assert not recwarn.list
