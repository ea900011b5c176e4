"""Somebody edits what the operator manages: all of it comes back, each with one write; what they add stays."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from mmm_operator import names
from mmm_operator.kube.resources import RESOURCES, path
from mmm_operator.snapshot import Manifest
from tests.chaos.drift import ADDITIONS, Edit, edits, intent, missing, role
from tests.chaos.essence import children, conditions
from tests.chaos.generator.run import differing
from tests.chaos.report import again, record
from tests.chaos.size import FULL, SEED, chosen, sized
from tests.chaos.trail import Trail, Write
from tests.chaos.world import Api, Entrance, Id, World
from tests.integration.bucket import Bucket
from tests.integration.operator_process import Operator

NAMESPACE = "drift"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
PATIENCE_SECONDS = 20.0
# Time for a second write that should not be.
QUIET_SECONDS = 0.7
MODELS = sized(6, 10)
# Deployment, Service, autoscaler, disruption budget, network policy and claim.
KINDS_MADE = 6

MakeMmm = Callable[..., Manifest]


@dataclass(frozen=True)
class Bench:
    """Children that nobody runs pods of, and what is seen of them."""

    world: World
    trail: Trail
    api: httpx.Client
    log: Callable[[], str]

    def child(self, ref: Id) -> Manifest:
        """A child as the watch saw it last."""
        return self.world.objects.get(ref) or {"metadata": {}}

    def writes(self, ref: Id, since: float) -> list[Write]:
        """The operator's writes to a child that the API server took."""
        plural = RESOURCES[ref.kind].plural
        found = self.trail.writes(ref.namespace, since)
        # A child that lost its label is out of sight: making it anew is refused, and only then it is mended.
        return [write for write in found if (write.resource, write.name) == (plural, ref.name) and write.code < 300]

    async def send(self, ref: Id, change: object, how: str) -> httpx.Response:
        """The API server's answer to a change by somebody else."""
        where = path(ref.kind, ref.namespace, ref.name) + "?fieldManager=kubectl-edit"
        return await asyncio.to_thread(self.api.patch, where, json=change, headers={"Content-Type": how})

    async def mended(self, ref: Id, before: Manifest, edited: Manifest) -> None:
        """Return once the child, after it was `edited`, has all again that the operator had put into it."""
        try:
            await self.world.until(
                lambda: version(now := self.child(ref)) > version(edited) and not missing(before, now),
                PATIENCE_SECONDS,
                "mended",
            )
        except AssertionError as error:
            raise AssertionError(f"{error}: {missing(before, self.child(ref))}") from None

    async def renew(self, ref: Id) -> None:
        """Have the operator make the child once more."""
        uid = self.child(ref)["metadata"].get("uid")
        await self.world.api.delete(ref)
        gone = (None, uid)
        await self.world.until(
            lambda: self.child(ref)["metadata"].get("uid") not in gone, 3 * PATIENCE_SECONDS, f"{ref} made anew"
        )
        await asyncio.sleep(QUIET_SECONDS)


def version(child: Manifest) -> int:
    return int(child["metadata"].get("resourceVersion", 0))


@pytest.fixture(scope="module")
def models(api: httpx.Client, bucket: Bucket, make_mmm: MakeMmm, steady_operator: Operator) -> Iterator[list[str]]:
    """MultimodalModels with every kind of child, but without pods."""
    bucket.publish("clip", "1")
    api.post("/api/v1/namespaces", json={"metadata": {"name": NAMESPACE}}).raise_for_status()
    secret = {"metadata": {"name": "s3"}, "stringData": bucket.credentials}
    api.post(path("Secret", NAMESPACE), json=secret).raise_for_status()
    found = [f"model-{number}" for number in range(MODELS)]
    for name in found:
        made = api.post(path(names.KIND, NAMESPACE), json=with_every_child(make_mmm, name))
        assert made.is_success, made.text
    yield found
    api.delete(f"/api/v1/namespaces/{NAMESPACE}").raise_for_status()


def with_every_child(make_mmm: MakeMmm, name: str) -> Manifest:
    return make_mmm(
        name=name,
        replicas=0,
        autoscaling={"minReplicas": 2, "maxReplicas": 4},
        cache={"type": "PersistentVolumeClaim", "claimTemplate": {"size": "1Gi"}},
        accelerator={"count": 1},
        resources={"requests": {"cpu": "500m"}, "limits": {"cpu": "2", "memory": "4Gi"}},
        runtime={"env": [{"name": "TEAM_FLAG", "value": "1"}]},
        networkPolicy={"clients": [{"podSelector": {"matchLabels": {"team.example/a": "b"}}}]},
        service={"labels": {"team.example/a": "b"}, "annotations": {"team.example/c": "d"}},
        serviceAccountName="default",
        imagePullSecrets=[{"name": "pull"}],
    )


async def test_every_managed_field_comes_back_with_one_write(
    entrance: Entrance, api: httpx.Client, trail: Trail, steady_operator: Operator, models: list[str]
) -> None:
    async with Api.open(entrance) as admin, World(admin).watched() as world:
        bench = Bench(world, trail, api, steady_operator.log.read_text)
        seats = await settled_children(bench, models)
        orders = {kind: sample(edits(kind[0], bench.child(refs[0]))) for kind, refs in seats.items()}
        found = await asyncio.gather(*(work(bench, seats[kind], orders[kind], edit_one) for kind in seats))
    failures = [failure for failures in found for failure in failures]
    assert not failures, "\n".join(failures)


async def test_what_others_add_stays_and_costs_no_write(
    entrance: Entrance, api: httpx.Client, trail: Trail, steady_operator: Operator, models: list[str]
) -> None:
    async with Api.open(entrance) as admin, World(admin).watched() as world:
        bench = Bench(world, trail, api, steady_operator.log.read_text)
        seats = await settled_children(bench, models[-1:])
        found = await asyncio.gather(
            *(work(bench, refs, [*ADDITIONS[""], *ADDITIONS.get(kind[0], ())], add_one) for kind, refs in seats.items())
        )
    failures = [failure for failures in found for failure in failures]
    assert not failures, "\n".join(failures)


async def test_every_child_that_is_deleted_comes_back_once(
    entrance: Entrance, api: httpx.Client, trail: Trail, steady_operator: Operator, models: list[str]
) -> None:
    async with Api.open(entrance) as admin, World(admin).watched() as world:
        bench = Bench(world, trail, api, steady_operator.log.read_text)
        seats = await settled_children(bench, models)
        found = await asyncio.gather(*(work(bench, refs[:1], [refs[0]], delete_one) for refs in seats.values()))
    failures = [failure for failures in found for failure in failures]
    assert not failures, "\n".join(failures)


Role = tuple[str, str]


async def settled_children(bench: Bench, models: list[str]) -> dict[Role, list[Id]]:
    """The children by kind and role, once all MultimodalModels have all of theirs and nothing is written any more."""

    def all_ready() -> bool:
        found = [bench.world.get(names.KIND, NAMESPACE, name) or {"metadata": {}} for name in models]
        return all(conditions(mmm).get("Ready", {}).get("status") == "True" for mmm in found)

    await bench.world.until(all_ready, 60, "all MultimodalModels are Ready")
    while (rest := bench.trail.quiet_since(NAMESPACE) + 1.0 - time.monotonic()) > 0:  # noqa: ASYNC110  (silence makes no event)
        await asyncio.sleep(rest)
    # The watches of some kinds may have begun later than others.
    await bench.world.until(lambda: complete(seats_of(bench.world, models), models), 60, "all children of all kinds")
    return seats_of(bench.world, models)


def complete(seats: dict[Role, list[Id]], models: list[str]) -> bool:
    return len(seats) >= KINDS_MADE and all(len(refs) == len(models) for refs in seats.values())


def seats_of(world: World, models: list[str]) -> dict[Role, list[Id]]:
    seats: dict[Role, list[Id]] = {}
    for name in models:
        mmm = world.get(names.KIND, NAMESPACE, name)
        for child in children(world, mmm) if mmm else ():
            ref = Id(child["kind"], NAMESPACE, child["metadata"]["name"])
            seats.setdefault((child["kind"], role(child)), []).append(ref)
    return seats


def sample(all_edits: list[Edit]) -> list[Edit]:
    """All edits, or some of them that differ by the seed."""
    wanted = [edit for edit in all_edits if chosen(str(edit))]
    few = min(len(wanted), 40)
    return wanted if FULL else random.Random(SEED).sample(wanted, few)


async def work(
    bench: Bench, refs: list[Id], orders: list[Edit] | list[Manifest] | list[Id], do: Callable[..., object]
) -> list[str]:
    """What went wrong: each child takes the next order as soon as it is done with the one before."""
    left, failures = [order for order in orders if chosen(plan_of(refs[0], order))], []

    async def seat(ref: Id) -> None:
        while left:
            order = left.pop()
            what, plan = "", plan_of(ref, order)
            try:
                await do(bench, ref, order)  # type: ignore[misc]
            except AssertionError as error:
                what = str(error)
                failures.append(f"{plan}: {what}\n{again('drift', plan)}")
                await bench.renew(ref)  # what this edit broke must not break the next one
            record("drift", plan, what)

    await asyncio.gather(*map(seat, refs))
    return failures


def plan_of(ref: Id, order: Edit | Manifest | Id) -> str:
    """The name under which an order is reported and played again."""
    match order:
        case Edit():
            return str(order)
        case Id():
            return f"{ref.kind}: delete"
        case _:
            return f"{ref.kind}: add {json.dumps(order)}"


async def edit_one(bench: Bench, ref: Id, edit: Edit) -> None:
    before = bench.child(ref)
    since = time.monotonic()
    edited = await make_edit(bench, ref, edit, before)
    if edited is None:
        return  # the API server allows nobody to change it
    if intent(edited) == intent(before):
        return  # what was taken away is what the API server puts in by itself
    await bench.mended(ref, before, edited)
    mended = intent(bench.child(ref))
    await asyncio.sleep(QUIET_SECONDS)
    again = differing(mended, intent(bench.child(ref)))
    assert (mended == intent(bench.child(ref))) is True, f"it was mended, and changed again: {again}"
    writes = [str(write) for write in bench.writes(ref, since)]
    assert 1 <= len(writes) <= (2 if edit.disowns else 1), "; ".join(writes)
    assert f"{ref.kind} {ref.name}" in bench.log(), "the log does not name the child"


async def make_edit(bench: Bench, ref: Id, edit: Edit, live: Manifest) -> Manifest | None:
    """The child as the API server stored the edit; None when it refuses all of them."""
    for change in edit.patches(live):
        answer = await bench.send(ref, change, JSON_PATCH)
        if answer.is_success:
            return dict(answer.json())
    return None


async def add_one(bench: Bench, ref: Id, addition: Manifest) -> None:
    since = time.monotonic()
    answer = await bench.send(ref, addition, STRATEGIC)
    assert answer.is_success, answer.text
    wanted = intent(answer.json())
    await bench.world.until(lambda: version(bench.child(ref)) >= version(answer.json()), PATIENCE_SECONDS, "seen")
    await asyncio.sleep(2 * QUIET_SECONDS)
    now = intent(bench.child(ref))
    assert (now == wanted) is True, f"what somebody added is gone: {differing(wanted, now)}"
    writes = [str(write) for write in bench.writes(ref, since)]
    assert not writes, f"written: {writes}"


async def delete_one(bench: Bench, ref: Id, _: Id) -> None:
    before, since = bench.child(ref), time.monotonic()
    await bench.world.api.delete(ref)

    def back() -> bool:
        now = bench.child(ref)
        return now["metadata"].get("uid", "") not in ("", before["metadata"]["uid"]) and not missing(before, now)

    await bench.world.until(back, PATIENCE_SECONDS, f"{ref} is there again")
    await asyncio.sleep(QUIET_SECONDS)
    made = [str(write) for write in bench.writes(ref, since) if write.created]
    assert len(made) == 1, json.dumps(made)
