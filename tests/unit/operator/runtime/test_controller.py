"""What the controller does with each way in which a reconcile can end."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from mmm_operator.errors import Conflict, Forbidden, Refused, Transient
from mmm_operator.runtime.controller import RECONCILE_LIMIT_SECONDS, Controller
from mmm_operator.runtime.heartbeat import MOST_SILENCE_SECONDS, Heartbeat, Path, straight
from mmm_operator.runtime.lease import Work
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


def troubles(reconcile: Reconcile, path: Path = straight, seconds: int = 100) -> list[str]:
    """What the controller complains of, second by second, when there is more work than workers."""

    async def scenario() -> list[str]:
        settings = Settings(server_image="server:1", workers=2)
        controller = Controller(reconcile, settings, Metrics(), path=path)
        running = asyncio.create_task(controller.run())
        for name in "abcdefghijklmnopqrst":
            controller.notice(Key("default", name))
        found = []
        for _ in range(seconds):
            await asyncio.sleep(1.0)
            found.append(controller.trouble())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return found

    return run(scenario())


def stuck(*keys: Key) -> Reconcile:
    """Reconciles that go on when they are told to end, for these keys or for all."""

    async def reconcile(key: Key) -> Outcome:
        if not keys or key in keys:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(600)
            await asyncio.sleep(600)
        return Outcome()

    return reconcile


def test_a_healthy_controller_complains_of_nothing() -> None:
    assert not any(troubles(well))


def test_an_api_server_that_hangs_does_not_make_the_controller_look_dead() -> None:
    async def hang(key: Key) -> Outcome:
        await asyncio.sleep(10_000)
        return Outcome()

    assert not any(troubles(hang))


def test_workers_that_cannot_be_ended_are_noticed() -> None:
    found = troubles(stuck())
    assert not any(found[: int(MOST_SILENCE_SECONDS) - 1])
    assert all("a worker is stuck with default/" in trouble for trouble in found[int(MOST_SILENCE_SECONDS) + 1 :])


def test_one_worker_that_cannot_be_ended_is_noticed_while_the_others_go_on() -> None:
    seen: list[Key] = []
    hanging = stuck(A)

    async def reconcile(key: Key) -> Outcome:
        seen.append(key)
        return await hanging(key)

    assert troubles(reconcile)[-1] == "a worker is stuck with default/a for 100 s"
    assert len(set(seen)) == 20


def test_a_heartbeat_that_the_watches_do_not_pass_on_is_missed() -> None:
    seen: list[Key] = []

    async def reconcile(key: Key) -> Outcome:
        seen.append(key)
        return Outcome()

    found = troubles(reconcile, path=lambda arrive: None)
    assert not any(found[: int(MOST_SILENCE_SECONDS) - 1])
    assert found[-1] == "the watches did not move for 100 s"
    assert len(seen) == 20, "what did arrive is worked on all the same"


def test_a_queue_that_nobody_empties_is_missed() -> None:
    async def scenario() -> str:
        heartbeat = Heartbeat(straight, deliver=lambda: None)
        beating = asyncio.create_task(heartbeat.run())
        await asyncio.sleep(90)
        beating.cancel()
        return heartbeat.trouble()

    assert run(scenario()) == "no worker took anything off the queue for 90 s"


@dataclass
class Term:
    """Leads for ten seconds, stands by for ten minutes, leads again."""

    controller: Controller | None = None
    troubles: list[str] = field(default_factory=list)

    async def lead(self, work: Work) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10):
                    await work()
            await asyncio.sleep(600)
            assert self.controller is not None
            self.troubles.append(self.controller.trouble())


def second_term(reconcile: Reconcile) -> tuple[Runs, Term]:
    """A controller that leads twice and hears of A and B once in between."""

    async def scenario() -> tuple[Runs, Term]:
        runs, term = Runs(reconcile), Term()
        settings = Settings(server_image="server:1", workers=2, resync_seconds=100_000)
        term.controller = controller = Controller(runs.note, settings, runs.metrics, random.Random(1))
        controller.notice(A)
        running = asyncio.create_task(controller.run(term.lead))
        await asyncio.sleep(300)
        controller.notice(B)
        await asyncio.sleep(400)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return runs, term

    return run(scenario())


def test_a_standby_works_on_nothing_and_on_all_it_heard_of_once_it_leads() -> None:
    runs, term = second_term(well)
    assert runs.times == {A: [0, 610], B: [610]}
    assert term.troubles == [""], "a standby is alive"


def test_what_was_cut_off_by_the_end_of_a_term_is_done_in_the_next() -> None:
    ends: list[float] = []

    async def slow(key: Key) -> Outcome:
        await asyncio.sleep(15 if key == A and not ends else 0)
        ends.append(asyncio.get_running_loop().time())
        return Outcome()

    runs, _ = second_term(slow)
    assert runs.times[A][0] == 0
    assert runs.times[A][1] == 610
