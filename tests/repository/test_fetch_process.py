"""`mmm-server fetch` as a container runs it: environment in, exit code, log lines and termination message out."""

import asyncio
import contextlib
import hashlib
import json
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from dev.localcluster.layout import free_ports
from mmm_repository import PublishedVersion
from tests.repository.conftest import Repository
from tests.repository.faults import SlowProxy, StallingProxy
from tests.repository.samples import MIB, flip_byte


@dataclass(frozen=True)
class Container:
    """Runs the fetcher with the environment of the contract."""

    environment: dict[str, str]
    termination: Path

    async def start(self, changes: Mapping[str, str]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mmm_server", "fetch"),
            env={**self.environment, **changes},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, **changes: str) -> tuple[int, list[dict[str, object]]]:
        """The exit code and the log lines."""
        process = await self.start(changes)
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, [json.loads(line) for line in output.decode().splitlines()]

    def last_words(self) -> dict[str, str]:
        words: dict[str, str] = json.loads(self.termination.read_text())
        return words


def visible(root: Path) -> list[str]:
    """What a server that looks for models could see."""
    return [path.name for path in root.iterdir() if not path.name.startswith(".")]


@pytest.fixture
async def published(repository: Repository) -> PublishedVersion:
    return await repository.published("2", weights=3 * MIB)


@pytest.fixture
def container(repository: Repository, published: PublishedVersion, root: Path, tmp_path: Path) -> Container:
    termination = tmp_path / "termination-log"
    environment = {
        **repository.environment(),
        "MMM_MODEL_ROOT": str(root),
        "MMM_MODEL_NAME": "clip",
        "MMM_MODEL_VERSION": "2",
        "MMM_MODEL_DIGEST": published.digest,
        "MMM_SOURCE_URI": repository.uri,
        "MMM_S3_ENDPOINT": repository.server.endpoint,
        "MMM_S3_REGION": "us-east-1",
        "MMM_S3_ADDRESSING_STYLE": "Path",
        "MMM_S3_CA_FILE": "",
        "MMM_S3_INSECURE_SKIP_TLS_VERIFY": "",
        "MMM_MAX_MODEL_BYTES": "",
        "MMM_LOG_LEVEL": "INFO",
        "MMM_TERMINATION_LOG": str(termination),
    }
    del environment["AWS_ENDPOINT_URL"]
    return Container(environment, termination)


async def test_a_fetch_that_succeeds(container: Container, published: PublishedVersion, root: Path) -> None:
    code, lines = await container.run()
    assert code == 0
    assert (root / published.digest.removeprefix("sha256:") / "config.json").is_file()
    assert lines[-1]["message"] == "the version is there"
    assert {"time", "level", "digest", "version", "seconds"} <= set(lines[-1])
    assert any(line["message"] == "downloading" and line["total_bytes"] for line in lines)
    assert not container.termination.exists()


async def test_the_init_container_does_not_pay_for_torch() -> None:
    check = "import sys, mmm_server.__main__, mmm_server.fetch; sys.exit('torch' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", check)
    assert await process.wait() == 0


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "canary-secret"}, 3, "AccessDenied"),
        ({"MMM_S3_ENDPOINT": "http://127.0.0.1:1"}, 1, "EndpointUnreachable"),
        ({"MMM_MODEL_VERSION": "7"}, 3, "VersionNotFound"),
        ({"MMM_SOURCE_URI": "s3://no-such-bucket/clip"}, 3, "ModelNotFound"),
        ({"MMM_MODEL_DIGEST": "sha256:" + "0" * 64}, 3, "DigestMismatch"),
        ({"MMM_MAX_MODEL_BYTES": "1000"}, 3, "ModelTooLarge"),
        ({"MMM_S3_CA_FILE": "/nowhere/ca.pem"}, 3, "TLSVerifyFailed"),
        ({"MMM_MODEL_ROOT": "/proc/models"}, 3, "InternalError"),
        ({"MMM_MODEL_VERSION": ""}, 2, "InternalError"),
        ({"MMM_S3_ENDPOINT": "http://user:canary-secret@host"}, 2, "InternalError"),
        ({"MMM_MAX_MODEL_BYTES": "many"}, 2, "InternalError"),
        ({"MMM_CACHE_CHECK": "Sometimes"}, 2, "InternalError"),
        ({"MMM_RETAIN_VERSIONS": "-1"}, 2, "InternalError"),
    ],
)
async def test_a_fetch_that_fails_leaves_its_reason(
    container: Container, changes: dict[str, str], code: int, reason: str
) -> None:
    ended, lines = await container.run(**changes)
    assert (ended, container.last_words()["reason"]) == (code, reason)
    assert container.last_words()["message"].endswith(".")
    assert "canary" not in str(lines) + str(container.last_words())


async def test_hashes_are_compared_at_a_start_where_that_is_wanted(
    container: Container, published: PublishedVersion, root: Path
) -> None:
    await container.run()
    weights = root / published.digest.removeprefix("sha256:") / "model.safetensors"
    good = weights.read_bytes()
    flip_byte(weights, 500)
    await container.run(MMM_CACHE_CHECK="Sizes")
    assert weights.read_bytes() != good
    await container.run(MMM_CACHE_CHECK="Hashes")
    assert weights.read_bytes() == good


async def test_old_versions_go_and_those_in_use_stay(
    container: Container, published: PublishedVersion, repository: Repository, root: Path
) -> None:
    old, used = await repository.published("0", weights=1000), await repository.published("1", weights=2000)
    for version in (old, used):
        await repository.fetch(version, root)
    code, _ = await container.run(MMM_RETAIN_VERSIONS="1", MMM_KEEP_DIGESTS=f"{used.digest} sha256:{'0' * 64}")
    assert code == 0
    assert {f"sha256:{name}" for name in visible(root)} == {used.digest, published.digest}


async def test_an_incomplete_upload_is_worth_another_try(container: Container, repository: Repository) -> None:
    (repository.disk / "2" / "manifest.json").unlink()
    code, _ = await container.run()
    assert (code, container.last_words()["reason"]) == (1, "IncompleteUpload")


async def test_a_termination_log_that_cannot_be_written_is_no_second_failure(container: Container) -> None:
    code, lines = await container.run(MMM_TERMINATION_LOG="/proc/nowhere", MMM_MODEL_VERSION="7")
    assert code == 3
    assert "cannot be written" in str(lines[-1]["message"])


async def test_a_fetcher_that_is_told_to_stop_stops(container: Container, repository: Repository, root: Path) -> None:
    async with StallingProxy(repository.server.endpoint, 2 * MIB) as proxy:
        process = await container.start({"MMM_S3_ENDPOINT": proxy.endpoint})
        await asyncio.wait_for(proxy.stalled.wait(), 30)
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 1
    assert b"told to stop" in output
    assert not container.termination.exists()
    assert visible(root) == []


async def test_it_says_on_a_page_how_far_it_is(container: Container, repository: Repository, root: Path) -> None:
    (port,) = free_ports(1)
    async with SlowProxy(repository.server.endpoint, 2 * MIB) as proxy, httpx.AsyncClient() as client:
        process = await container.start({"MMM_S3_ENDPOINT": proxy.endpoint, "MMM_OPERATIONS_PORT": str(port)})
        seen: list[tuple[int, int]] = []
        while process.returncode is None and not any(0 < done < total for done, total in seen):
            with contextlib.suppress(httpx.TransportError):
                page = (await client.get(f"http://127.0.0.1:{port}/v1/status")).json()
                assert page.pop("state") == "FETCHING"
                seen.append((page["downloadedBytes"], page["totalBytes"]))
            await asyncio.sleep(0.05)
        output, _ = await process.communicate()
    assert process.returncode == 0, output
    assert any(0 < done < total for done, total in seen)
    assert len(visible(root)) == 1


async def test_what_is_mounted_is_checked_where_it_is(
    container: Container, repository: Repository, published: PublishedVersion, root: Path
) -> None:
    place = root / published.digest.removeprefix("sha256:")
    shutil.copytree(repository.disk / "2", place)
    mounted = {"MMM_SOURCE_URI": "", "MMM_MODEL_IN_PLACE": "true", "MMM_S3_ENDPOINT": "http://127.0.0.1:1"}
    code, lines = await container.run(**mounted)
    assert (code, lines[-1]["directory"]) == (0, str(place))
    flip_byte(place / "model.safetensors", 2 * MIB)
    code, _ = await container.run(**mounted)
    assert (code, container.last_words()["reason"]) == (3, "DigestMismatch")


async def test_without_a_source_it_says_so(container: Container) -> None:
    code, _ = await container.run(MMM_SOURCE_URI="")
    assert code == 2
    assert "either MMM_SOURCE_URI or MMM_MODEL_IN_PLACE" in container.last_words()["message"]


async def test_told_to_stop_it_checks_no_further(container: Container, root: Path) -> None:
    # A file that is never done, in place of one that takes minutes to hash.
    size = 1 << 40
    manifest = {"files": [{"path": "model.safetensors", "sha256": "0" * 64, "size": size}], "format": 1, "metadata": {}}
    content = json.dumps(manifest, separators=(",", ":")).encode()
    digest = hashlib.sha256(content).hexdigest()
    (root / digest).mkdir(parents=True)
    (root / digest / "manifest.json").write_bytes(content)
    with (root / digest / "model.safetensors").open("wb") as sparse:
        sparse.truncate(size)
    mounted = {"MMM_SOURCE_URI": "", "MMM_MODEL_IN_PLACE": "true", "MMM_MODEL_DIGEST": f"sha256:{digest}"}
    process = await container.start(mounted)
    assert process.stdout is not None
    while b"comparing hashes" not in await process.stdout.readline():
        assert process.returncode is None
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 1
