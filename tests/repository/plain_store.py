"""A store that nobody ever published to: objects that came by plain PUTs."""

import functools
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from mmm_repository import FetchOptions, Plain, Sight, StorageOptions, fetch, look
from mmm_repository.storage import parse_uri
from mmm_repository.store import open_store
from mmm_repository.unverified import plain_version
from tests.repository.chaos.servers import Store

DEFAULTS = FetchOptions()
numbers = itertools.count()


@dataclass(frozen=True)
class PlainStore:
    """A prefix of its own on a real server."""

    server: Store
    prefix: str

    @classmethod
    def on(cls, server: Store) -> "PlainStore":
        """The next prefix that nobody uses."""
        return cls(server, f"plain-{next(numbers)}")

    @property
    def uri(self) -> str:
        return f"s3://{self.server.bucket}/{self.prefix}"

    @property
    def storage(self) -> StorageOptions:
        return self.server.options()

    def put(self, path: str, content: bytes) -> None:
        client_of(self.server).put_object(Bucket=self.server.bucket, Key=f"{self.prefix}/{path}", Body=content)

    def remove(self, path: str) -> None:
        client_of(self.server).delete_object(Bucket=self.server.bucket, Key=f"{self.prefix}/{path}")

    def fill(self, version: str, directory: Path) -> None:
        """Put every file of a directory below the version."""
        for path in directory.rglob("*"):
            if path.is_file():
                self.put(f"{version}/{path.relative_to(directory).as_posix()}", path.read_bytes())

    async def plain(self, version: str) -> Plain:
        """The version, as one look shows it."""
        address = parse_uri(self.uri)
        found = await plain_version(open_store(address, self.storage), address, version)
        assert found is not None
        return found

    async def seen(self, *pinned: str, before: Sight | None = None) -> Sight:
        return await look(self.uri, self.storage, pinned, before)

    async def fetch(self, version: str, digest: str, root: Path, options: FetchOptions = DEFAULTS) -> Path:
        return await fetch(self.uri, version, digest, root, self.storage, options)


@functools.cache
def client_of(server: Store) -> Any:
    """What other people put objects with."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name=server.region,
        config=Config(s3={"addressing_style": "path"}),
    )
