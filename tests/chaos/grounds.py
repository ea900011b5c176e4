"""The fixtures of the plans that go through the fault proxy."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chaos.operators import Nursery
from tests.chaos.stage import PREFIX, Ground, Stage
from tests.chaos.world import Api, Entrance, Kubelet, World
from tests.integration.bucket import Bucket

OpenStage = Callable[..., AbstractAsyncContextManager[Stage]]

_numbers = itertools.count()


@pytest.fixture(scope="session")
def versions(bucket: Bucket) -> None:
    """Three versions of one model."""
    for version in ("1", "2", "3"):
        bucket.publish("chaos", version)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ground(
    entrance: Entrance, bucket: Bucket, account: Path, versions: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Ground]:
    """What the stages stand on: a picture of the cluster, a kubelet of sorts, and operators that start quickly."""
    async with Api.open(entrance) as api, Nursery.open() as nursery, World(api).watched() as world:
        yield Ground(
            world, Kubelet(world, PREFIX), nursery, entrance, account, bucket, tmp_path_factory.mktemp("stages")
        )


@pytest.fixture(scope="session")
def open_stage(ground: Ground) -> OpenStage:
    """Opens a stage in a new namespace; takes the operator's settings."""
    return lambda **settings: Stage.open(ground, f"{PREFIX}{next(_numbers)}", **settings)
