"""What it costs the operator to follow many repositories in which nothing happens."""

import asyncio
import base64
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import uvloop

from dev.bench.report import Figure
from dev.localcluster.s3 import S3Server
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key, Manifest
from mmm_operator.sources.access import Access
from mmm_operator.sources.endpoints import Endpoints
from mmm_operator.sources.follower import Follower
from mmm_repository import Sight, StorageOptions, look
from mmm_repository.manifest import MANIFEST_NAME, FileEntry
from mmm_repository.manifest import Manifest as VersionManifest
from mmm_repository.storage import parse_uri, secret
from mmm_repository.store import open_store

BUCKET = "bench"
INTERVAL_SECONDS = 10
WATCHED_SECONDS = 60.0
USUAL_SECONDS = 60


class Counted:
    """Looks as the operator takes them, counted; the first ones of all prefixes end the warming up."""

    def __init__(self, prefixes: int) -> None:
        self.warm = asyncio.Event()
        self.count = 0
        self._prefixes = prefixes

    async def __call__(self, uri: str, storage: StorageOptions, pinned: Collection[str], before: Sight | None) -> Sight:
        found = await look(uri, storage, pinned, before)
        self.count += 1
        if self.count >= self._prefixes:
            self.warm.set()
        return found


def measure_polling(directory: Path, prefixes: int) -> dict[str, Figure]:
    """CPU of this process, in which nothing else happens, for each look and for all prefixes once a minute."""
    (directory / "s3" / "data" / BUCKET).mkdir(parents=True)
    with S3Server(directory / "s3") as server:
        looks, cpu_seconds = uvloop.run(_follow(server, prefixes))  # as the operator does
    per_look = cpu_seconds / looks
    print(f"  polling: {looks} looks at {prefixes} prefixes, {1000 * per_look:.2f} ms of CPU each", flush=True)
    return {
        "polling: CPU per look": Figure(1000 * per_look, "ms", "lower"),
        f"polling: CPU for {prefixes} prefixes every {USUAL_SECONDS} s": Figure(
            100 * per_look * prefixes / USUAL_SECONDS, "% of a core", "lower", 2
        ),
    }


async def _publish(server: S3Server, prefixes: int) -> None:
    """A version under every prefix: nothing but its manifest, which is all that is looked at."""
    manifest = VersionManifest(files=(FileEntry(path="config.json", size=2, sha256="0" * 64),)).canonical_bytes()
    keys = {"access_key_id": secret(server.access_key), "secret_access_key": secret(server.secret_key)}
    store = open_store(parse_uri(f"s3://{BUCKET}"), StorageOptions(endpoint=server.endpoint, **keys))
    for number in range(prefixes):
        await store.create(f"{number}/1/{MANIFEST_NAME}", manifest)


async def _follow(server: S3Server, prefixes: int) -> tuple[int, float]:
    await _publish(server, prefixes)

    async def read(kind: str, namespace: str, name: str) -> Manifest | None:
        keys = {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}
        data = {key: base64.b64encode(value.encode()).decode() for key, value in keys.items()}
        return {"metadata": {"resourceVersion": "1"}, "data": data}

    counted = Counted(prefixes)
    settings = Settings(server_image="none")
    follower = Follower(Access(read, Endpoints(())), lambda _: None, settings, counted)
    for number in range(prefixes):
        await follower.heard(Key("bench", f"m-{number}"), _model(server, number), "1", 0.0)
    await counted.warm.wait()
    before, spent = counted.count, time.process_time()
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), WATCHED_SECONDS)
    found = counted.count - before, time.process_time() - spent
    await follower.close()
    return found


def _model(server: S3Server, number: int) -> MultimodalModel:
    return MultimodalModel.model_validate(
        {
            "metadata": {"name": f"m-{number}", "namespace": "bench"},
            "spec": {
                "model": {
                    "uri": f"s3://{BUCKET}/{number}",
                    "version": "1",
                    "pollIntervalSeconds": INTERVAL_SECONDS,
                },
                "storage": {"endpoint": server.endpoint, "credentialsSecretRef": {"name": "s3"}},
            },
        }
    )
