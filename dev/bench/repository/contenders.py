"""One turn of one contender, in a process of its own, whose argument is the job.

The job is a JSON object; the answer is one line of JSON: seconds, CPU seconds and the most memory that the process had.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dev.bench.operator.usage import memory_mebibytes
from mmm_repository import FetchOptions, StorageOptions, fetch, publish

DEFAULTS = FetchOptions()


@dataclass(frozen=True)
class Job:
    """What to do against which server; `local` is the model's directory, or where it is to be put."""

    contender: str
    action: str
    local: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str
    bucket: str
    prefix: str
    digest: str = ""

    @property
    def storage(self) -> StorageOptions:
        return StorageOptions.model_validate(
            {
                "endpoint": self.endpoint,
                "region": self.region,
                "access_key_id": self.access_key,
                "secret_access_key": self.secret_key,
            }
        )

    @property
    def names(self) -> list[str]:
        """The files of the version, as its publisher knows them."""
        return sorted(path.relative_to(self.local).as_posix() for path in Path(self.local).rglob("*") if path.is_file())


@dataclass(frozen=True)
class Turn:
    """What one turn cost; `digest` is what was published."""

    seconds: float
    cpu_seconds: float
    memory: float
    digest: str = ""


async def mmm(job: Job) -> str:
    """Publish or fetch with the project's own code."""
    uri = f"s3://{job.bucket}/{job.prefix}"
    if job.action == "publish":
        return (await publish(Path(job.local), uri, "1", job.storage)).digest
    await fetch(uri, "1", job.digest, Path(job.local), job.storage)
    return job.digest


async def plain(job: Job) -> str:
    """Move the same bytes with obstore and nothing else."""
    # Here, and not above: each contender pays for its own imports only.
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        job.bucket,
        endpoint=job.endpoint,
        region=job.region,
        access_key_id=job.access_key,
        secret_access_key=job.secret_key,
        # As patient as ours: on a busy disk, an upload that is given up and sent again would only seem slow.
        client_options={"allow_http": True, "timeout": "10 minutes"},
    )
    slots = asyncio.Semaphore(DEFAULTS.parallel_parts)

    async def send(name: str) -> None:
        async with slots:
            await obstore.put_async(store, f"{job.prefix}/1/{name}", Path(job.local) / name)

    async def receive(key: str, size: int) -> None:
        location = Path(job.local) / key.removeprefix(f"{job.prefix}/1/")
        location.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(location, os.O_WRONLY | os.O_CREAT)
        starts = range(0, size, DEFAULTS.part_bytes)
        await asyncio.gather(
            *(part(descriptor, key, start, min(start + DEFAULTS.part_bytes, size)) for start in starts)
        )
        os.close(descriptor)

    async def part(descriptor: int, key: str, start: int, end: int) -> None:
        async with slots:
            content = await obstore.get_range_async(store, key, start=start, end=end)
            await asyncio.to_thread(os.pwrite, descriptor, content, start)

    if job.action == "publish":
        await asyncio.gather(*map(send, job.names))
        return ""
    objects = [entry for chunk in obstore.list(store, f"{job.prefix}/1/") for entry in chunk]
    # Some files at a time, as each keeps a descriptor open.
    for begin in range(0, len(objects), 500):
        await asyncio.gather(*(receive(entry["path"], entry["size"]) for entry in objects[begin : begin + 500]))
    return ""


async def boto(job: Job) -> str:
    """Move the same bytes with boto3's managed transfer."""
    import boto3
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    client = boto3.client(
        "s3",
        endpoint_url=job.endpoint,
        region_name=job.region,
        aws_access_key_id=job.access_key,
        aws_secret_access_key=job.secret_key,
    )
    with create_transfer_manager(client, TransferConfig()) as manager:
        if job.action == "publish":
            waiting = [
                manager.upload(f"{job.local}/{name}", job.bucket, f"{job.prefix}/1/{name}") for name in job.names
            ]
        else:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=job.bucket, Prefix=f"{job.prefix}/1/")
            keys = [entry["Key"] for page in pages for entry in page["Contents"]]
            waiting = [manager.download(job.bucket, key, str(made(job, key))) for key in keys]
        for future in waiting:
            future.result()
    return ""


def made(job: Job, key: str) -> Path:
    """Where an object goes, its directory made."""
    location = Path(job.local) / key.removeprefix(f"{job.prefix}/1/")
    location.parent.mkdir(parents=True, exist_ok=True)
    return location


CONTENDERS: dict[str, Callable[[Job], Coroutine[Any, Any, str]]] = {"mmm": mmm, "boto3": boto, "plain": plain}


def warm(contender: str) -> None:
    """Import what the contender needs: an import is paid once, however much is moved."""
    if contender == "boto3":
        import boto3.s3.transfer  # noqa: F401


async def take(job: Job) -> Turn:
    """Do the job once."""
    began, spent = time.monotonic(), time.process_time()
    digest = await CONTENDERS[job.contender](job)
    seconds, cpu = time.monotonic() - began, time.process_time() - spent
    return Turn(seconds, cpu, memory_mebibytes(os.getpid(), "VmHWM"), digest)


def main() -> None:
    """Print what the job on the command line cost."""
    job = Job(**json.loads(sys.argv[1]))
    warm(job.contender)
    print(json.dumps(asdict(asyncio.run(take(job)))))
