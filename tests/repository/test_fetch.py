"""A fetch ends with every byte right under the digest's name, or with nothing that looks so."""

import asyncio
import errno
import json
import os
from pathlib import Path

import pytest

from mmm_repository import (
    DigestMismatch,
    EndpointUnreachable,
    FetchOptions,
    InvalidAddress,
    InvalidManifest,
    ModelTooLarge,
    NoSpace,
    Phase,
    Progress,
    StorageOptions,
    UnsafeArtifact,
    VolumeUnusable,
    digest_of,
    fetch,
    resolve,
)
from mmm_repository.manifest import FileEntry, build_manifest, canonical_json
from tests.repository import faults
from tests.repository.conftest import Repository
from tests.repository.samples import MIB, contents_of, flip_byte, safetensors_bytes

DEAD = StorageOptions(endpoint="http://127.0.0.1:1", connect_timeout_seconds=0.5)


def visible(root: Path) -> list[str]:
    """What a server that looks for models could see."""
    return sorted(path.name for path in root.iterdir() if not path.name.startswith(".")) if root.exists() else []


def partials(root: Path) -> list[Path]:
    """What has been kept for a next try."""
    return list(root.glob(".partial-*"))


def kept_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("model.safetensors"))


def write_version(repository: Repository, files: dict[str, bytes]) -> str:
    """A version written past the publisher, as an attacker would; its digest."""
    entries = []
    for path, content in files.items():
        location = repository.disk / "1" / path
        location.parent.mkdir(parents=True, exist_ok=True)
        location.write_bytes(content)
        entries.append(FileEntry(path=path, size=len(content), sha256=digest_of(content).removeprefix("sha256:")))
    content = build_manifest(entries, {}).canonical_bytes()
    (repository.disk / "1" / "manifest.json").write_bytes(content)
    return digest_of(content)


async def test_a_version_that_is_there_is_reused_without_a_request(repository: Repository, root: Path) -> None:
    published = await repository.published()
    first = await repository.fetch(published, root)
    again = await fetch(repository.uri, "1", published.digest, root, DEAD)
    assert again == first


@pytest.mark.parametrize("offset", [0, 5, 9 * MIB, 20 * MIB])
async def test_a_flipped_bit_in_the_store_is_found(repository: Repository, root: Path, offset: int) -> None:
    published = await repository.published(weights=20 * MIB)
    flip_byte(repository.disk / "1" / "model.safetensors", offset)
    with pytest.raises(DigestMismatch, match=r'"model\.safetensors"') as failure:
        await repository.fetch(published, root)
    assert not failure.value.retryable
    assert visible(root) == []
    assert not partials(root), "wrong bytes are not kept for a next try"


async def test_an_object_that_is_shorter_or_missing_is_found(repository: Repository, root: Path) -> None:
    published = await repository.published()
    weights = repository.disk / "1" / "model.safetensors"
    with weights.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(DigestMismatch, match="has 100 bytes in the store"):
        await repository.fetch(published, root)
    weights.unlink()
    with pytest.raises(DigestMismatch, match="missing in the store"):
        await repository.fetch(published, root)
    assert visible(root) == []


async def test_another_manifest_than_the_wanted_one_is_refused(repository: Repository, root: Path) -> None:
    await repository.published()
    with pytest.raises(DigestMismatch, match="replaced after it was chosen"):
        await fetch(repository.uri, "1", "sha256:" + "0" * 64, root, repository.storage)
    assert visible(root) == []


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:" + "0" * 63, "md5:" + "0" * 64, "sha256:../../etc"])
async def test_a_digest_that_is_none_makes_no_request(root: Path, digest: str) -> None:
    with pytest.raises(InvalidAddress):
        await fetch("s3://bucket/clip", "1", digest, root, DEAD)


@pytest.mark.parametrize("path", ["../escape.txt", "/etc/escape.txt", "a/../../escape.txt", "a\\..\\escape.txt", "C:x"])
async def test_a_manifest_cannot_write_outside(repository: Repository, root: Path, path: str) -> None:
    entry = {"path": path, "size": 4, "sha256": "0" * 64}
    content = canonical_json({"format": 1, "files": [entry], "metadata": {}})
    (repository.disk / "1").mkdir(parents=True)
    (repository.disk / "1" / "manifest.json").write_bytes(content)
    with pytest.raises(InvalidManifest, match="is refused"):
        await fetch(repository.uri, "1", digest_of(content), root, repository.storage)
    assert not list(root.parent.rglob("escape.txt"))
    assert visible(root) == []


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("pytorch_model.bin", b"\x80\x02.", "is a pickle"),
        ("modeling_clip.py", b"import os", "is code"),
        ("model.tar.gz", b"\x1f\x8b", "is an archive"),
        ("weights.json", b"PK\x03\x04....", "zip archive"),
        ("tokenizer.txt", b"\x80\x04\x95", "a pickle under another name"),
        ("config.json", b'{"auto_map": {"AutoModel": "x.Y"}}', "auto_map"),
        ("sub/tokenizer_config.json", b'{"a": [{"trust_remote_code": true}]}', "trust_remote_code"),
        ("config.json", b'{"vision_config": {"_attn_implementation_internal": "x/y"}}', "private key"),
        ("model.safetensors", safetensors_bytes(b"abcd", {}), "leave gaps"),
        ("model.safetensors", b"\xff" * 16, "bad safetensors header"),
    ],
)
async def test_what_runs_or_lies_is_refused(
    repository: Repository, root: Path, path: str, content: bytes, words: str
) -> None:
    digest = write_version(repository, {"harmless.txt": b"x", path: content})
    with pytest.raises(UnsafeArtifact, match=words):
        await fetch(repository.uri, "1", digest, root, repository.storage)
    assert visible(root) == []
    assert not partials(root)


async def test_a_refused_config_is_refused_before_the_weights_are_fetched(repository: Repository, root: Path) -> None:
    seen: list[Progress] = []
    weights = safetensors_bytes(bytes(30 * MIB))
    digest = write_version(repository, {"a/config.json": b'{"auto_map": {}}', "model.safetensors": weights})
    options = FetchOptions(part_bytes=MIB, parallel_parts=2, progress=seen.append)
    with pytest.raises(UnsafeArtifact):
        await fetch(repository.uri, "1", digest, root, repository.storage, options)
    assert max(progress.done_bytes for progress in seen) < MIB


async def test_a_model_over_the_limit_is_not_begun(repository: Repository, root: Path) -> None:
    published = await repository.published(weights=2 * MIB)
    with pytest.raises(ModelTooLarge, match=r"has 2\.0 MiB, the limit is 1\.0 MiB"):
        await repository.fetch(published, root, FetchOptions(max_bytes=MIB))
    assert not partials(root)


async def test_a_model_that_the_volume_cannot_hold_is_not_begun(repository: Repository, root: Path) -> None:
    content = canonical_json(
        {"format": 1, "files": [{"path": "a.json", "size": 2**50, "sha256": "0" * 64}], "metadata": {}}
    )
    (repository.disk / "1").mkdir(parents=True)
    (repository.disk / "1" / "manifest.json").write_bytes(content)
    with pytest.raises(NoSpace, match=r"needs 1048576\.0 GiB more"):
        await fetch(repository.uri, "1", digest_of(content), root, repository.storage)


async def test_a_volume_that_fills_up_is_left_clean(
    repository: Repository, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = await repository.published(weights=20 * MIB)
    real_write = os.write
    room = 5 * MIB

    def write_until_full(descriptor: int, content: bytes) -> int:
        # Stands for the kernel: a volume of a certain size cannot be made without privileges everywhere.
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real_write(descriptor, content[:MIB])
        room -= written
        return written

    monkeypatch.setattr(os, "write", write_until_full)
    with pytest.raises(NoSpace, match="is full"):
        await repository.fetch(published, root)
    assert visible(root) == []
    assert not partials(root)


async def test_a_root_that_is_no_directory_is_said(repository: Repository, tmp_path: Path) -> None:
    published = await repository.published()
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeUnusable, match="cannot be used"):
        await repository.fetch(published, tmp_path / "file" / "models")


@pytest.mark.parametrize("link", ["config.json", "extra"])
async def test_a_link_in_the_way_is_not_followed(repository: Repository, root: Path, tmp_path: Path, link: str) -> None:
    published = await repository.published()
    partial = root / f".partial-{published.digest.removeprefix('sha256:')}"
    partial.mkdir(parents=True)
    (tmp_path / "config.json").write_text("precious")
    (tmp_path / "extra").mkdir()
    (partial / link).symlink_to(tmp_path / link)
    with pytest.raises(VolumeUnusable):
        await repository.fetch(published, root)
    assert (tmp_path / "config.json").read_text() == "precious"
    assert contents_of(tmp_path / "extra") == {}


async def test_what_no_retry_can_heal_is_asked_for_once(repository: Repository, root: Path) -> None:
    published = await repository.published()
    (repository.disk / "1" / "tokenizer.json").unlink()
    async with faults.StallingProxy(repository.server.endpoint) as proxy:
        with pytest.raises(DigestMismatch):
            await fetch(repository.uri, "1", published.digest, root, repository.at(proxy.endpoint))
        with_bytes = [entry for entry in published.manifest.files if entry.size]
        assert len(proxy.requests) <= 1 + len(with_bytes)


@pytest.mark.parametrize("damage", ["truncated", "missing", "manifest", "unmarked and changed"])
async def test_a_damaged_version_is_fetched_again(repository: Repository, root: Path, damage: str) -> None:
    published = await repository.published()
    fetched = await repository.fetch(published, root)
    good = contents_of(fetched)
    if damage == "truncated":
        (fetched / "model.safetensors").write_bytes(b"short")
    elif damage == "missing":
        (fetched / "extra" / "notes.md").unlink()
    elif damage == "manifest":
        flip_byte(fetched / "manifest.json", 10)
    else:
        (fetched / ".complete").unlink()
        flip_byte(fetched / "model.safetensors", 500)
    assert contents_of(await repository.fetch(published, root)) == good


async def test_a_changed_byte_is_found_where_hashes_are_asked_for(repository: Repository, root: Path) -> None:
    published = await repository.published()
    fetched = await repository.fetch(published, root)
    good = contents_of(fetched)
    flip_byte(fetched / "model.safetensors", 500)
    await repository.fetch(published, root)
    assert contents_of(fetched) != good, "sizes alone cannot tell"
    await repository.fetch(published, root, FetchOptions(rehash_existing=True))
    assert contents_of(fetched) == good


async def test_an_unmarked_version_that_is_right_gets_its_mark_back(repository: Repository, root: Path) -> None:
    published = await repository.published()
    fetched = await repository.fetch(published, root)
    (fetched / ".complete").unlink()
    assert await fetch(repository.uri, "1", published.digest, root, DEAD) == fetched
    assert (fetched / ".complete").is_file()


async def test_two_fetchers_at_once_fetch_once(repository: Repository, root: Path) -> None:
    published = await repository.published(weights=20 * MIB)
    seen: list[Progress] = []
    async with faults.StallingProxy(repository.server.endpoint) as proxy:
        options = FetchOptions(progress=seen.append)
        storage = repository.at(proxy.endpoint)
        both = [fetch(repository.uri, "1", published.digest, root, storage, options) for _ in range(2)]
        first, second = await asyncio.gather(*both)
    assert first == second
    assert proxy.passed < 1.5 * published.manifest.total_bytes
    assert Phase.WAIT in {progress.phase for progress in seen}


async def test_broken_connections_are_healed(repository: Repository, root: Path) -> None:
    published = await repository.published(weights=20 * MIB)
    async with faults.CuttingProxy(repository.server.endpoint, cuts=4, after=MIB) as proxy:
        storage = repository.at(proxy.endpoint)
        fetched = await fetch(repository.uri, "1", published.digest, root, storage)
        assert proxy.cuts == 0
    assert contents_of(repository.model(weights=20 * MIB)).items() <= contents_of(fetched).items()


async def test_an_outage_longer_than_a_requests_own_patience_is_healed(repository: Repository, root: Path) -> None:
    published = await repository.published(weights=4 * MIB)
    # The client tries a request four times; six broken connections in a row take a second round.
    async with faults.CuttingProxy(repository.server.endpoint, cuts=6, after=MIB) as proxy:
        storage, options = repository.at(proxy.endpoint), FetchOptions(part_bytes=MIB, parallel_parts=1)
        await fetch(repository.uri, "1", published.digest, root, storage, options)
        assert proxy.cuts == 0


async def test_a_cancelled_fetch_goes_on_where_it_was(repository: Repository, root: Path) -> None:
    published = await repository.published(weights=40 * MIB)
    seen: list[Progress] = []
    options = FetchOptions(part_bytes=MIB, parallel_parts=4, progress=seen.append)

    async def cancelled_after(budget: int) -> None:
        async with faults.StallingProxy(repository.server.endpoint, budget) as proxy:
            storage = repository.at(proxy.endpoint)
            task = asyncio.ensure_future(fetch(repository.uri, "1", published.digest, root, storage, options))
            await proxy.stalled.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()

    await cancelled_after(25 * MIB)
    assert visible(root) == []
    await fetch(repository.uri, "1", published.digest, root, repository.storage, options)
    assert seen[-1].done_bytes == published.manifest.total_bytes
    assert seen[-1].reused_bytes > 15 * MIB


async def test_what_a_power_failure_left_is_not_believed(repository: Repository, root: Path) -> None:
    published = await repository.published(weights=4 * MIB)
    partial = root / f".partial-{published.digest.removeprefix('sha256:')}"
    partial.mkdir(parents=True)
    (partial / "model.safetensors").write_bytes(bytes(3 * MIB))
    (partial / "config.json").write_bytes(bytes(10_000))
    (partial / "stranger.py").write_text("import os")
    fetched = await repository.fetch(published, root, FetchOptions(part_bytes=MIB))
    assert contents_of(repository.model(weights=4 * MIB)).items() <= contents_of(fetched).items()
    assert not (fetched / "stranger.py").exists()


async def test_an_endpoint_that_dies_keeps_what_has_arrived(repository: Repository, root: Path) -> None:
    published = await repository.published(weights=20 * MIB)
    options = FetchOptions(part_bytes=MIB, parallel_parts=2, attempts=2)
    async with faults.StallingProxy(repository.server.endpoint, 10 * MIB) as proxy:
        storage = repository.at(proxy.endpoint).model_copy(update={"read_timeout_seconds": 1.0})
        with pytest.raises(EndpointUnreachable):
            await fetch(repository.uri, "1", published.digest, root, storage, options)
    assert visible(root) == []
    assert kept_bytes(root) > 5 * MIB


async def test_extra_objects_in_the_store_are_not_fetched(repository: Repository, root: Path) -> None:
    published = await repository.published()
    (repository.disk / "1" / "backdoor.py").write_text("import os")
    assert not (await repository.fetch(published, root) / "backdoor.py").exists()


async def test_a_version_without_tensors_can_be_named_in_any_script(repository: Repository, root: Path) -> None:
    digest = write_version(repository, {"说明.md": "你好".encode(), "config.json": json.dumps({"a": "ü"}).encode()})
    assert (await resolve(repository.uri, "1", repository.storage)).digest == digest
    fetched = await fetch(repository.uri, "1", digest, root, repository.storage)
    assert (fetched / "说明.md").read_text() == "你好"
