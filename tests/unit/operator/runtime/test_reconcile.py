"""What a reconcile remembers from one look to the next."""

import asyncio
import itertools
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

import pytest

from mmm_operator import names
from mmm_operator.api.conditions import Condition, ConditionType, Reason
from mmm_operator.api.status import Status
from mmm_operator.errors import Refused
from mmm_operator.kube.execute import Executor, Outdated
from mmm_operator.kube.observe import Observer
from mmm_operator.kube.store import Store, seen
from mmm_operator.plan import Apply, Delete, Plan
from mmm_operator.runtime.reconcile import Reconciler
from mmm_operator.snapshot import Key, Manifest, Ref, Snapshot
from tests.unit.operator.core.build import SETTINGS, make_mmm, make_snapshot

SNAPSHOT = make_snapshot(make_mmm())
KEY = SNAPSHOT.key
NOTHING = Plan()
SETTLED = Condition(
    type=ConditionType.PROGRESSING,
    status="False",
    reason=Reason.SETTLED,
    last_transition_time="2026-01-01T00:00:00Z",
)
AT_REST = replace(SNAPSHOT, status=Status(conditions=(SETTLED,), observed_generation=SNAPSHOT.meta.generation))
REF = Ref("apps/v1", "Deployment", KEY.namespace, "clip-1")


def sized(size: int) -> Manifest:
    metadata = {"name": REF.name, "namespace": REF.namespace}
    return {"apiVersion": REF.api_version, "kind": REF.kind, "metadata": metadata, "spec": {"replicas": size}}


@dataclass
class Looks:
    """Counts looks; something may happen in the middle of one."""

    snapshot: Snapshot = SNAPSHOT
    count: int = 0
    meanwhile: Any = None
    version: str = ""

    async def observe(self, key: Key, doubtful: Collection[Ref], now: datetime) -> Snapshot:
        self.count += 1
        if self.meanwhile is not None:
            self.meanwhile()
        return self.snapshot

    async def version_now(self, key: Key) -> str:
        return self.version


@dataclass
class Deeds:
    """Counts what is done; may be told to fail."""

    count: int = 0
    error: Exception | None = None

    async def execute(self, plan: Plan, snapshot: Snapshot, *, defer_status: bool) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error


def reconciler(looks: Looks, deeds: Deeds | None = None, plan: Plan = NOTHING) -> Reconciler:
    observer, executor = cast("Observer", looks), cast("Executor", deeds or Deeds())
    return Reconciler(Store(), observer, executor, lambda *_: plan, SETTINGS)


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


def test_what_should_not_be_needed_is_done_only_for_the_object_that_was_looked_at() -> None:
    looks, deeds = Looks(AT_REST), Deeds()
    reconcile = reconciler(looks, deeds, Plan(apply=(Apply({}, True, ""),)))
    looks.version = "another"
    assert asyncio.run(reconcile(KEY)).requeue_after == 0.0
    assert deeds.count == 0
    looks.version = SNAPSHOT.meta.resource_version
    asyncio.run(reconcile(KEY))
    assert deeds.count == 1


def test_who_has_changed_before_its_status_was_written_is_looked_at_again_at_once() -> None:
    late = Deeds(error=Outdated("the object has been modified", status=409))
    looks = Looks(version="another")
    assert asyncio.run(reconciler(looks, late)(KEY)).requeue_after == 0.0
    looks.version = SNAPSHOT.meta.resource_version
    with pytest.raises(Outdated):  # nothing explains it: again, but at leisure
        asyncio.run(reconciler(looks, late)(KEY))


@pytest.mark.parametrize(
    ("plan", "done_at"),
    [
        (Plan(delete=(Delete(REF, "", ""),)), 3),
        (Plan(apply=(Apply(sized(1), False, ""),)), 3),
        (Plan(apply=(Apply(sized(3), False, ""),)), 1),
    ],
    ids=["deletes", "shrinks", "grows"],
)
def test_what_takes_away_waits_for_a_look_that_nothing_overtakes_but_not_for_ever(plan: Plan, done_at: int) -> None:
    looks, deeds = Looks(replace(SNAPSHOT, children={REF: sized(2)})), Deeds()
    reconcile = reconciler(looks, deeds, plan)
    versions = itertools.count(1)

    def pod_changes() -> None:
        metadata = {"name": "p", "namespace": KEY.namespace, "labels": {names.LABEL_MODEL: KEY.name}}
        reconcile.store.put(seen("Pod", {"metadata": {**metadata, "resourceVersion": str(next(versions))}}))

    looks.meanwhile = pod_changes
    for _ in range(done_at):
        assert deeds.count == 0
        asyncio.run(reconcile(KEY))
    assert deeds.count == 1
    if done_at > 1:
        looks.meanwhile = None
        asyncio.run(reconcile(KEY))
        assert deeds.count == 2, "nothing overtook it"


def test_what_was_refused_for_another_object_of_the_name_is_forgotten() -> None:
    seen_by_plans = list[str]()
    looks, deeds = Looks(), Deeds(error=Refused("exceeded quota", status=403))

    def plan(snapshot: Snapshot, *_: object) -> Plan:
        seen_by_plans.append(snapshot.refused)
        return NOTHING

    reconcile = replace(reconciler(looks, deeds), plan=plan)
    for uid in ("one", "one", "another"):
        looks.snapshot = replace(SNAPSHOT, meta=SNAPSHOT.meta.model_copy(update={"uid": uid}))
        with pytest.raises(Refused):
            asyncio.run(reconcile(KEY))
    assert seen_by_plans == ["", "exceeded quota", ""]
