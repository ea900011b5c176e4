"""Two S3 servers of different descent: versitygw over a directory, and moto in memory."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.error import URLError
from urllib.request import Request, urlopen

from dev.localcluster.layout import free_ports
from dev.localcluster.s3 import S3Server
from mmm_repository import StorageOptions

START_SECONDS = 60.0


@dataclass(frozen=True)
class Store:
    """A server with a bucket of that name, and how to reach it."""

    name: str
    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    def options(self, endpoint: str | None = None, **more: object) -> StorageOptions:
        """How to reach it, or a proxy before it, as somebody impatient does."""
        return StorageOptions.model_validate(
            {
                "endpoint": endpoint or self.endpoint,
                "region": self.region,
                "access_key_id": self.access_key,
                "secret_access_key": self.secret_key,
                "connect_timeout_seconds": 2.0,
                **more,
            }
        )


def versity(server: S3Server, bucket: str) -> Store:
    """The server of all other tests, with one more bucket."""
    (server.directory / "data" / bucket).mkdir(exist_ok=True)
    return Store("versitygw", server.endpoint, bucket, server.access_key, server.secret_key)


@contextmanager
def moto(bucket: str) -> Iterator[Store]:
    """A server in a process of its own, which ends with the block."""
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = Store("moto", f"http://127.0.0.1:{port}", bucket, "test-access-key", "test-secret-key")
    try:
        make_bucket(store)
        yield store
    finally:
        process.kill()
        process.wait()


def make_bucket(store: Store) -> None:
    """Make the bucket as soon as the server answers."""
    # moto looks at who asks, but not at whether it is true.
    who = f"AWS4-HMAC-SHA256 Credential={store.access_key}/20260101/{store.region}/s3/aws4_request"
    request = Request(f"{store.endpoint}/{store.bucket}", method="PUT", headers={"Authorization": who})
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urlopen(request, timeout=5).close()
            return
        except (URLError, OSError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)
