"""What a look at a repository shows, and how little it costs when nothing has changed."""

import shutil

import pytest

from mmm_repository import AccessDenied, ModelNotFound, Sight, look
from mmm_repository.store import Reading, Store
from tests.repository.conftest import Repository


async def seen(repository: Repository, *pinned: str, before: Sight | None = None) -> Sight:
    return await look(repository.uri, repository.storage, pinned, before)


async def test_the_newest_version_that_is_whole_is_the_newest(repository: Repository) -> None:
    first, tenth = await repository.published("2"), await repository.published("10")
    (repository.disk / "11").mkdir()
    (repository.disk / "11" / "config.json").write_text("{}")
    sight = await seen(repository, "2")
    assert sight.newest is not None
    assert (sight.newest.version, sight.newest.digest) == ("10", tenth.digest)
    assert sight.incomplete == ("11",)
    assert sight.pinned["2"].digest == first.digest


async def test_a_manifest_that_is_there_later_makes_the_version_whole(repository: Repository) -> None:
    await repository.published("1")
    await repository.published("2")
    manifest = repository.disk / "2" / "manifest.json"
    content = manifest.read_bytes()
    manifest.unlink()
    before = await seen(repository)
    assert before.newest is not None
    assert before.newest.version == "1"
    manifest.write_bytes(content)
    after = await seen(repository, before=before)
    assert after.newest is not None
    assert after.newest.version == "2"


async def test_what_did_not_change_is_not_sent_again(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    await repository.published("1")
    await repository.published("2")
    before = await seen(repository, "1")
    sent: list[Reading | None] = []
    read = Store.read_if_changed

    async def counted(store: Store, key: str, max_bytes: int, tag: str | None) -> Reading | None:
        sent.append(await read(store, key, max_bytes, tag))
        return sent[-1]

    monkeypatch.setattr(Store, "read_if_changed", counted)
    assert await seen(repository, "1", before=before) == before
    assert sent == [None, None]


async def test_other_bytes_under_a_pinned_version_are_seen(repository: Repository) -> None:
    await repository.published("1")
    before = await seen(repository, "1")
    manifest = repository.disk / "1" / "manifest.json"
    content = manifest.read_bytes().replace(b'"metadata":{', b'"metadata":{"note":"other",')
    manifest.unlink()
    manifest.write_bytes(content)
    after = await seen(repository, "1", before=before)
    assert after.pinned["1"].digest not in ("", before.pinned["1"].digest)


async def test_a_manifest_that_is_none_is_told_and_heals(repository: Repository) -> None:
    version = await repository.published("1")
    manifest = repository.disk / "1" / "manifest.json"
    content = manifest.read_bytes()
    manifest.write_bytes(b"{}")
    broken = await seen(repository)
    assert broken.newest is not None
    assert (broken.newest.digest, bool(broken.newest.mistake)) == ("", True)
    manifest.unlink()
    manifest.write_bytes(content)
    healed = await seen(repository, before=broken)
    assert healed.newest is not None
    assert healed.newest.digest == version.digest


async def test_a_pinned_version_that_is_gone_is_missing_from_the_sight(repository: Repository) -> None:
    await repository.published("2")
    sight = await seen(repository, "1")
    assert dict(sight.pinned) == {}
    assert sight.newest is not None
    assert sight.newest.version == "2"


@pytest.mark.parametrize("pinned", ["1", "2"])
async def test_a_version_that_loses_its_manifest_is_the_newest_no_more(repository: Repository, pinned: str) -> None:
    await repository.published("1")
    await repository.published("2")
    before = await seen(repository, pinned)
    (repository.disk / "2" / "manifest.json").unlink()
    after = await seen(repository, pinned, before=before)
    assert after.newest is not None
    assert (after.newest.version, after.incomplete, [*after.pinned]) == ("1", ("2",), ["1"] if pinned == "1" else [])


async def test_names_that_nobody_could_ask_for_are_passed_over(repository: Repository) -> None:
    await repository.published("1")
    for name in ("2+build", "3" * 64):
        shutil.copytree(repository.disk / "1", repository.disk / name)
    sight = await seen(repository)
    assert sight.newest is not None
    assert (sight.newest.version, sight.incomplete) == ("1", ())


async def test_an_empty_prefix_and_wrong_credentials_raise(repository: Repository) -> None:
    with pytest.raises(ModelNotFound):
        await seen(repository, "1")
    wrong = repository.storage.model_copy(update={"secret_access_key": repository.storage.access_key_id})
    with pytest.raises(AccessDenied):
        await look(repository.uri, wrong, ("1",))


async def test_who_asks_as_nobody_is_refused_and_sends_no_identity(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    await repository.published("1")
    for name, value in repository.environment().items():
        monkeypatch.setenv(name, value)
    nobody = repository.storage.model_copy(update={"access_key_id": None, "secret_access_key": None, "anonymous": True})
    with pytest.raises(AccessDenied):
        await look(repository.uri, nobody, ("1",))


async def test_a_broken_version_hides_no_whole_one(repository: Repository) -> None:
    await repository.published("1")
    await repository.published("2")
    await repository.published("3")
    (repository.disk / "3" / "manifest.json").write_bytes(b"{}")
    sight = await seen(repository, "1")
    assert sight.newest is not None
    assert sight.whole is not None
    assert (sight.newest.version, sight.whole.version) == ("3", "2")
