"""Publishers that meet, stop, or have their files changed under them."""

import asyncio
import collections
import os
import shutil
from pathlib import Path

import pytest

from mmm_repository import (
    AccessDenied,
    DigestMismatch,
    EndpointUnreachable,
    InvalidDirectory,
    ModelNotFound,
    Phase,
    Progress,
    RepositoryError,
    VersionExists,
    VersionNotFound,
    publish,
    verify_version,
)
from tests.repository import faults
from tests.repository.conftest import Repository
from tests.repository.samples import MIB, flip_byte


async def test_what_is_in_the_store_already_is_not_sent_again(repository: Repository) -> None:
    directory = repository.model(weights=30 * MIB, shards=3)
    first = await publish(directory, repository.uri, "1", repository.storage)
    (repository.disk / "1" / "manifest.json").unlink()
    (repository.disk / "1" / "model-2.safetensors").unlink()
    again = await publish(directory, repository.uri, "1", repository.storage)
    assert first.sent_bytes == first.manifest.total_bytes
    assert again.sent_bytes == (directory / "model-2.safetensors").stat().st_size


async def test_a_publish_costs_one_put_for_each_file_and_few_other_requests(repository: Repository) -> None:
    directory = repository.model()
    for number in range(100):
        (directory / f"note-{number}.txt").write_text(str(number))
    async with faults.StallingProxy(repository.server.endpoint) as proxy:
        published = await publish(directory, repository.uri, "1", repository.at(proxy.endpoint))
    methods = collections.Counter(method for method, _ in proxy.requests)
    assert methods["PUT"] == len(published.manifest.files) + 1
    assert methods.total() - methods["PUT"] <= 6


async def test_what_another_version_has_is_copied_in_the_store(repository: Repository) -> None:
    await publish(repository.model(weights=30 * MIB, shards=3), repository.uri, "1", repository.storage)
    second = repository.model(weights=30 * MIB, shards=3)
    (second / "config.json").rename(second / "renamed.json")
    (second / "config.json").write_text('{"architectures": ["CLIPModel"], "changed": true}')
    async with faults.StallingProxy(repository.server.endpoint) as proxy:
        published = await publish(second, repository.uri, "2", repository.at(proxy.endpoint), from_version="1")
        assert proxy.passed < MIB, "the weights never came this way"
    assert published.sent_bytes == (second / "config.json").stat().st_size
    assert published.copied_bytes == published.manifest.total_bytes - published.sent_bytes
    await verify_version(repository.uri, "2", repository.storage)
    (repository.disk / "2" / "manifest.json").unlink()
    again = await publish(second, repository.uri, "2", repository.storage)
    assert again.sent_bytes == 0, "a copy is as good as what was sent"


async def test_what_cannot_be_copied_is_sent(repository: Repository) -> None:
    await repository.published("1", weights=30 * MIB, shards=3)
    (repository.disk / "1" / "model-1.safetensors").unlink()
    flip_byte(repository.disk / "1" / "config.json", 3)
    directory = repository.model(weights=30 * MIB, shards=3)
    published = await publish(directory, repository.uri, "2", repository.storage, from_version="1")
    assert published.sent_bytes == (directory / "model-1.safetensors").stat().st_size
    with pytest.raises(DigestMismatch):
        await verify_version(repository.uri, "2", repository.storage)


async def test_a_copy_in_a_directory_is_read_before_it_is_believed(repository: Repository, tmp_path: Path) -> None:
    uri, directory = str(tmp_path / "mounted"), repository.model(weights=20 * MIB)
    await publish(directory, uri, "1", repository.storage)
    flip_byte(tmp_path / "mounted/1/model.safetensors", 9 * MIB)
    published = await publish(directory, uri, "2", repository.storage, from_version="1")
    assert published.sent_bytes == (directory / "model.safetensors").stat().st_size
    await verify_version(uri, "2", repository.storage)


async def test_a_version_to_copy_from_must_be_there(repository: Repository) -> None:
    await repository.published("1")
    with pytest.raises(VersionNotFound):
        await publish(repository.model(), repository.uri, "3", repository.storage, from_version="2")


async def test_an_object_of_the_same_length_with_other_bytes_is_sent_again(repository: Repository) -> None:
    await repository.published("1")
    (repository.disk / "1" / "manifest.json").unlink()
    await publish(repository.model(seed=3), repository.uri, "1", repository.storage)
    await verify_version(repository.uri, "1", repository.storage)


async def test_a_half_copied_directory_is_completed(repository: Repository, tmp_path: Path) -> None:
    uri = str(tmp_path / "mounted")
    directory = repository.model(weights=20 * MIB)
    await publish(directory, uri, "1", repository.storage)
    (tmp_path / "mounted/1/manifest.json").unlink()
    flip_byte(tmp_path / "mounted/1/model.safetensors", 9 * MIB)
    again = await publish(directory, uri, "1", repository.storage)
    assert again.sent_bytes == (directory / "model.safetensors").stat().st_size
    await verify_version(uri, "1", repository.storage)


async def test_publishers_that_meet_never_both_succeed(repository: Repository) -> None:
    directories = [repository.model(weights=2 * MIB, seed=seed) for seed in (1, 2)]
    attempts = [publish(directory, repository.uri, "1", repository.storage) for directory in directories]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    succeeded = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(succeeded) <= 1
    assert all(isinstance(outcome, RepositoryError) for outcome in outcomes if outcome not in succeeded)


async def test_the_slower_of_two_publishers_is_told(repository: Repository) -> None:
    await repository.published("9")
    other = repository.disk / "9" / "manifest.json"

    def another_is_faster(progress: Progress) -> None:
        if progress.phase is Phase.UPLOAD and progress.done_bytes == progress.total_bytes:
            shutil.copy2(other, repository.disk / "1" / "manifest.json")  # with the server's own attributes

    directory = repository.model(seed=5)
    with pytest.raises(VersionExists, match="with other files"):
        await publish(directory, repository.uri, "1", repository.storage, progress=another_is_faster)
    assert (repository.disk / "1" / "manifest.json").read_bytes() == other.read_bytes()


async def test_the_same_files_published_twice_at_once_are_one_version(repository: Repository) -> None:
    directory = repository.model(weights=2 * MIB)
    attempts = [publish(directory, repository.uri, "1", repository.storage, {"created": "now"}) for _ in range(2)]
    first, second = await asyncio.gather(*attempts)
    assert first.digest == second.digest
    await verify_version(repository.uri, "1", repository.storage)


@pytest.mark.parametrize("weights", [2 * MIB, 30 * MIB])
async def test_a_file_that_changes_while_it_is_published_is_not_stored(repository: Repository, weights: int) -> None:
    directory = repository.model(weights=weights)
    changed: list[Path] = []

    def change_after_hashing(progress: Progress) -> None:
        if progress.phase is Phase.UPLOAD and not changed:
            changed.append(directory / "model.safetensors")
            flip_byte(changed[0], weights - 1)

    with pytest.raises(InvalidDirectory, match="changed while it was read"):
        await publish(directory, repository.uri, "1", repository.storage, progress=change_after_hashing)
    assert not (repository.disk / "1" / "model.safetensors").exists()
    assert not (repository.disk / "1" / "manifest.json").exists()


async def test_a_store_that_loses_bytes_gets_no_manifest(repository: Repository) -> None:
    directory = repository.model()

    def lose_an_object(progress: Progress) -> None:
        lost = repository.disk / "1" / "tokenizer.json"
        if progress.phase is Phase.UPLOAD and progress.done_bytes == progress.total_bytes:
            lost.unlink(missing_ok=True)

    with pytest.raises(EndpointUnreachable, match="not in the store as it was sent"):
        await publish(directory, repository.uri, "1", repository.storage, progress=lose_an_object)
    assert not (repository.disk / "1" / "manifest.json").exists()


async def test_a_publish_outlives_broken_connections(repository: Repository) -> None:
    directory = repository.model(weights=30 * MIB)
    async with faults.CuttingProxy(repository.server.endpoint, cuts=2, after=100) as proxy:
        await publish(directory, repository.uri, "1", repository.at(proxy.endpoint))
        assert proxy.cuts == 0
    await verify_version(repository.uri, "1", repository.storage)


async def test_a_slow_line_is_no_broken_one(repository: Repository) -> None:
    """Nothing is answered before a part has gone up whole; here that takes longer than an answer otherwise may."""
    directory = repository.model(weights=24 * MIB)
    async with faults.SlowProxy(repository.server.endpoint, 8 * MIB) as proxy:
        await publish(directory, repository.uri, "1", repository.at(proxy.endpoint))
        assert collections.Counter(path for method, path in proxy.requests if method == "PUT").most_common(1)[0][1] == 1
    await verify_version(repository.uri, "1", repository.storage)


async def test_a_missing_bucket_and_a_denied_one_are_said(repository: Repository) -> None:
    directory = repository.model()
    with pytest.raises(ModelNotFound, match="There is no bucket"):
        await publish(directory, "s3://no-such-bucket/clip", "1", repository.storage)
    async with faults.answering("403 Forbidden", b"<Error><Code>AccessDenied</Code></Error>") as server:
        with pytest.raises(AccessDenied, match="s3:PutObject to publish"):
            await publish(directory, repository.uri, "1", repository.at(server.endpoint))


@pytest.mark.parametrize("make", [lambda path: os.mkfifo(path), lambda path: path.symlink_to("/nowhere")])
async def test_what_is_no_regular_file_is_not_published(repository: Repository, make: object) -> None:
    directory = repository.model()
    assert callable(make)
    make(directory / "odd.txt")
    with pytest.raises(InvalidDirectory):
        await publish(directory, repository.uri, "1", repository.storage)


async def test_a_linked_directory_is_not_published(repository: Repository, tmp_path: Path) -> None:
    directory = repository.model()
    (directory / "linked").symlink_to(tmp_path)
    with pytest.raises(InvalidDirectory, match="link to a directory"):
        await publish(directory, repository.uri, "1", repository.storage)


async def test_names_that_could_not_be_fetched_are_not_published(repository: Repository) -> None:
    directory = repository.model()
    (directory / "Config.json").write_text("{}")
    with pytest.raises(RepositoryError, match="mean the same file"):
        await publish(directory, repository.uri, "1", repository.storage)
