"""A real S3 server for the tests of this directory, and a repository of its own for every test."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.localcluster.s3 import S3Server
from mmm_repository import FetchOptions, PublishedVersion, StorageOptions, fetch, publish
from tests.repository.samples import make_model
from tests.secure import SecureServer, secure_server

DEFAULTS = FetchOptions()


@dataclass(frozen=True)
class Repository:
    """A bucket with one model's prefix in it, how to reach it, and where its files lie on the server's disk."""

    server: S3Server
    bucket: str
    storage: StorageOptions
    scratch: Path

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/clip"

    @property
    def disk(self) -> Path:
        return self.server.directory / "data" / self.bucket / "clip"

    def at(self, endpoint: str) -> StorageOptions:
        """The options to reach the same store at another address, impatiently."""
        return self.storage.model_copy(update={"endpoint": endpoint, "read_timeout_seconds": 1.0})

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """What a process needs to reach the store."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ACCESS_KEY_ID": self.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
            "AWS_ENDPOINT_URL": endpoint or self.server.endpoint,
        }

    def model(self, *, weights: int = 1000, seed: int = 0, shards: int = 1) -> Path:
        """A model directory on this machine."""
        directory = self.scratch / f"model-{weights}-{seed}-{shards}"
        return make_model(directory, weights=weights, seed=seed, shards=shards)

    async def published(self, version: str = "1", *, weights: int = 1000, shards: int = 1) -> PublishedVersion:
        """A version that is whole in the store."""
        directory = self.model(weights=weights, shards=shards)
        return await publish(directory, self.uri, version, self.storage)

    async def fetch(self, version: PublishedVersion, root: Path, options: FetchOptions = DEFAULTS) -> Path:
        """Where a version was brought to."""
        return await fetch(self.uri, version.version, version.digest, root, self.storage, options)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    with secure_server(tmp_path_factory.mktemp("tls")) as server:
        yield server


numbers = itertools.count()


@pytest.fixture
def repository(s3: S3Server, tmp_path: Path) -> Repository:
    bucket = f"bucket-{next(numbers)}"
    (s3.directory / "data" / bucket).mkdir()
    storage = StorageOptions.model_validate(
        {
            "endpoint": s3.endpoint,
            "region": s3.region,
            "access_key_id": s3.access_key,
            "secret_access_key": s3.secret_key,
            "connect_timeout_seconds": 5.0,  # a busy machine is slow to accept
        }
    )
    return Repository(server=s3, bucket=bucket, storage=storage, scratch=tmp_path / "scratch")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A model root that does not exist yet."""
    return tmp_path / "models"


@pytest.fixture(autouse=True)
def no_ambient_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the machine has set for AWS away from the tests."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
