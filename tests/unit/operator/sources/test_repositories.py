"""When a look is waited for, and when it has time."""

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from mmm_operator.api.conditions import Condition
from mmm_operator.api.status import ModelState, ModelStatus, Status
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key, Manifest
from mmm_operator.sources.access import Access
from mmm_operator.sources.endpoints import Endpoints
from mmm_operator.sources.follower import Follower
from mmm_operator.sources.repositories import Repositories
from mmm_operator.sources.resolver import Resolver
from mmm_repository.follow import Seen, Sight
from mmm_repository.resolve import ResolvedVersion
from mmm_repository.storage import StorageOptions
from tests.unit.operator.runtime.virtual_time import run

KEY = Key("default", "clip")
URI = "s3://models/clip"
SETTINGS = Settings(server_image="server:1")
ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")


async def no_secret(kind: str, namespace: str, name: str) -> Manifest | None:
    return None


async def resolve(uri: str, version: str, storage: StorageOptions) -> ResolvedVersion:
    return ResolvedVersion(version, ONE, 10, (), {})


async def look(uri: str, storage: StorageOptions, pinned: Collection[str], before: Sight | None) -> Sight:
    newest = Seen("2", TWO)
    return Sight(newest=newest, whole=newest, pinned={version: Seen(version, ONE) for version in pinned})


def make_mmm(generation: int, **model: Any) -> MultimodalModel:
    meta = {"name": "clip", "namespace": "default", "generation": generation}
    return MultimodalModel.model_validate({"metadata": meta, "spec": {"model": {"uri": URI, **model}}})


def seen(mmm: MultimodalModel, status: Status) -> tuple[str, str | None, bool, float]:
    """The wanted version, its digest, whether more is known than that, and how long it took."""

    async def ask() -> tuple[str, str | None, bool, float]:
        access = Access(no_secret, Endpoints(()))
        sources = Repositories(
            Resolver(access, lambda _: None, SETTINGS, resolve), Follower(access, lambda _: None, SETTINGS, look)
        )
        resolution, update = await sources.look(KEY, mmm, status)
        took = asyncio.get_running_loop().time()
        sources.forget(KEY)
        await sources.close()
        return resolution.version, resolution.digest, update is not None, took

    return run(ask())


SERVES = ModelState(version="1", digest=ONE, short_digest="", revision="a", since="", uri=URI)
SETTLED = Status(observed_generation=1, model=ModelStatus(current=SERVES, target=SERVES))


REFUSED = Condition(
    type="ModelResolved",
    status="False",
    reason="InvalidManifest",
    message="Version 3: no JSON",
    last_transition_time="",
)


def test_after_a_restart_an_earlier_refusal_stands_until_there_is_time_for_a_look() -> None:
    stored = SETTLED.model_copy(update={"conditions": (REFUSED,)})
    assert seen(make_mmm(1, updatePolicy="Auto"), stored)[:3] == ("", None, False)
    assert seen(make_mmm(2, updatePolicy="Auto"), stored)[:3] == ("2", TWO, True)


@pytest.mark.parametrize(
    ("mmm", "status", "expected"),
    [
        # What is new is told of at once, both ways.
        (make_mmm(1, version="1"), Status(), ("1", ONE, True)),
        (make_mmm(1, updatePolicy="Auto"), Status(), ("2", TWO, True)),
        # After a restart what is stored stands until there is time for a look.
        (make_mmm(1, version="1"), SETTLED, ("1", ONE, False)),
        (make_mmm(1, updatePolicy="Auto"), SETTLED, ("1", ONE, False)),
        # A changed spec is looked after at once.
        (make_mmm(2, version="1"), SETTLED, ("1", ONE, True)),
        (make_mmm(2, updatePolicy="Auto"), SETTLED, ("2", TWO, True)),
    ],
)
def test_what_is_known_at_the_first_look(
    mmm: MultimodalModel, status: Status, expected: tuple[str, str | None, bool]
) -> None:
    *found, took = seen(mmm, status)
    assert tuple(found) == expected
    assert took == 0.0


@pytest.mark.parametrize("uri", ["pvc://shared/clip", "oci://registry/clip"])
def test_what_only_pods_can_look_into_is_what_the_spec_says(uri: str) -> None:
    found = make_mmm(1, uri=uri, version="1", digest=TWO)
    assert seen(found, Status()) == ("1", TWO, False, 0.0)
