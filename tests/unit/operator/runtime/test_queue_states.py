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

    `fresh` is what is new, in the order of its arrival, and `wanted` what else is to be looked at; `later` says when
    what comes with a delay joins which of them; `running` what workers have, and whether it was new.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.queue = WorkQueue(random.Random(1), MOST_ROUTINE)
        self.fresh: list[Key] = []
        self.fresh_again: list[Key] = []
        self.wanted: set[Key] = set()
        self.later: dict[Key, tuple[float, bool]] = {}
        self.running: dict[Key, bool] = {}
        self.preferred = 0

    def play(self, scene: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(scene)

    def want(self, key: Key, fresh: bool) -> None:
        if not fresh:
            self.wanted.add(key)
            return
        lane = self.fresh_again if key in self.running else self.fresh
        if key not in lane:
            lane.append(key)

    def want_later(self, key: Key, delay: float, fresh: bool) -> None:
        due, important = self.later.get(key, (float("inf"), False))
        self.later[key] = min(due, self.loop.time() + delay), important or fresh

    def tick(self) -> None:
        """What is due by now lines up."""
        self.play(asyncio.sleep(0))
        for key, (due, fresh) in sorted(self.later.items(), key=lambda item: item[1][0]):
            if due <= self.loop.time():
                del self.later[key]
                self.want(key, fresh)

    def routine(self) -> set[Key]:
        """What a worker may take that is not new."""
        if sum(not new for new in self.running.values()) >= MOST_ROUTINE:
            return set()
        return self.wanted - self.running.keys() - set(self.fresh)

    @rule(key=KEYS, fresh=st.booleans())
    def look_now(self, key: Key, fresh: bool) -> None:
        self.queue.add(key, fresh=fresh)
        self.want(key, fresh)

    @rule(key=KEYS, tenths=st.integers(1, 1000), fresh=st.booleans())
    def look_later(self, key: Key, tenths: int, fresh: bool) -> None:
        # Never two keys at the same moment: asyncio promises no order for these.
        delay = tenths / 10 + ord(key.name) / 10_000

        async def scene() -> None:
            self.queue.add(key, delay, fresh=fresh)
            self.want_later(key, delay, fresh)

        self.play(scene())
        self.tick()

    @rule()
    def take(self) -> None:
        key = self.play(self.next_key())
        self.tick()
        if key is None:
            assert not self.fresh, "something new waits, and a worker gets nothing"
            assert not self.routine(), "something waits, and a worker gets nothing"
            return
        assert key not in self.running, "two workers have one key"
        self.check_turn(key)
        self.running[key] = key in self.fresh
        self.wanted.discard(key)
        self.later.pop(key, None)
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
                self.want_later(key, self.queue.retry(key), False)
            else:
                self.queue.succeeded(key)
            self.queue.done(key)

        self.play(scene())
        del self.running[key]
        if key in self.fresh_again:
            self.fresh_again.remove(key)
            self.fresh.append(key)
        self.tick()

    @rule(tenths=st.integers(1, 500))
    def wait(self, tenths: int) -> None:
        self.play(asyncio.sleep(tenths / 10))
        self.tick()

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

        if not self.fresh and not self.wanted and not self.later:
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
            self.tick()
            if not self.fresh and not self.wanted:
                break
            self.take()
        assert not self.fresh
        assert not self.wanted
        assert not self.later
        assert self.play(self.next_key()) is None
        self.loop.close()


TestQueueStates = QueueStates.TestCase
TestQueueStates.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
