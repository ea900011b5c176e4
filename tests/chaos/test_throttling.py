"""The API server asks for patience, and gets it: no hot loop, and everything is done in the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.chaos.faults import answer, every
from tests.chaos.grounds import OpenStage
from tests.chaos.report import again, record
from tests.chaos.size import only, sized
from tests.chaos.stage import Stage
from tests.chaos.world import Api
from tests.integration.operator_process import ACCOUNT, NAMESPACE

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

MODELS = sized(8, 40)
STORM_SECONDS = sized(4, 20)
RETRY_AFTER = 2
CONVERGED_SECONDS = 60.0
# A watch that is told to wait asks again, and so does each object: that much is not a hot loop.
MOST_REQUESTS = 2.0
FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def nominal(open_stage: OpenStage) -> int:
    """How many requests it takes to serve the models when nobody is in the way."""
    async with open_stage() as stage:
        await stage.operator.start()
        await stage.watching()
        before = len(stage.proxy.seen)
        await create_many(stage, MODELS)
        await all_serve(stage, MODELS)
        await stage.quiet()
        return len(stage.proxy.seen) - before


@only("storm-429")
async def test_a_storm_of_429_is_sat_out(open_stage: OpenStage, nominal: int) -> None:
    async with open_stage() as stage:
        await stage.operator.start()
        await stage.watching()
        before = len(stage.proxy.seen)
        with stage.proxy.fault(every, answer(429, RETRY_AFTER)):
            await create_many(stage, MODELS)
            await asyncio.sleep(STORM_SECONDS)
        await all_serve(stage, MODELS)
        await stage.quiet()
        told = [seen for seen in stage.proxy.seen if seen.status == 429]
        spent = len(stage.proxy.seen) - before
        problems = impatient(stage) + stage.operator.complaints()
    what = "; ".join(map(str, problems))
    if not told or spent > MOST_REQUESTS * nominal:
        what += f"; {spent} requests, {len(told)} of them refused, instead of {nominal} without a storm"
    record("throttle", "storm-429", what)
    assert not what, f"{what}\n{again('throttle', 'storm-429')}"


@only("one-seat")
async def test_with_a_single_seat_everything_is_done(open_stage: OpenStage, nominal: int) -> None:
    async with open_stage() as stage, one_seat(stage.world.api):
        await asyncio.sleep(2)  # the API server looks at its flow schemas about once a second
        await stage.operator.start()
        await stage.watching()
        before = len(stage.proxy.seen)
        await create_many(stage, MODELS)
        await all_serve(stage, MODELS)
        await stage.quiet()
        spent = len(stage.proxy.seen) - before
        what = "; ".join(map(str, stage.operator.complaints()))
    if spent > MOST_REQUESTS * nominal:
        what += f"; {spent} requests instead of {nominal} with many seats"
    record("throttle", "one-seat", what)
    assert not what, f"{what}\n{again('throttle', 'one-seat')}"


async def create_many(stage: Stage, models: int) -> None:
    """So many models, at once."""
    for number in range(models):
        stage.model = f"clip-{number:04}"
        await stage.create()


async def all_serve(stage: Stage, models: int) -> None:
    """Return once all of them are Ready."""

    def serving() -> bool:
        found = [item for item in stage.world.of(names.KIND, stage.namespace) if is_ready(item)]
        return len(found) == models

    await stage.until(serving, "all models serve", CONVERGED_SECONDS)


def is_ready(mmm: Manifest) -> bool:
    """Whether the status says so."""
    conditions = mmm.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def impatient(stage: Stage) -> list[str]:
    """The writes that came again before the time that the API server had named."""
    found, told = [], dict[str, float]()
    for seen in stage.proxy.seen:
        key = str(seen.request)
        # A tenth is forgiven: the answer is on its way while the clock runs.
        if seen.request.is_write and seen.at < told.get(key, 0.0) + 0.9 * RETRY_AFTER:
            found.append(f"{key} again after {seen.at - told[key]:.2f} s")
        if seen.request.is_write and seen.status == 429 and seen.request.method != "POST":
            told[key] = seen.at
    return found[:5]


@asynccontextmanager
async def one_seat(api: Api) -> AsyncIterator[None]:
    """The operator's account may have one request at a time in the API server."""
    subject = {"kind": "ServiceAccount", "serviceAccount": {"name": ACCOUNT, "namespace": NAMESPACE}}
    resources = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    queuing = {"queues": 1, "handSize": 1, "queueLengthLimit": 50}
    levels = {
        # Seats are shared out by weight: beside this one, a weight of 1 is a single seat.
        "chaos-everybody": {"nominalConcurrencyShares": 100000, "lendablePercent": 100, "limitResponse": REJECT},
        "chaos-one-seat": {
            "nominalConcurrencyShares": 1,
            "borrowingLimitPercent": 0,
            "limitResponse": {"type": "Queue", "queuing": queuing},
        },
    }
    schema = {
        "priorityLevelConfiguration": {"name": "chaos-one-seat"},
        "matchingPrecedence": 2,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": [subject], "resourceRules": [resources]}],
    }
    for name, limited in levels.items():
        spec = {"type": "Limited", "limited": limited}
        await api.post(f"{FLOW}/prioritylevelconfigurations", {"metadata": {"name": name}, "spec": spec})
    await api.post(f"{FLOW}/flowschemas", {"metadata": {"name": "chaos-one-seat"}, "spec": schema})
    try:
        yield
    finally:
        await api.remove(f"{FLOW}/flowschemas/chaos-one-seat")
        for name in levels:
            await api.remove(f"{FLOW}/prioritylevelconfigurations/{name}")


REJECT = {"type": "Reject"}
