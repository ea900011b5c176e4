"""The work queue under every order of calls that Hypothesis thinks of."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from mmm_operator.runtime.queue import LONGEST_BACKOFF_SECONDS, SHARE, WorkQueue
from mmm_operator.snapshot import Key
from tests.unit.operator.runtime.virtual_time import VirtualLoop

T = TypeVar("T")

KEYS = st.builds(Key, st.just("default"), st.sampled_from("abcd"))
MOST_ROUTINE = 2


class QueueStates(RuleBasedStateMachine):
    """Workers and watchers in any order, next to a model of what the workers must see.

    `fresh` is what is new, in the order of its arrival; `wanted` when at the latest each key is to be looked at;
    `running` what workers have, and whether it was new.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.queue = WorkQueue(random.Random(1), MOST_ROUTINE)
        self.fresh: list[Key] = []
        self.fresh_again: list[Key] = []
        self.wanted: dict[Key, float] = {}
        self.running: dict[Key, bool] = {}
        self.preferred = 0

    def play(self, scene: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(scene)

    def want(self, key: Key, delay: float) -> None:
        self.wanted[key] = min(self.wanted.get(key, float("inf")), self.loop.time() + delay)

    def routine(self) -> set[Key]:
        """What a worker may take that is not new."""
        if sum(not new for new in self.running.values()) >= MOST_ROUTINE:
            return set()
        due = {key for key, moment in self.wanted.items() if moment <= self.loop.time()}
        return due - self.running.keys() - set(self.fresh)

    @rule(key=KEYS)
    def hear_of(self, key: Key) -> None:
        self.queue.add(key)
        lane = self.fresh_again if key in self.running else self.fresh
        if key not in lane:
            lane.append(key)

    @rule(key=KEYS)
    def resync(self, key: Key) -> None:
        self.queue.add(key, fresh=False)
        self.want(key, 0.0)

    @rule(key=KEYS, delay=st.floats(0.1, 100.0))
    def look_later(self, key: Key, delay: float) -> None:
        async def scene() -> None:
            self.queue.add(key, delay)
            self.want(key, delay)

        self.play(scene())

    @rule()
    def take(self) -> None:
        key = self.play(self.next_key())
        if key is None:
            assert not self.fresh, "something new waits, and a worker gets nothing"
            assert not self.routine(), "something waits, and a worker gets nothing"
            return
        assert key not in self.running, "two workers have one key"
        self.check_turn(key)
        self.running[key] = key in self.fresh
        self.wanted.pop(key, None)
        if key in self.fresh:
            self.fresh.remove(key)

    def check_turn(self, key: Key) -> None:
        routine = self.routine()
        if key in self.fresh:
            assert key == self.fresh[0], "what came first goes first"
            self.preferred = self.preferred + 1 if routine else 0
            assert self.preferred < SHARE, "routine is starved"
        else:
            assert key in routine, "nobody wanted that, or not yet"
            assert not self.fresh or self.preferred == SHARE - 1, "routine went before something new"
            self.preferred = 0

    async def next_key(self) -> Key | None:
        await asyncio.sleep(0)
        try:
            return await asyncio.wait_for(self.queue.get(), 1e-6)
        except TimeoutError:
            return None

    @precondition(lambda self: self.running)
    @rule(choice=st.data(), failed=st.booleans())
    def finish(self, choice: st.DataObject, failed: bool) -> None:
        key = choice.draw(st.sampled_from(sorted(self.running)))

        async def scene() -> None:
            if failed:
                self.want(key, self.queue.retry(key))
            else:
                self.queue.succeeded(key)
            self.queue.done(key)

        self.play(scene())
        del self.running[key]
        if key in self.fresh_again:
            self.fresh_again.remove(key)
            self.fresh.append(key)

    @rule(seconds=st.floats(0.01, 50.0))
    def wait(self, seconds: float) -> None:
        self.play(asyncio.sleep(seconds))

    @rule()
    def give_up_waiting(self) -> None:
        """A worker that waits is cancelled."""

        async def scene() -> Key | None:
            waiting = asyncio.ensure_future(self.queue.get())
            await asyncio.sleep(0)
            if waiting.done():
                return waiting.result()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            return None

        if not self.fresh and not self.wanted:
            assert self.play(scene()) is None

    def teardown(self) -> None:
        """Nothing is lost: whatever was wanted is looked at in the end."""
        for _ in range(100):
            for key in list(self.running):
                self.queue.done(key)
                del self.running[key]
                if key in self.fresh_again:
                    self.fresh.append(key)
            self.fresh_again.clear()
            self.play(asyncio.sleep(2 * LONGEST_BACKOFF_SECONDS))
            if not self.fresh and not self.wanted:
                break
            self.take()
        assert not self.fresh
        assert not self.wanted
        assert self.play(self.next_key()) is None
        self.loop.close()


TestQueueStates = QueueStates.TestCase
TestQueueStates.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
