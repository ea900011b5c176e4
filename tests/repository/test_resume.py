"""Parts that an earlier attempt left, put there by another client, and every reason not to go on with them."""

import hashlib
from pathlib import Path
from typing import Any

import boto3
import pytest

from dev.localcluster.s3 import S3Server
from mmm_repository import FileEntry, Phase, Progress, StorageOptions, publish, verify_version
from mmm_repository.leftovers import Refused, base_of, behind_proxy, open_leftovers
from mmm_repository.progress import ProgressMeter, ignore_progress
from mmm_repository.resume import cut_uploads
from mmm_repository.storage import parse_uri
from tests.repository import faults
from tests.repository.chaos.servers import moto
from tests.repository.conftest import Repository
from tests.repository.samples import MIB
from tests.repository.test_kills import parts_in, parts_sent
from tests.secure import SecureServer

KEY = "clip/1/model.safetensors"
PART = 8 * MIB
ENTRY = FileEntry(path="model.safetensors", size=30 * MIB, sha256="0" * 64)


def begin(repository: Repository, content: bytes, *numbers: int, sha256: str | None = None) -> None:
    """Leave an upload of the content in the bucket, with only these parts of it."""
    begin_at(repository.server.endpoint, repository.bucket, content, *numbers, sha256=sha256)


def begin_at(endpoint: str, bucket: str, content: bytes, *numbers: int, sha256: str | None = None) -> None:
    """The same at any server that takes the keys of the tests."""
    client: Any = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=S3Server.region,
        aws_access_key_id=S3Server.access_key,
        aws_secret_access_key=S3Server.secret_key,
    )
    recorded = {"sha256": sha256 or hashlib.sha256(content).hexdigest()}
    upload = client.create_multipart_upload(Bucket=bucket, Key=KEY, Metadata=recorded)["UploadId"]
    for number in numbers:
        part = content[(number - 1) * PART : number * PART]
        client.upload_part(Bucket=bucket, Key=KEY, UploadId=upload, PartNumber=number, Body=part)


async def publish_counting(repository: Repository, directory: Path) -> set[int]:
    """Publish version 1, verify it, and tell which parts of the large file it took."""
    async with faults.StallingProxy(repository.server.endpoint) as proxy:
        await publish(directory, repository.uri, "1", repository.at(proxy.endpoint))
    await verify_version(repository.uri, "1", repository.storage)
    return set(map(int, parts_sent(proxy)))


@pytest.fixture
def directory(repository: Repository) -> Path:
    """A model of which one file has four parts."""
    return repository.model(weights=30 * MIB)


@pytest.fixture
def content(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


@pytest.mark.parametrize("there", [{1}, {2, 4}, {1, 2, 3}, {1, 2, 3, 4}])
async def test_only_what_is_missing_is_sent(
    repository: Repository, directory: Path, content: bytes, there: set[int]
) -> None:
    begin(repository, content, *there)
    assert await publish_counting(repository, directory) == {1, 2, 3, 4} - there
    assert not parts_in(repository)


async def test_a_part_of_other_bytes_is_sent_again(repository: Repository, directory: Path, content: bytes) -> None:
    other = bytearray(content)
    other[9 * MIB] ^= 1
    begin(repository, bytes(other), 1, 2, 3, sha256=hashlib.sha256(content).hexdigest())
    assert await publish_counting(repository, directory) == {2, 4}


async def test_an_upload_of_another_file_is_not_gone_on_with(
    repository: Repository, directory: Path, content: bytes
) -> None:
    """Its parts fit, but what was recorded when it began is the hash of another file: all of it is sent anew."""
    begin(repository, content, 1, 2, 3, sha256="0" * 64)
    assert await publish_counting(repository, directory) == {1, 2, 3, 4}


async def test_an_upload_without_parts_is_not_gone_on_with(
    repository: Repository, directory: Path, content: bytes
) -> None:
    begin(repository, content)
    assert await publish_counting(repository, directory) == {1, 2, 3, 4}


async def test_nobody_else_s_upload_is_touched(repository: Repository, directory: Path, content: bytes) -> None:
    begin(repository, content, 1)
    await publish(directory, repository.uri, "10", repository.storage)
    assert parts_in(repository) == {"1"}


async def test_another_kind_of_server_tells_the_same(directory: Path, content: bytes) -> None:
    """Of other descent than the one of all other tests: parts, tags and the order to put them together."""
    with moto("models") as store:
        asking = open_leftovers(parse_uri("s3://models/clip"), store.options())
        assert asking is not None
        begin_at(store.endpoint, "models", content, 1, 3)
        async with faults.StallingProxy(store.endpoint) as proxy:
            await publish(directory, "s3://models/clip", "1", store.options(proxy.endpoint))
        await verify_version("s3://models/clip", "1", store.options())
        assert set(parts_sent(proxy)) == {"2", "4"}
        assert asking.uploads("clip/1") == {}


def test_where_nobody_can_be_asked(repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bucket, storage = parse_uri(repository.uri), repository.storage
    assert open_leftovers(bucket, storage) is not None
    assert open_leftovers(parse_uri(str(tmp_path)), storage) is None, "a directory"
    anonymous = storage.model_copy(update={"access_key_id": None, "secret_access_key": None})
    assert open_leftovers(bucket, anonymous) is None, "an identity that only the other client knows"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert open_leftovers(bucket, storage) is not None, "a proxy that is not to be used"
    assert open_leftovers(bucket, storage.model_copy(update={"use_environment_proxy": True})) is None
    assert not behind_proxy(base_of("b", StorageOptions(), "eu-central-1"))


async def test_a_store_that_does_not_say_is_no_failure(repository: Repository, directory: Path) -> None:
    address = parse_uri(repository.uri)
    wrong = open_leftovers(address, repository.storage.model_copy(update={"region": "mars-north-1"}))
    assert wrong is not None
    with pytest.raises(Refused, match="status 40"):
        wrong.uploads("clip/1")
    for server in (faults.answering("403 Forbidden"), faults.answering("200 OK", b"<html>"), faults.silent()):
        async with server:
            cut = await cut_uploads(address, repository.at(server.endpoint), "clip/1")
            assert await cut.go_on(KEY, directory, ENTRY, ProgressMeter(ignore_progress, Phase.UPLOAD, 1)) is None


async def test_an_upload_that_disappears_counts_for_nothing(
    repository: Repository, directory: Path, content: bytes
) -> None:
    begin(repository, content, 1, 2)
    seen: list[Progress] = []
    meter = ProgressMeter(seen.append, Phase.UPLOAD, len(content))
    cut = await cut_uploads(parse_uri(repository.uri), repository.storage, "clip/1")
    entry = FileEntry(path=ENTRY.path, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    await cut.clear()
    assert await cut.go_on(KEY, directory / ENTRY.path, entry, meter) is None
    assert (seen[-1].done_bytes, seen[-1].reused_bytes) == (0, 0)


def test_the_address_of_a_bucket() -> None:
    assert base_of("b", StorageOptions(), "eu-west-1").geturl() == "https://b.s3.eu-west-1.amazonaws.com"
    assert base_of("b.c", StorageOptions(), "eu-west-1").geturl() == "https://s3.eu-west-1.amazonaws.com/b.c"
    assert base_of("b", StorageOptions(endpoint="http://s3:9000"), "r").geturl() == "http://s3:9000/b"


def test_certificates_count_here_too(secure: SecureServer) -> None:
    address = parse_uri("s3://models/clip")
    trusting = open_leftovers(address, secure.storage(ca_file=secure.ca))
    assert trusting is not None
    assert trusting.uploads("clip/1") == {}
    doubting = open_leftovers(address, secure.storage())
    assert doubting is not None
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        doubting.uploads("clip/1")
    careless = open_leftovers(address, secure.storage(insecure_skip_tls_verify=True))
    assert careless is not None
    assert careless.uploads("clip/1") == {}
