"""Buckets that nobody published to: what is seen in them, what is fetched, and what never is."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dev.localcluster.s3 import S3Server
from mmm_repository import (
    DigestMismatch,
    FetchOptions,
    IncompleteUpload,
    InvalidManifest,
    NothingToVerify,
    RepositoryError,
    StorageOptions,
    UnsafeArtifact,
    VersionNotFound,
    fetch,
    list_versions,
    publish,
    resolve,
    resolve_unverified,
    unverified,
    verify_directory,
    verify_version,
)
from mmm_repository.journal import JOURNAL_NAME
from mmm_repository.listing import listing_of
from mmm_repository.store import ObjectStat
from mmm_repository.store import Store as OpenedStore
from tests.repository.chaos.servers import Store, moto, versity
from tests.repository.faults import StallingProxy
from tests.repository.hostile_artifacts import Artifact, hostile_artifacts
from tests.repository.plain_store import PlainStore
from tests.repository.samples import MIB, contents_of, flip_byte, make_model, safetensors_bytes

BUCKET = "plain"
DEAD = StorageOptions(endpoint="http://127.0.0.1:1", connect_timeout_seconds=0.5)
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def moto_server() -> Iterator[Store]:
    with moto(BUCKET) as server:
        yield server


@pytest.fixture(params=["versitygw", "moto"])
def plain(request: pytest.FixtureRequest, s3: S3Server) -> PlainStore:
    server = versity(s3, BUCKET) if request.param == "versitygw" else request.getfixturevalue("moto_server")
    return PlainStore.on(server)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Small files, one of them empty, and two shards of several parts."""
    return make_model(tmp_path / "model", weights=3 * MIB, shards=2)


PARTS = FetchOptions(part_bytes=MIB)


def visible(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if not path.name.startswith(".")) if root.exists() else []


async def test_a_version_without_a_manifest_is_fetched_as_it_was_listed(
    plain: PlainStore, model: Path, root: Path
) -> None:
    plain.fill("1", model)
    found = await plain.plain("1")
    assert (found.trouble, found.files) == (None, len(contents_of(model)))
    fetched = await plain.fetch("1", found.digest, root, PARTS)
    assert fetched == root / found.digest.removeprefix("sha256:")
    expected = contents_of(model)
    assert expected.items() <= contents_of(fetched).items()
    manifest = json.loads((fetched / "manifest.json").read_bytes())
    assert {entry["path"]: entry["sha256"] for entry in manifest["files"]} == expected


async def test_what_was_fetched_is_known_again_without_a_request(plain: PlainStore, model: Path, root: Path) -> None:
    plain.fill("1", model)
    digest = (await plain.plain("1")).digest
    fetched = await plain.fetch("1", digest, root)
    for rehash in (False, True):
        assert await fetch(plain.uri, "1", digest, root, DEAD, FetchOptions(rehash_existing=rehash)) == fetched
    (fetched / ".complete").unlink()
    assert await fetch(plain.uri, "1", digest, root, DEAD) == fetched, "without its mark it is hashed"
    found = verify_directory(fetched, digest)
    assert (found.digest, found.fetched_only) == (digest, True)


async def test_a_flipped_bit_in_the_cache_is_found_and_healed(plain: PlainStore, model: Path, root: Path) -> None:
    plain.fill("1", model)
    digest = (await plain.plain("1")).digest
    fetched = await plain.fetch("1", digest, root)
    flip_byte(fetched / "model-1.safetensors", 700)
    await plain.fetch("1", digest, root, replace(PARTS, rehash_existing=True))
    assert contents_of(model).items() <= contents_of(fetched).items()


async def test_what_a_killed_fetch_left_is_not_believed(plain: PlainStore, model: Path, root: Path) -> None:
    plain.fill("1", model)
    digest = (await plain.plain("1")).digest
    partial = root / f".partial-{digest.removeprefix('sha256:')}"
    partial.mkdir(parents=True)
    (partial / "config.json").write_bytes(b"\0" * (model / "config.json").stat().st_size)
    (partial / "model-0.safetensors").write_bytes(b"\0" * MIB)
    (partial / JOURNAL_NAME).write_bytes(b'{\n["config.json", "another tag", "' + b"0" * 64 + b'"]\n[1]\n["config.js')
    fetched = await plain.fetch("1", digest, root, PARTS)
    assert contents_of(model).items() <= contents_of(fetched).items()


async def test_a_fetch_goes_on_after_the_files_that_were_there(
    plain: PlainStore, model: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.fill("1", model)
    found = await plain.plain("1")
    async with StallingProxy(plain.server.endpoint, 2_500_000) as proxy:
        options = plain.server.options(proxy.endpoint, read_timeout_seconds=60.0)
        one_by_one = replace(PARTS, parallel_parts=1)
        task = asyncio.ensure_future(fetch(plain.uri, "1", found.digest, root, options, one_by_one))
        await proxy.stalled.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    partial = root / f".partial-{found.digest.removeprefix('sha256:')}"
    flip_byte(partial / "tokenizer.json", 0)
    asked: list[str] = []
    read = OpenedStore.read_range

    async def counted(store: OpenedStore, key: str, *arguments: Any) -> tuple[memoryview, int]:
        asked.append(key.rpartition("/")[2])
        return await read(store, key, *arguments)

    monkeypatch.setattr(OpenedStore, "read_range", counted)
    fetched = await plain.fetch("1", found.digest, root, PARTS)
    assert set(asked) == {"tokenizer.json", "model-1.safetensors"}, "what changed on disk, and what was not there yet"
    assert contents_of(model).items() <= contents_of(fetched).items()
    assert not (fetched / JOURNAL_NAME).exists()


async def test_a_file_that_is_replaced_before_the_fetch_is_another_version(
    plain: PlainStore, model: Path, root: Path
) -> None:
    plain.fill("1", model)
    digest = (await plain.plain("1")).digest
    plain.put("1/tokenizer.json", b"[]")
    with pytest.raises(IncompleteUpload):
        await plain.fetch("1", digest, root)
    assert visible(root) == []


@pytest.mark.parametrize("name", ["tokenizer.json", "model-1.safetensors"])
async def test_a_file_that_is_replaced_after_the_listing_is_refused(
    plain: PlainStore, model: Path, root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Another file of the same length: only its ETag tells."""
    plain.fill("1", model)
    digest = (await plain.plain("1")).digest
    content = (model / name).read_bytes()

    def replace_file() -> None:
        plain.put(f"1/{name}", content[:-1] + bytes([content[-1] ^ 1]))

    after_listing(monkeypatch, replace_file)
    with pytest.raises(DigestMismatch, match="was replaced in the store") as failure:
        await plain.fetch("1", digest, root, PARTS)
    assert not failure.value.retryable
    assert [path for path in contents_of(root) if not path.startswith(".lock-")] == [], "nothing is kept"


async def test_the_tag_of_the_answer_counts_where_a_store_ignores_the_condition(
    plain: PlainStore, model: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.fill("1", model)
    digest = (await plain.plain("1")).digest
    monkeypatch.setattr("mmm_repository.store.condition", lambda tag: {})
    after_listing(monkeypatch, lambda: plain.put("1/tokenizer.json", b"[]"))
    with pytest.raises(DigestMismatch, match=r'"tokenizer\.json" was replaced in the store'):
        await plain.fetch("1", digest, root)


async def test_a_file_that_is_removed_after_the_listing_is_missed(
    plain: PlainStore, model: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.fill("1", model)
    digest = (await plain.plain("1")).digest
    after_listing(monkeypatch, lambda: plain.remove("1/tokenizer.json"))
    with pytest.raises(DigestMismatch, match="in the listing but missing in the store"):
        await plain.fetch("1", digest, root)


async def test_a_file_that_is_added_after_the_listing_is_no_part_of_it(
    plain: PlainStore, model: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.fill("1", model)
    digest = (await plain.plain("1")).digest
    after_listing(monkeypatch, lambda: plain.put("1/more.txt", b"more"))
    fetched = await plain.fetch("1", digest, root)
    assert not (fetched / "more.txt").exists()
    assert (await plain.plain("1")).digest != digest


def after_listing(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Have something happen between the next listing of a version and the first request for a file of it."""
    list_all = OpenedStore.stat_all

    async def listed_then(store: OpenedStore, prefix: str, *, most: int = 0) -> dict[str, ObjectStat]:
        found = await list_all(store, prefix, most=most)
        happens()
        return found

    monkeypatch.setattr(OpenedStore, "stat_all", listed_then)


async def test_a_shard_that_is_missing_is_waited_for(plain: PlainStore, model: Path) -> None:
    shards = {"a": "model-0.safetensors", "b": "model-1.safetensors", "c": "model-2.safetensors"}
    (model / INDEX).write_text(json.dumps({"weight_map": shards}))
    plain.fill("1", model)
    found = await plain.plain("1")
    assert found.trouble is not None
    assert found.trouble[0] == "IncompleteUpload"
    assert '"model-2.safetensors", which is missing' in found.trouble[1]
    with pytest.raises(IncompleteUpload, match="which is missing"):
        await resolve_unverified(plain.uri, "1", plain.storage)
    plain.put("1/model-2.safetensors", safetensors_bytes(b"abcd"))
    assert (await plain.plain("1")).trouble is None


async def test_a_pickle_is_refused_before_a_byte_is_fetched(plain: PlainStore, model: Path, root: Path) -> None:
    (model / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    plain.fill("1", model)
    found = await plain.plain("1")
    assert found.trouble is not None
    assert found.trouble[0] == "UnsafeArtifact"
    with pytest.raises(UnsafeArtifact, match="is a pickle"):
        await plain.fetch("1", found.digest, root)
    with pytest.raises(UnsafeArtifact, match="is a pickle"):
        await resolve_unverified(plain.uri, "1", plain.storage)
    assert visible(root) == []


def one_of_each_kind() -> list[Artifact]:
    """The first hostile file of every suffix, as far as its name can be put."""
    return list({Path(artifact.path).suffix: artifact for artifact in hostile_artifacts()}.values())


async def test_hostile_files_are_refused_here_too(plain: PlainStore, root: Path) -> None:
    for number, artifact in enumerate(one_of_each_kind()):
        plain.put(f"{number}/harmless.txt", b"harmless")
        plain.put(f"{number}/{artifact.path}", artifact.content)
        found = await plain.plain(str(number))
        with pytest.raises(UnsafeArtifact) as failure:
            await plain.fetch(str(number), found.digest, root)
        assert artifact.words in failure.value.message
    assert visible(root) == []


async def test_a_name_that_leads_outside_is_refused(plain: PlainStore, model: Path, root: Path) -> None:
    plain.fill("1", model)
    plain.put("1/.hidden/escape.txt", b"x")
    found = await plain.plain("1")
    assert found.trouble is not None
    assert found.trouble[0] == "InvalidManifest"
    with pytest.raises(InvalidManifest, match="hidden component"):
        await plain.fetch("1", found.digest, root)


@pytest.mark.parametrize("sibling", ["0", "2", "other+name"])
async def test_beside_a_version_with_a_manifest_none_is_served_without(
    plain: PlainStore, model: Path, sibling: str
) -> None:
    plain.fill("1", model)
    await publish(model, plain.uri, sibling, plain.storage)
    for attempt in (resolve, resolve_unverified):
        with pytest.raises(IncompleteUpload, match=r"no manifest\.json yet"):
            await attempt(plain.uri, "1", plain.storage)
    sight = await plain.seen("1")
    assert (sight.plain, dict(sight.pinned)) == ((), {})
    entries = {entry.version: entry.complete for entry in await list_versions(plain.uri, plain.storage)}
    assert entries == {"1": False, sibling: True}


async def test_an_old_version_with_a_manifest_counts_however_many_are_above(plain: PlainStore, model: Path) -> None:
    await publish(model, plain.uri, "1", plain.storage)
    for number in range(2, 20):
        plain.put(f"{number}/config.json", b"{}")
        plain.put(f"{number}/model.safetensors", safetensors_bytes(b"abcd"))
    assert (await plain.seen()).plain == ()


async def test_what_mmm_publish_sends_waits_for_its_manifest(plain: PlainStore, model: Path) -> None:
    """The first version of a repository looks whole for a while before its manifest comes."""
    await publish(model, plain.uri, "1", plain.storage)
    plain.remove("1/manifest.json")
    found = await plain.plain("1")
    assert found.trouble is not None
    assert "`mmm publish` has sent its files, but no manifest.json yet" in found.trouble[1]


async def test_what_was_listed_is_fetched_again_when_a_manifest_was_published_over_it(
    plain: PlainStore, model: Path, root: Path
) -> None:
    plain.fill("1", model)
    digest = (await plain.plain("1")).digest
    manifest = (await plain.fetch("1", digest, root) / "manifest.json").read_bytes()
    plain.put("1/manifest.json", manifest)
    fetched = await plain.fetch("1", digest, root / "elsewhere")
    assert contents_of(model).items() <= contents_of(fetched).items()
    published = await resolve(plain.uri, "1", plain.storage)
    assert (published.digest != digest, published.verified) == (True, True)
    assert await plain.fetch("1", published.digest, root) != fetched


async def test_a_listing_that_changed_under_a_manifest_is_a_mismatch(
    plain: PlainStore, model: Path, root: Path
) -> None:
    plain.fill("1", model)
    digest = (await plain.plain("1")).digest
    plain.put("1/manifest.json", b"{}")
    plain.put("1/more.txt", b"more")
    with pytest.raises(DigestMismatch, match="replaced after it was chosen"):
        await plain.fetch("1", digest, root)


async def test_what_is_not_there_is_not_there(plain: PlainStore, model: Path, root: Path) -> None:
    plain.fill("1", model)
    digest = (await plain.plain("1")).digest
    for error, attempt in (
        (VersionNotFound, plain.fetch("2", digest, root)),
        (VersionNotFound, resolve_unverified(plain.uri, "2", plain.storage)),
        (IncompleteUpload, resolve(plain.uri, "1", plain.storage)),
        (IncompleteUpload, plain.fetch("1", "sha256:" + "0" * 64, root)),
    ):
        with pytest.raises(error):
            await attempt


async def test_too_many_objects_are_said_and_looked_at_no_further(
    plain: PlainStore, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.fill("1", model)
    monkeypatch.setattr(unverified, "MAX_FILES", 3)
    sight = await plain.seen("1")
    assert sight.unlisted is not None
    assert sight.unlisted[0] == "InvalidManifest"
    assert "more than 3 objects" in sight.unlisted[1]
    [entry] = await list_versions(plain.uri, plain.storage)
    assert not entry.complete


async def test_a_look_shows_what_is_there_in_one_listing(
    plain: PlainStore, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.fill("2", model)
    plain.fill("10", model)
    plain.put("11/config.json", b"{}")
    first = await plain.seen("2")
    assert [(p.version, p.trouble is None) for p in first.plain] == [("11", False), ("10", True), ("2", True)]
    assert (first.newest, first.incomplete) == (None, ("10", "11", "2"))

    async def forbidden(*_: object) -> None:
        raise AssertionError("asked again")

    for request in ("read_if_changed", "read", "stat", "children"):
        monkeypatch.setattr(OpenedStore, request, forbidden)
    assert (await plain.seen("2", before=first)).plain == first.plain


async def test_a_manifest_that_comes_later_ends_it(plain: PlainStore, model: Path) -> None:
    plain.fill("1", model)
    before = await plain.seen("1")
    await publish(model, plain.uri, "2", plain.storage)
    after = await plain.seen("1", before=before)
    assert after.newest is not None
    assert (after.newest.version, after.plain, dict(after.pinned)) == ("2", (), {})


async def test_verify_says_that_there_is_nothing_to_verify_against(plain: PlainStore, model: Path) -> None:
    plain.fill("1", model)
    with pytest.raises(NothingToVerify, match="nothing to verify it against"):
        await verify_version(plain.uri, "1", plain.storage)
    plain.remove("1/config.json")
    with pytest.raises(IncompleteUpload):
        await verify_version(plain.uri, "1", plain.storage)


async def test_versions_without_manifests_are_listed_as_unverified(plain: PlainStore, model: Path) -> None:
    plain.fill("1", model)
    plain.put("2/config.json", b"{}")
    first, second = await list_versions(plain.uri, plain.storage)
    assert (first.complete, first.verified, first.digest) == (True, False, (await plain.plain("1")).digest)
    assert (second.complete, second.digest) == (False, None)


async def test_in_a_directory_files_grow_so_nothing_is_served_without_a_manifest(tmp_path: Path, root: Path) -> None:
    make_model(tmp_path / "clip" / "1")
    uri = str(tmp_path / "clip")
    for attempt in (
        resolve_unverified(uri, "1", StorageOptions()),
        fetch(uri, "1", listing_of([]).digest, root, StorageOptions()),
        verify_version(uri, "1", StorageOptions()),
    ):
        with pytest.raises(IncompleteUpload):
            await attempt
    [entry] = await list_versions(uri, StorageOptions())
    assert not entry.complete


async def test_a_bucket_without_a_prefix_is_looked_at_as_a_whole(s3: S3Server, model: Path) -> None:
    server = versity(s3, "whole-bucket")
    for path in contents_of(model):
        PlainStore(server, "1").put(path, (model / path).read_bytes())
    with pytest.raises(RepositoryError):
        await resolve("s3://whole-bucket", "1", server.options())
    found = await resolve_unverified("s3://whole-bucket", "1", server.options())
    assert (found.verified, len(found.files)) == (False, len(contents_of(model)))
