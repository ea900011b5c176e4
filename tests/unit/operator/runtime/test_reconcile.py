"""What a reconcile remembers from one look to the next."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from mmm_operator.kube.execute import Executor
from mmm_operator.kube.observe import Observer
from mmm_operator.kube.store import Store
from mmm_operator.plan import Plan
from mmm_operator.runtime.reconcile import Reconciler
from mmm_operator.snapshot import Key, Ref, Snapshot
from tests.unit.operator.core.build import SETTINGS, make_mmm, make_snapshot

SNAPSHOT = make_snapshot(make_mmm())
KEY = SNAPSHOT.key


@dataclass
class Looks:
    """Counts looks; something may happen in the middle of one."""

    count: int = 0
    meanwhile: Any = None

    async def observe(self, key: Key, doubtful: Collection[Ref], now: datetime) -> Snapshot:
        self.count += 1
        if self.meanwhile is not None:
            self.meanwhile()
        return SNAPSHOT


class Idle:
    async def execute(self, plan: Plan, snapshot: Snapshot, *, defer_status: bool) -> None:
        """Nothing is to be done."""


def reconciler(looks: Looks) -> Reconciler:
    executor, observer = cast("Executor", Idle()), cast("Observer", looks)
    return Reconciler(Store(), observer, executor, lambda *_: Plan(), SETTINGS)


def test_what_is_at_rest_is_not_looked_at_again() -> None:
    async def scenario() -> None:
        looks = Looks()
        reconcile = reconciler(looks)
        await reconcile(KEY)
        await reconcile(KEY)
        assert looks.count == 1
        reconcile.stir(KEY)
        await reconcile(KEY)
        assert looks.count == 2

    asyncio.run(scenario())


def test_who_is_stirred_in_the_middle_of_a_look_is_looked_at_again() -> None:
    async def scenario() -> None:
        looks = Looks()
        reconcile = reconciler(looks)
        looks.meanwhile = lambda: reconcile.stir(KEY)
        await reconcile(KEY)
        looks.meanwhile = None
        await reconcile(KEY)
        assert looks.count == 2

    asyncio.run(scenario())
