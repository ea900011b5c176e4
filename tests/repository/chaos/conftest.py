"""One version on two servers, and a record of every plan."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from dev.localcluster.s3 import S3Server
from mmm_repository import publish
from tests.repository import faults
from tests.repository.chaos.ground import Ground
from tests.repository.chaos.servers import Store, moto, versity
from tests.repository.samples import contents_of, make_model

BUCKET = "chaos"
numbers = itertools.count()


@pytest.fixture(scope="session")
def moto_store() -> Iterator[Store]:
    with moto(BUCKET) as store:
        yield store


@pytest.fixture(params=["versitygw", "moto"])
async def ground(request: pytest.FixtureRequest, s3: S3Server, tmp_path: Path) -> Ground:
    """The version of the matrix: small files, and one of several parts."""
    store = versity(s3, BUCKET) if request.param == "versitygw" else request.getfixturevalue("moto_store")
    return await published_on(store, make_model(tmp_path / "model", weights=2_500_000, shards=2))


async def published_on(store: Store, directory: Path) -> Ground:
    """The model, published under a prefix of its own."""
    prefix = f"clip-{next(numbers)}"
    version = await publish(directory, f"s3://{store.bucket}/{prefix}", "1", store.options())
    return Ground(store, prefix, version, contents_of(directory))


@pytest.fixture
async def canary() -> AsyncIterator[faults.StallingProxy]:
    """A place to which nobody may be led; it counts what arrives."""
    async with faults.StallingProxy("http://127.0.0.1:9") as place:
        yield place
