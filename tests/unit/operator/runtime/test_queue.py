"""The work queue: nothing twice, nothing forgotten, nobody starved."""

import asyncio
import random

import pytest
import uvloop

from mmm_operator.runtime.queue import LONGEST_BACKOFF_SECONDS, SHARE, WorkQueue
from mmm_operator.snapshot import Key
from tests.unit.operator.runtime.virtual_time import run

A, B, C = (Key("default", name) for name in "abc")


class Worker:
    """Takes keys off a queue, needs a second for each, and notes when it had what."""

    def __init__(self, queue: WorkQueue) -> None:
        self.queue = queue
        self.runs: list[tuple[Key, float]] = []
        self.at_work: list[Key] = []

    async def work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            key = await self.queue.get()
            assert key not in self.at_work, "two workers have one key"
            self.at_work.append(key)
            self.runs.append((key, loop.time()))
            await asyncio.sleep(1)
            self.at_work.remove(key)
            self.queue.done(key)

    async def for_seconds(self, seconds: float, workers: int = 1) -> list[Key]:
        tasks = [asyncio.create_task(self.work()) for _ in range(workers)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return [key for key, _ in self.runs]


def test_a_burst_of_one_key_while_nobody_works_is_one_run() -> None:
    async def scenario() -> list[Key]:
        queue = WorkQueue()
        for _ in range(200):
            queue.add(A)
        return await Worker(queue).for_seconds(10)

    assert run(scenario()) == [A]


def test_a_burst_of_one_key_while_it_is_worked_on_is_one_more_run() -> None:
    async def scenario() -> list[Key]:
        queue = WorkQueue()
        queue.add(A)
        worker = Worker(queue)
        working = asyncio.create_task(worker.for_seconds(10, workers=4))
        await asyncio.sleep(0.5)
        for _ in range(200):
            queue.add(A)
        return await working

    assert run(scenario()) == [A, A]


def test_two_workers_never_have_the_same_key() -> None:
    async def scenario() -> list[Key]:
        queue = WorkQueue()
        worker = Worker(queue)
        working = asyncio.create_task(worker.for_seconds(30, workers=8))
        for moment in range(100):
            queue.add(random.Random(moment).choice((A, B, C)))
            await asyncio.sleep(0.1)
        return await working

    assert set(run(scenario())) == {A, B, C}


def test_keys_are_served_in_the_order_of_their_arrival() -> None:
    async def scenario() -> list[Key]:
        queue = WorkQueue()
        for key in (B, A, C, B):
            queue.add(key)
        return await Worker(queue).for_seconds(10)

    assert run(scenario()) == [B, A, C]


def test_a_busy_key_does_not_starve_the_others() -> None:
    async def scenario() -> list[Key]:
        queue = WorkQueue()
        worker = Worker(queue)
        working = asyncio.create_task(worker.for_seconds(20))
        queue.add(A)
        await asyncio.sleep(0.5)
        queue.add(B)
        for _ in range(100):
            queue.add(A)
            await asyncio.sleep(0.1)
        return await working

    assert run(scenario())[:3] == [A, B, A]


def test_a_key_that_is_added_first_goes_before_all_that_wait() -> None:
    async def scenario() -> list[Key]:
        queue = WorkQueue()
        queue.add(A)
        queue.add(B)
        queue.add(C, first=True)
        return await Worker(queue).for_seconds(10)

    assert run(scenario()) == [C, A, B]


def test_of_two_delays_the_shorter_one_counts() -> None:
    async def scenario() -> list[tuple[Key, float]]:
        queue = WorkQueue()
        queue.add(A, 60)
        queue.add(A, 5)
        queue.add(A, 30)
        worker = Worker(queue)
        await worker.for_seconds(100)
        return worker.runs

    assert run(scenario()) == [(A, 5.0)]


def test_a_run_makes_a_pending_delay_void() -> None:
    async def scenario() -> list[tuple[Key, float]]:
        queue = WorkQueue()
        queue.add(A, 50)
        queue.add(A)
        worker = Worker(queue)
        await worker.for_seconds(100)
        return worker.runs

    assert run(scenario()) == [(A, 0.0)]


def test_backoff_grows_up_to_its_limit_and_is_spread() -> None:
    async def scenario() -> list[float]:
        queue = WorkQueue(random.Random(7))
        return [queue.retry(A) for _ in range(200)]

    delays = run(scenario())
    assert all(delay <= 0.5 * 2**n for n, delay in enumerate(delays[:7]))
    assert 50 < max(delays) <= LONGEST_BACKOFF_SECONDS
    assert len({round(delay, 3) for delay in delays}) > 190


def test_backoff_starts_anew_after_a_success() -> None:
    async def scenario() -> float:
        queue = WorkQueue(random.Random(7))
        for _ in range(20):
            queue.retry(A)
        queue.succeeded(A)
        return queue.retry(A)

    assert run(scenario()) <= 0.5


def test_backoff_is_not_shorter_than_the_server_asks_for() -> None:
    async def scenario() -> float:
        return WorkQueue().retry(A, at_least=17.0)

    assert run(scenario()) == pytest.approx(17.0)


def test_backoff_of_one_key_does_not_hold_up_another() -> None:
    async def scenario() -> list[tuple[Key, float]]:
        queue = WorkQueue()
        queue.retry(A, at_least=20)
        queue.add(B)
        worker = Worker(queue)
        await worker.for_seconds(100)
        return worker.runs

    assert run(scenario()) == [(B, 0.0), (A, 20.0)]


def test_what_is_new_goes_before_what_the_clock_brings() -> None:
    async def scenario() -> list[Key]:
        queue = WorkQueue()
        for number in range(1000):
            queue.add(Key("routine", str(number)), fresh=False)
        queue.add(A)
        return await Worker(queue).for_seconds(3)

    assert run(scenario())[0] == A


def test_a_thousand_failing_keys_do_not_hold_up_an_edit() -> None:
    async def scenario() -> float:
        queue, failing = WorkQueue(random.Random(3)), [Key("failing", str(number)) for number in range(1000)]
        for key in failing:
            queue.retry(key)
        worker = Worker(queue)
        working = asyncio.create_task(worker.for_seconds(60))
        await asyncio.sleep(30.5)
        queue.add(A)
        await working
        return next(moment for key, moment in worker.runs if key == A)

    assert run(scenario()) - 30.5 <= 1.0, "the next key that a worker takes"


def test_routine_goes_on_while_edits_keep_coming() -> None:
    async def scenario() -> list[Key]:
        queue = WorkQueue()
        worker = Worker(queue)
        for number in range(10):
            queue.add(Key("routine", str(number)), fresh=False)
        for number in range(1000):
            queue.add(Key("fresh", str(number)))
        return await worker.for_seconds(40)

    runs = run(scenario())
    assert [key.namespace for key in runs[: 2 * SHARE]] == 2 * [*["fresh"] * (SHARE - 1), "routine"]
    assert sum(key.namespace == "routine" for key in runs) == 10


def test_routine_that_hangs_leaves_a_worker_for_what_is_new() -> None:
    async def scenario() -> list[Key]:
        queue = WorkQueue(most_routine=3)
        got: list[Key] = []

        async def hang() -> None:
            while True:
                key = await queue.get()
                got.append(key)
                await asyncio.sleep(1e6 if key.namespace == "routine" else 1)
                queue.done(key)

        workers = [asyncio.create_task(hang()) for _ in range(4)]
        for number in range(100):
            queue.add(Key("routine", str(number)), fresh=False)
        await asyncio.sleep(10)
        for key in (A, B, C):
            queue.add(key)
        await asyncio.sleep(10)
        for worker in workers:
            worker.cancel()
        return got

    assert run(scenario())[3:] == [A, B, C]


def test_an_edit_of_a_key_that_waits_as_routine_makes_it_fresh() -> None:
    async def scenario() -> list[Key]:
        queue = WorkQueue()
        for key in (B, C, A):
            queue.add(key, fresh=False)
        queue.add(A)
        return await Worker(queue).for_seconds(10)

    assert run(scenario()) == [A, B, C]


def test_an_edit_while_a_worker_has_the_key_comes_back_as_fresh() -> None:
    async def scenario() -> list[Key]:
        queue = WorkQueue()
        queue.add(A, fresh=False)
        worker = Worker(queue)
        working = asyncio.create_task(worker.for_seconds(10))
        await asyncio.sleep(0.5)
        queue.add(B, fresh=False)
        queue.add(A)
        queue.add(A, fresh=False)
        return await working

    assert run(scenario()) == [A, A, B]


def test_a_worker_that_gives_up_waiting_takes_no_key_along() -> None:
    async def scenario() -> list[Key]:
        queue = WorkQueue()
        waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
        await asyncio.sleep(1)
        queue.add(A)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return await Worker(queue).for_seconds(10)

    assert run(scenario()) == [A]


def test_what_is_new_stays_so_when_it_comes_with_a_delay() -> None:
    async def scenario() -> list[Key]:
        queue = WorkQueue()
        queue.add(A, 0.5)
        queue.add(A, 5.0, fresh=False)
        for key in (B, C):
            queue.add(key, fresh=False)
        return await Worker(queue).for_seconds(10)

    assert run(scenario()) == [B, A, C]


def test_what_is_due_this_very_moment_can_be_asked_for_again() -> None:
    async def scenario() -> Key:
        queue = WorkQueue()
        for delay in (1e-9, 1e-9, 5.0):
            queue.add(A, delay)
        return await queue.get()

    assert uvloop.run(scenario()) == A
