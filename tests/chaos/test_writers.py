"""Others write to the same objects at the same time: the operator neither gives in nor goes on quarrelling."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import httpx
import pytest

from mmm_operator import names
from tests.chaos.drift import managed_fields, missing
from tests.chaos.essence import children, falsehoods
from tests.chaos.generator.offer import Offer
from tests.chaos.generator.run import Place, Space
from tests.chaos.generator.schema import Spec, load_crd, spec_schema
from tests.chaos.report import again, record
from tests.chaos.size import SEED, only, seconds
from tests.chaos.trail import Trail
from tests.chaos.world import Api, Entrance, Id, Kubelet, World
from tests.chaos.writers import Storm, write_politely
from tests.integration.operator_process import Operator

CONVERGE_SECONDS = 30.0
AUTOSCALER_SECONDS = 60.0
WISHES: tuple[Spec, ...] = (
    {"replicas": 1},
    {"replicas": 2},
    {"replicas": 2, "autoscaling": {"minReplicas": 1, "maxReplicas": 4}},
)
AUTOSCALED = 2


@pytest.fixture(scope="module")
def place(api: httpx.Client, trail: Trail, offer: Offer, steady_operator: Operator) -> Callable[[World], Place]:
    """Where namespaces are made, in a world that is watched."""
    return lambda world: Place(world, trail, api, offer, spec_schema(load_crd()))


@asynccontextmanager
async def spaces(entrance: Entrance, place: Callable[[World], Place], prefix: str) -> AsyncIterator[list[Space]]:
    """Namespaces with one settled MultimodalModel each."""
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(Api.open(entrance))
        world = await stack.enter_async_context(World(admin).watched())
        Kubelet(world, prefix)
        ground = place(world)
        found = [await stack.enter_async_context(Space.open(ground, f"{prefix}-{n}")) for n in range(len(WISHES))]
        for space, wish in zip(found, WISHES, strict=True):
            await space.create({**ground.offer.start(), **wish})
        for space in found:
            await space.at_rest(ready=True)
        # The controllers' autoscaler comes by every 15 s: what it says then is news, whatever else happens.
        soon = time.monotonic() + AUTOSCALER_SECONDS
        await found[AUTOSCALED].until(lambda: autoscaler_spoke(found[AUTOSCALED]), soon, "a word of the autoscaler")
        await found[AUTOSCALED].at_rest(ready=True)
        yield found


def beside_the_autoscaler(space: Space) -> dict[str, object]:
    """The status without what the autoscaler says."""
    status = space.mmm()["status"]
    conditions = [item for item in status["conditions"] if item["type"] != "AutoscalingActive"]
    return {**status, "conditions": conditions}


def is_word(write: str) -> bool:
    """Whether it tells people of something and changes nothing."""
    return write.startswith(("patch multimodalmodels/status ", "create events "))


def autoscaler_spoke(space: Space) -> bool:
    conditions = space.mmm().get("status", {}).get("conditions", ())
    return any(item["type"] == "AutoscalingActive" and item["status"] != "Unknown" for item in conditions)


def everything(found: list[Space]) -> Iterator[Id]:
    """The MultimodalModels and their children."""
    for space in found:
        mmm = space.mmm()
        yield Id(names.KIND, space.namespace, mmm["metadata"]["name"])
        for child in children(space.place.world, mmm):
            yield Id(child["kind"], space.namespace, child["metadata"]["name"])


def uid_of(found: list[Space], ref: Id) -> str:
    """Which object has the name now; nobody's when it has just gone."""
    objects = found[0].place.world.objects
    return str(objects[ref]["metadata"]["uid"]) if ref in objects else "gone"


@only("storm")
async def test_after_a_storm_of_writes_all_is_as_the_objects_say(
    entrance: Entrance, api: httpx.Client, trail: Trail, place: Callable[[World], Place]
) -> None:
    print(f"seed {SEED}")  # noqa: T201  (what replays a failure)
    async with spaces(entrance, place, "storm") as found:
        began = time.monotonic()
        storm = Storm(api, lambda: everything(found), partial(uid_of, found), SEED)
        await storm.blow(seconds(8, 600))
        calm = time.monotonic()
        waits = [await after_the_storm(space, calm) for space in found]
        problems = [problem for space in found for problem in await compared(space)] if not any(waits) else []
        problems += [wait for wait in waits if wait]
        written = len([write for space in found for write in trail.writes(space.namespace, began)])
        if written > 2 * storm.taken:
            problems.append(f"{written} writes of the operator to {storm.taken} of the others: {storm.answers}")
    print(f"{storm.taken} writes were taken, {written} were the operator's")  # noqa: T201  (figures of the report)
    record("writers", "storm", "; ".join(problems))
    assert not problems, "\n".join([*problems, again("writers", "storm")])


async def after_the_storm(space: Space, calm: float) -> str:
    """What is not as it should be once the operator had its time: as much for the last one as for the first."""
    space.generation = (await space.live())["metadata"]["generation"]
    try:
        await space.until(lambda: is_settled(space), calm + CONVERGE_SECONDS, "settled")
    except AssertionError as error:
        return f"{space.namespace}: {error}"
    return ""


async def compared(space: Space) -> list[str]:
    """What is otherwise than a fresh one, once it is at rest."""
    await space.at_rest(ready=True)
    return [f"{space.namespace}: {problem}" for problem in await compare_with_a_fresh_one(space)]


def is_settled(space: Space) -> bool:
    mmm = space.mmm()
    observed = mmm.get("status", {}).get("observedGeneration")
    return observed == mmm["metadata"]["generation"] and not falsehoods(mmm, space.children(), space.pods())


async def compare_with_a_fresh_one(space: Space) -> list[str]:
    """What the operator puts into the children of a fresh object of the same spec, and is otherwise here."""
    mmm = await space.live()
    async with Space.open(space.place, f"{space.namespace}-fresh") as fresh:
        await fresh.create(mmm["spec"])
        await fresh.at_rest(ready=True)
        here = {(child["kind"], child["metadata"]["name"]): child for child in space.children()}
        problems = []
        for child in fresh.children():
            wanted = {**child, "metadata": {**child["metadata"], "ownerReferences": []}}
            twin = here.get((child["kind"], child["metadata"]["name"]))
            lost = missing(wanted, twin) if twin else ["all of it"]
            lost = [field for field in lost if not field.endswith((names.ANNOTATION_APPLIED, names.ANNOTATION_OWNER))]
            problems += [f"{child['kind']}: {field}" for field in lost]
            assert managed_fields(child), "nothing was compared"
    return problems


@only("polite")
async def test_who_keeps_to_their_own_fields_costs_no_write(
    entrance: Entrance, api: httpx.Client, trail: Trail, place: Callable[[World], Place]
) -> None:
    async with spaces(entrance, place, "calm") as found:
        before, began = beside_the_autoscaler(found[AUTOSCALED]), time.monotonic()
        count = await write_politely(api, sorted(everything(found)), seconds(3, 60))
        await asyncio.sleep(1.0)
        writes = [str(write) for space in found for write in trail.writes(space.namespace, began)]
        # The autoscaler, which has no metrics here, has its own things to say now and then, and they are passed on.
        told = [str(write) for write in trail.writes(found[AUTOSCALED].namespace, began) if is_word(str(write))]
        writes = [write for write in writes if write not in told]
        assert beside_the_autoscaler(found[AUTOSCALED]) == before, "it was not the autoscaler who had something to say"
    record("writers", "polite", "; ".join(writes))
    assert count > 10
    assert not writes, "\n".join([*writes, again("writers", "polite")])
