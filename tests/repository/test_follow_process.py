"""`mmm-server fetch --follow` as a side-car runs it: `wanted.json` in, directories of versions and its pages out."""

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.localcluster.layout import free_ports
from dev.localcluster.s3 import S3Server
from mmm_operator.scrape.fetches import FetchPage
from mmm_repository import PublishedVersion, StorageOptions, fetch
from mmm_repository.volume import sync_directory
from mmm_server.engine.remembered import Remembered, remember
from mmm_server.engine.version import Version
from mmm_server.fetch import FetchSettings
from mmm_server.follow import follow_wanted
from mmm_server.follow_state import FAILED_NAME, FollowState
from tests.repository.conftest import Repository
from tests.repository.faults import StallingProxy
from tests.repository.samples import MIB

SECONDS = 30.0
# One for all: to make a client, and read the certificates of the system for it, costs ten times what a look does.
PROBE = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=5)


@dataclass
class Rollout:
    """A mounted ConfigMap: kubelet writes a new directory and turns the link `..data` to it."""

    directory: Path
    written: int = 0

    def set(self, **files: str) -> None:
        self.directory.mkdir(exist_ok=True)
        self.written += 1
        content = self.directory / f"..{self.written}"
        content.mkdir()
        for name, text in files.items():
            (content / f"{name}.json").write_text(text)
        link = self.directory / "..data.new"
        link.symlink_to(content.name)
        link.rename(self.directory / "..data")
        if not (self.directory / "wanted.json").is_symlink():
            (self.directory / "wanted.json").symlink_to("..data/wanted.json")

    def want(self, version: PublishedVersion) -> None:
        self.set(wanted=json.dumps({"version": version.version, "digest": version.digest}))


@dataclass
class Sidecar:
    """One process, and what a pod sees of it."""

    environment: dict[str, str]
    root: Path
    termination: Path
    rollout: Rollout
    port: int
    process: asyncio.subprocess.Process = field(init=False)

    @asynccontextmanager
    async def running(self, **changes: str) -> AsyncIterator["Sidecar"]:
        log = self.termination.with_name("log")
        with log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "mmm_server", "fetch", "--follow"),
                env={**self.environment, **changes},
                stdout=output,
                stderr=output,
            )
        try:
            yield self
        finally:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert self.process.returncode is None, self.log()
            assert time.monotonic() < deadline, f"not {what}: {self.log()}"
            await asyncio.sleep(0.05)

    async def here(self, version: PublishedVersion) -> None:
        await self.until(lambda: version.digest.removeprefix("sha256:") in self.visible(), f"here: {version.version}")

    async def failed(self, reason: str) -> None:
        await self.until(lambda: (self.failure() or {}).get("reason") == reason, f"failed: {reason}")

    async def healed(self) -> None:
        await self.until(lambda: self.failure() is None, "healed")

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 10)

    def failure(self) -> dict[str, str] | None:
        try:
            found: dict[str, str] = json.loads((self.root / FAILED_NAME).read_text())
        except FileNotFoundError:
            return None
        return found

    def visible(self) -> set[str]:
        return {path.name for path in self.root.iterdir() if path.name[0] != "."} if self.root.exists() else set()

    def log(self) -> str:
        return self.termination.with_name("log").read_text()

    def page(self, path: str = "/v1/status") -> httpx.Response | None:
        try:
            return PROBE.get(f"http://127.0.0.1:{self.port}{path}")
        except httpx.TransportError:
            return None

    def started(self) -> bool:
        answer = self.page("/startupz")
        return answer is not None and answer.status_code == 200

    def document(self) -> dict[str, Any]:
        answer = self.page()
        assert answer is not None
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
async def first(repository: Repository) -> PublishedVersion:
    return await repository.published("1", weights=1000)


@pytest.fixture
async def second(repository: Repository) -> PublishedVersion:
    return await repository.published("2", weights=3 * MIB)


@pytest.fixture
def sidecar(repository: Repository, first: PublishedVersion, root: Path, tmp_path: Path) -> Sidecar:
    return make_sidecar(repository, first, root, tmp_path)


def make_sidecar(repository: Repository, first: PublishedVersion, root: Path, tmp_path: Path) -> Sidecar:
    (port,) = free_ports(1)
    rollout, termination = Rollout(tmp_path / "rollout"), tmp_path / "termination-log"
    environment = {
        **repository.environment(),
        "MMM_MODEL_ROOT": str(root),
        "MMM_MODEL_VERSION": first.version,
        "MMM_MODEL_DIGEST": first.digest,
        "MMM_SOURCE_URI": repository.uri,
        "MMM_S3_ENDPOINT": repository.server.endpoint,
        "MMM_S3_REGION": "us-east-1",
        "MMM_S3_ADDRESSING_STYLE": "Path",
        "MMM_TERMINATION_LOG": str(termination),
        "MMM_ROLLOUT_DIR": str(rollout.directory),
        "MMM_STATE_DIR": str(tmp_path / "state"),
        "MMM_OPERATIONS_PORT": str(port),
    }
    del environment["AWS_ENDPOINT_URL"]
    return Sidecar(environment, root, termination, rollout, port)


async def test_it_brings_the_first_version_and_then_every_other_that_is_wanted(
    sidecar: Sidecar, first: PublishedVersion, second: PublishedVersion
) -> None:
    async with sidecar.running():
        await sidecar.until(sidecar.started, "started")
        assert sidecar.visible() == {first.digest.removeprefix("sha256:")}
        sidecar.rollout.want(second)
        await sidecar.here(second)
        await sidecar.until(lambda: sidecar.document()["state"] == "FOLLOWING", "at rest")
        assert sidecar.document()["wanted"] == {"version": "2", "digest": second.digest}
        assert sidecar.document()["failed"] is None
        assert await sidecar.stop() == 1
    assert len(sidecar.visible()) == 2
    assert not sidecar.termination.exists()


async def test_what_is_wanted_at_the_start_goes_before_what_the_pod_was_made_with(
    sidecar: Sidecar, second: PublishedVersion
) -> None:
    sidecar.rollout.want(second)
    async with sidecar.running():
        await sidecar.until(sidecar.started, "started")
        assert sidecar.visible() == {second.digest.removeprefix("sha256:")}


async def test_a_pod_whose_first_version_does_not_come_does_not_begin(sidecar: Sidecar, repository: Repository) -> None:
    async with sidecar.running(MMM_MODEL_VERSION="7"):
        assert await asyncio.wait_for(sidecar.process.wait(), SECONDS) == 3
    assert json.loads(sidecar.termination.read_text())["reason"] == "VersionNotFound"


async def test_it_has_not_started_before_the_first_version_is_here(
    sidecar: Sidecar, repository: Repository, second: PublishedVersion
) -> None:
    sidecar.rollout.want(second)
    endpoint = repository.server.endpoint
    async with StallingProxy(endpoint, 2 * MIB) as proxy, sidecar.running(MMM_S3_ENDPOINT=proxy.endpoint):
        await asyncio.wait_for(proxy.stalled.wait(), SECONDS)
        answer = sidecar.page("/startupz")
        assert answer is not None
        assert answer.status_code == 503
        page = sidecar.page()
        assert page is not None
        assert FetchPage.model_validate_json(page.content).total_bytes > 3 * MIB
        assert await sidecar.stop() == 1
    assert sidecar.visible() == set()
    assert any(sidecar.root.glob(".partial-*/*")), "what has arrived is kept"


async def test_a_later_version_that_does_not_come_is_tried_until_it_does(
    first: PublishedVersion, tmp_path: Path, root: Path
) -> None:
    with S3Server(tmp_path / "s3") as store:
        repository = own_repository(store, tmp_path)
        versions = [await repository.published(name, weights=size) for name, size in (("1", 1000), ("2", 2000))]
        sidecar = make_sidecar(repository, versions[0], root, tmp_path)
        async with sidecar.running():
            await sidecar.until(sidecar.started, "started")
            await asyncio.to_thread(store.stop)
            sidecar.rollout.want(versions[1])
            await sidecar.failed("EndpointUnreachable")
            failure = sidecar.failure()
            assert failure is not None
            assert failure["digest"] == versions[1].digest
            assert sidecar.document()["failed"] == failure
            assert sidecar.started()
            await asyncio.to_thread(store.start)
            await sidecar.here(versions[1])
            await sidecar.healed()
            await sidecar.until(lambda: sidecar.document()["failed"] is None, "healed on the page")


def own_repository(store: S3Server, tmp_path: Path) -> Repository:
    (store.directory / "data" / "models").mkdir()
    storage = StorageOptions.model_validate(
        {
            "endpoint": store.endpoint,
            "region": store.region,
            "access_key_id": store.access_key,
            "secret_access_key": store.secret_key,
        }
    )
    return Repository(store, "models", storage, tmp_path / "own")


async def test_a_version_that_cannot_come_is_given_up_for_another(
    sidecar: Sidecar, first: PublishedVersion, second: PublishedVersion
) -> None:
    async with sidecar.running():
        await sidecar.until(sidecar.started, "started")
        missing = replace(second, version="9")
        sidecar.rollout.want(missing)
        await sidecar.failed("VersionNotFound")
        sidecar.rollout.want(first)
        await sidecar.healed()
        assert sidecar.started()


async def test_a_fetch_that_stalls_gives_way_to_another_version(
    sidecar: Sidecar, repository: Repository, first: PublishedVersion, second: PublishedVersion
) -> None:
    async with StallingProxy(repository.server.endpoint) as proxy, sidecar.running(MMM_S3_ENDPOINT=proxy.endpoint):
        await sidecar.until(sidecar.started, "started")
        proxy.budget = proxy.passed + MIB
        sidecar.rollout.want(second)
        await asyncio.wait_for(proxy.stalled.wait(), SECONDS)
        sidecar.rollout.want(first)
        await sidecar.until(lambda: sidecar.document()["state"] == "FOLLOWING", "at rest")
        assert sidecar.document()["wanted"]["version"] == "1"
        assert sidecar.visible() == {first.digest.removeprefix("sha256:")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 3000,
        '{"version": "2"}',
        '{"version": "../../1", "digest": "DIGEST"}',
        '{"version": "2/../1", "digest": "DIGEST"}',
        '{"version": "2", "digest": "sha256:../../../etc"}',
        '{"version": "2", "digest": "/etc"}',
        '{"version": "2", "digest": "DIGEST\\u0000"}',
        '{"version": 2, "digest": "DIGEST"}',
        '{"version": "2", "digest": "DIGEST"}' + " " * 5000,
    ],
)
async def test_what_makes_no_sense_is_said_and_changes_nothing(
    sidecar: Sidecar, first: PublishedVersion, second: PublishedVersion, text: str
) -> None:
    async with sidecar.running():
        await sidecar.until(sidecar.started, "started")
        sidecar.rollout.set(wanted=text.replace("DIGEST", second.digest))
        await sidecar.until(lambda: sidecar.document()["complaint"], "complaining")
        assert sidecar.document()["wanted"]["version"] == "1"
        assert sidecar.document()["complaint"].endswith(".")
        assert ".." not in sidecar.document()["complaint"]
        assert sidecar.visible() == {first.digest.removeprefix("sha256:")}
        sidecar.rollout.want(second)
        await sidecar.here(second)
        await sidecar.until(lambda: sidecar.document()["complaint"] is None, "content")
        assert sum("wanted.json" in line for line in sidecar.log().splitlines()) == 1


def hex_of(*versions: PublishedVersion) -> set[str]:
    return {version.digest.removeprefix("sha256:") for version in versions}


def use(sidecar: Sidecar, served: PublishedVersion, tried: PublishedVersion | None = None, reason: str = "") -> None:
    """Leaves what a server of the same pod leaves under /tmp."""
    aim = Version(tried.version, tried.digest) if tried else None
    why = (reason, "It did not answer as expected.") if reason else (None, None)
    remember(Path(sidecar.environment["MMM_STATE_DIR"]), Remembered(Version(served.version, served.digest), aim, *why))


async def test_what_the_server_serves_stays_however_many_versions_fail_after_it(
    sidecar: Sidecar, repository: Repository, first: PublishedVersion
) -> None:
    bad = [await repository.published(f"1.{number}", weights=2000 + number) for number in range(4)]
    async with sidecar.running():
        await sidecar.until(sidecar.started, "started")
        use(sidecar, first)
        for version in bad:
            sidecar.rollout.want(version)
            await sidecar.here(version)
            use(sidecar, first, version, "SmokeTestFailed")
        assert sidecar.visible() == hex_of(first, *bad[-2:])


async def test_nothing_is_removed_before_a_server_says_what_it_serves(
    sidecar: Sidecar, repository: Repository, first: PublishedVersion
) -> None:
    versions = [await repository.published(f"1.{number}", weights=2000 + number) for number in range(3)]
    async with sidecar.running():
        await sidecar.until(sidecar.started, "started")
        for version in versions:
            sidecar.rollout.want(version)
            await sidecar.here(version)
        assert sidecar.visible() == hex_of(first, *versions)
        use(sidecar, versions[0])
        sidecar.rollout.want(first)
        await sidecar.until(lambda: sidecar.visible() == hex_of(first, versions[0], versions[2]), "made room")


async def test_the_wanted_version_and_the_two_before_stay(sidecar: Sidecar, repository: Repository) -> None:
    versions = [await repository.published(f"1.{number}", weights=1000 + number) for number in range(4)]
    stranger = await repository.published("stranger", weights=5000)
    await repository.fetch(stranger, sidecar.root)
    async with sidecar.running():
        await sidecar.until(sidecar.started, "started")
        for version in versions:
            sidecar.rollout.want(version)
            await sidecar.here(version)
            use(sidecar, version)
        expected = hex_of(*versions[1:], stranger)
        assert sidecar.visible() == expected
        sidecar.rollout.want(versions[1])
        await sidecar.until(lambda: sidecar.document()["wanted"]["version"] == "1.1", "going back")
        await sidecar.until(lambda: sidecar.document()["state"] == "FOLLOWING", "at rest")
        assert sidecar.visible() == expected


async def test_a_process_that_begins_again_in_its_pod_never_holds_the_pod_up(
    sidecar: Sidecar, first: PublishedVersion, second: PublishedVersion
) -> None:
    async with sidecar.running():
        await sidecar.until(sidecar.started, "started")
    sidecar.rollout.want(second)
    async with sidecar.running(MMM_S3_ENDPOINT="http://127.0.0.1:1"):
        await sidecar.until(sidecar.started, "started")
        await sidecar.failed("EndpointUnreachable")
    async with sidecar.running():
        await sidecar.here(second)
        await sidecar.healed()


async def test_without_the_file_it_is_what_the_pod_was_made_with(
    sidecar: Sidecar, first: PublishedVersion, second: PublishedVersion
) -> None:
    sidecar.rollout.want(second)
    async with sidecar.running():
        await sidecar.until(sidecar.started, "started")
        sidecar.rollout.set()
        await sidecar.here(first)
        assert os.listdir(sidecar.rollout.directory / "..data") == []


async def test_a_version_that_gets_its_place_while_it_is_given_up_counts_as_one_that_came(
    repository: Repository,
    first: PublishedVersion,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    second = await repository.published("2", weights=2000)
    visible, given_up = root / second.digest.removeprefix("sha256:"), threading.Event()

    def slow(directory: Path) -> None:
        if visible.exists():
            assert given_up.wait(SECONDS)
        sync_directory(directory)

    monkeypatch.setattr(sys.modules[fetch.__module__], "sync_directory", slow)
    caplog.set_level(logging.INFO, "mmm_server.follow")
    rollout = Rollout(tmp_path / "rollout")
    rollout.want(second)
    environment = {
        "MMM_MODEL_ROOT": root,
        "MMM_MODEL_VERSION": first.version,
        "MMM_MODEL_DIGEST": first.digest,
        "MMM_SOURCE_URI": repository.uri,
        "MMM_ROLLOUT_DIR": rollout.directory,
        "MMM_STATE_DIR": tmp_path / "state",
    }
    settings = FetchSettings.model_validate(environment)
    following = asyncio.ensure_future(follow_wanted(settings, repository.storage))
    try:
        await until(visible.exists, following)
        rollout.want(first)
        await until(lambda: "another version is wanted" in caplog.messages, following)
        given_up.set()
        await until(lambda: FollowState(root).digests == [first.digest, second.digest], following)
    finally:
        given_up.set()
        following.cancel()
        await asyncio.wait([following])


async def until(condition: Callable[[], object], work: "asyncio.Future[None]") -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert not work.done()
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
