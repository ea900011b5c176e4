"""Changes that walk the whole schema of the CRD: what is valid comes true, and what is not disturbs nothing."""

import asyncio
from collections import Counter

import httpx
import pytest

from mmm_operator.snapshot import Manifest
from tests.chaos.essence import KINDS
from tests.chaos.generator.chains import Chain, fields_of, make_chains
from tests.chaos.generator.moves import Verdict
from tests.chaos.generator.offer import PRIORITY_CLASS, RUNTIME_CLASS, Offer
from tests.chaos.generator.propagation import PROPAGATION
from tests.chaos.generator.run import Place, Player
from tests.chaos.generator.schema import load_crd, spec_schema, walk
from tests.chaos.report import again, record
from tests.chaos.size import FULL, SEED, chosen, sized
from tests.chaos.trail import Trail
from tests.chaos.world import Api, Entrance, Kubelet, World
from tests.integration.operator_process import Operator

SCHEMA = spec_schema(load_crd())
AT_ONCE = 8


@pytest.fixture(scope="module")
def chains(offer: Offer) -> list[Chain]:
    return make_chains(SCHEMA, offer, SEED, None if FULL else sized(40, 0))


@pytest.fixture(scope="module", autouse=True)
def classes(api: httpx.Client) -> None:
    body: Manifest = {"metadata": {"name": PRIORITY_CLASS}, "value": 7}
    api.post("/apis/scheduling.k8s.io/v1/priorityclasses", json=body).raise_for_status()
    body = {"metadata": {"name": RUNTIME_CLASS}, "handler": "chaos"}
    api.post("/apis/node.k8s.io/v1/runtimeclasses", json=body).raise_for_status()


def test_every_field_is_entered_in_the_table_of_what_shows_it() -> None:
    fields = {str(field) for field in walk(SCHEMA) if field.leaf}
    assert fields == set(PROPAGATION), "say in tests/chaos/generator/propagation.py which child shows the field"
    assert len(KINDS) >= 5


def test_the_chains_change_every_field_and_a_third_of_them_is_invalid(chains: list[Chain]) -> None:
    verdicts = sum((chain.verdicts for chain in chains), Counter[Verdict]())
    assert verdicts[Verdict.INVALID] >= 0.3 * verdicts.total()
    if FULL:
        assert verdicts.total() >= 500
        fields = [field for field in walk(SCHEMA) if field.leaf]
        valid = {str(field) for field in fields if not field.refused}
        assert valid - set(fields_of(chains, [Verdict.VALID, Verdict.HOPELESS])) == set()
        assert {*map(str, fields)} - set(fields_of(chains, [Verdict.INVALID])) == set()


async def test_what_is_valid_comes_true_and_what_is_not_changes_nothing(
    entrance: Entrance, api: httpx.Client, trail: Trail, steady_operator: Operator, offer: Offer, chains: list[Chain]
) -> None:
    print(f"seed {SEED}")  # noqa: T201  (what replays a failure)
    async with Api.open(entrance) as admin, World(admin).watched() as world:
        Kubelet(world, "chain-")
        place = Place(world, trail, api, offer, SCHEMA)
        failures = await play(place, [chain for chain in chains if chosen(chain.name)])
    assert not failures, "\n\n".join(failures)


async def play(place: Place, chains: list[Chain]) -> list[str]:
    """What went wrong, some chains at a time."""
    seats = asyncio.Semaphore(AT_ONCE)

    async def one(chain: Chain) -> str | None:
        async with seats:
            try:
                await Player(place, chain).play()
            except AssertionError as error:
                record("generator", chain.name, str(error))
                return f"{error}\n{again('generator', chain.name)}"
            record("generator", chain.name)
            return None

    return [failure for failure in await asyncio.gather(*map(one, chains)) if failure]
