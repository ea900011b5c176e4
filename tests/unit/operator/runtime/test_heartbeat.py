"""The heartbeat through a real second loop, as the watches have one."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from mmm_operator.runtime import heartbeat
from mmm_operator.runtime.controller import Controller
from mmm_operator.runtime.metrics import Metrics
from mmm_operator.runtime.reconcile import Outcome
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key

SILENCE_SECONDS = 0.5


@contextmanager
def second_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (what changes is in another thread)
            await asyncio.sleep(0.02)


async def test_a_loop_that_is_blocked_is_noticed_while_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(heartbeat, "MOST_SILENCE_SECONDS", SILENCE_SECONDS)
    done: list[Key] = []

    async def reconcile(key: Key) -> Outcome:
        done.append(key)
        return Outcome()

    main = asyncio.get_running_loop()
    with second_loop() as watches:

        def path(arrive: Callable[[], None]) -> None:
            watches.call_soon_threadsafe(main.call_soon_threadsafe, arrive)

        controller = Controller(reconcile, Settings(server_image="server:1"), Metrics(), path=path)
        running = asyncio.create_task(controller.run())
        await asyncio.sleep(2 * SILENCE_SECONDS)
        assert controller.trouble() == ""

        watches.call_soon_threadsafe(time.sleep, 4 * SILENCE_SECONDS)
        await until(lambda: controller.trouble().startswith("the watches did not move for "))
        controller.notice(Key("default", "a"))
        await until(lambda: done == [Key("default", "a")])

        await until(lambda: controller.trouble() == "")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
