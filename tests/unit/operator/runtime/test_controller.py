"""What the controller does with each way in which a reconcile can end."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from mmm_operator.errors import Conflict, Forbidden, Refused, Transient
from mmm_operator.runtime.controller import HEARTBEAT_SECONDS, RECONCILE_LIMIT_SECONDS, Controller
from mmm_operator.runtime.health import MOST_SILENCE_SECONDS
from mmm_operator.runtime.metrics import Metrics
from mmm_operator.runtime.reconcile import Outcome
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key
from tests.unit.operator.runtime.virtual_time import run

A, B = Key("default", "a"), Key("default", "b")

Reconcile = Callable[[Key], Awaitable[Outcome]]


class Runs:
    """Everything that was reconciled, with the time, and the metrics in the end."""

    def __init__(self, reconcile: Reconcile) -> None:
        self.reconcile = reconcile
        self.times: dict[Key, list[float]] = {A: [], B: []}
        self.metrics = Metrics()

    async def note(self, key: Key) -> Outcome:
        self.times[key].append(asyncio.get_running_loop().time())
        return await self.reconcile(key)

    def result(self, word: str) -> float:
        return self.metrics.registry.get_sample_value("mmm_operator_reconcile_total", {"result": word}) or 0.0


def let_run(reconcile: Reconcile, seconds: float, *keys: Key, workers: int = 2, resync: int = 100_000) -> Runs:
    """A controller that notices the keys and works for so many seconds."""

    async def scenario() -> Runs:
        runs = Runs(reconcile)
        settings = Settings(server_image="server:1", workers=workers, resync_seconds=resync)
        controller = Controller(runs.note, settings, runs.metrics, random.Random(1))
        for key in keys:
            controller.notice(key)
        running = asyncio.create_task(controller.run())
        await asyncio.sleep(seconds)
        assert not running.done(), "the controller ended by itself"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return runs

    return run(scenario())


async def well(key: Key) -> Outcome:
    return Outcome()


def failing(error: Exception) -> Reconcile:
    async def reconcile(key: Key) -> Outcome:
        if key == A:
            raise error
        return Outcome()

    return reconcile


def test_a_settled_object_is_left_alone() -> None:
    runs = let_run(well, 3600, A)
    assert len(runs.times[A]) == 1
    assert runs.result("ok") == 1


def test_an_object_is_looked_at_again_when_its_plan_asks_for_it() -> None:
    async def reconcile(key: Key) -> Outcome:
        return Outcome(requeue_after=60.0)

    assert let_run(reconcile, 200, A).times[A] == [0, 60, 120, 180]


def test_every_known_object_is_looked_at_again_in_every_period() -> None:
    runs = let_run(well, 3001, A, B, resync=300)
    for times in runs.times.values():
        assert len(times) in (10, 11)
        assert max(later - earlier for earlier, later in pairwise(times)) < 600


def test_an_object_that_is_gone_is_forgotten() -> None:
    async def reconcile(key: Key) -> Outcome:
        return Outcome(gone=True)

    runs = let_run(reconcile, 3000, A, resync=300)
    assert len(runs.times[A]) == 1
    assert runs.result("gone") == 1


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Conflict("changed meanwhile", status=409), "conflict"),
        (Transient("no answer"), "transient"),
        (Refused("exceeded quota", status=403), "refused"),
        (Forbidden("cannot list pods", status=403), "refused"),
        (ZeroDivisionError("a bug"), "error"),
    ],
)
def test_a_failure_backs_off_and_leaves_the_others_alone(error: Exception, result: str) -> None:
    runs = let_run(failing(error), 600, A, B)
    assert 8 < len(runs.times[A]) < 60, "not given up, and not hammering either"
    assert runs.result(result) == len(runs.times[A])
    assert len(runs.times[B]) == 1


def test_the_api_server_says_when_to_come_back() -> None:
    runs = let_run(failing(Transient("slow down", status=429, retry_after=100.0)), 350, A)
    assert runs.times[A] == [0, 100, 200, 300]


def test_a_bug_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    let_run(failing(ZeroDivisionError("a bug")), 0.01, A)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert vars(record)["key"] == A


def test_expected_trouble_is_one_line_each_time(caplog: pytest.LogCaptureFixture) -> None:
    let_run(failing(Transient("no answer from the API server")), 0.01, A)
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage().startswith("no answer from the API server, again in ")
    assert not record.exc_info


def test_a_reconcile_that_hangs_is_ended_and_tried_again() -> None:
    async def reconcile(key: Key) -> Outcome:
        await asyncio.sleep(10_000 if key == A else 0)
        return Outcome()

    runs = let_run(reconcile, 10 * RECONCILE_LIMIT_SECONDS, A, B, workers=1)
    assert runs.result("transient") >= 3
    assert len(runs.times[B]) == 1


def longest_silence(reconcile: Reconcile) -> float:
    """How long no worker took the heartbeat, when there is more work than workers."""

    async def scenario() -> float:
        controller = Controller(reconcile, Settings(server_image="server:1", workers=2), Metrics())
        running = asyncio.create_task(controller.run())
        for name in "abcdefghijklmnopqrst":
            controller.notice(Key("default", name))
        silences = []
        for _ in range(100):
            await asyncio.sleep(1.0)
            silences.append(controller.silence)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return max(silences)

    return run(scenario())


def test_a_healthy_controller_has_a_steady_heartbeat() -> None:
    assert longest_silence(well) <= HEARTBEAT_SECONDS


def test_an_api_server_that_hangs_does_not_make_the_controller_look_dead() -> None:
    async def hang(key: Key) -> Outcome:
        await asyncio.sleep(10_000)
        return Outcome()

    assert longest_silence(hang) < MOST_SILENCE_SECONDS


def test_workers_that_cannot_be_ended_fall_silent() -> None:
    async def stuck(key: Key) -> Outcome:
        while True:
            try:
                await asyncio.sleep(10_000)
            except asyncio.CancelledError:
                if asyncio.current_task() not in excused:
                    excused.add(asyncio.current_task())
                    continue
                raise

    excused: set[asyncio.Task[object] | None] = set()
    assert longest_silence(stuck) > MOST_SILENCE_SECONDS
