"""`mmm` against a real store, as a user runs it."""

import asyncio
import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from mmm_cli.app import app
from tests.repository.chaos.servers import versity
from tests.repository.conftest import Repository
from tests.repository.faults import SlowProxy
from tests.repository.plain_store import PlainStore
from tests.repository.samples import MIB, contents_of, flip_byte

Mmm = Callable[..., Result]


@pytest.fixture
def mmm(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Mmm:
    """Runs the command line with the address and the credentials of the store in its environment."""
    for name, value in repository.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_publish_then_versions_then_verify(mmm: Mmm, repository: Repository) -> None:
    published = mmm(
        "publish", repository.model(), repository.uri, "--version", "2", *("-m", "accuracy=0.93", "-m", "by=me")
    )
    assert published.exit_code == 0, published.output
    assert f"{repository.uri}/2" in published.stdout
    listed = mmm("versions", repository.uri, "-o", "json")
    [entry] = json.loads(listed.stdout)
    assert (entry["version"], entry["complete"]) == ("2", True)
    assert entry["digest"] in published.stdout
    verified = mmm("verify", f"{repository.uri}/2", "-o", "yaml")
    document = yaml.safe_load(verified.stdout)
    assert document["digest"] == entry["digest"]
    assert document["metadata"]["accuracy"] == 0.93
    assert document["metadata"]["by"] == "me"


def test_publishing_twice_is_refused(mmm: Mmm, repository: Repository) -> None:
    mmm("publish", repository.model(), repository.uri, "--version", "2")
    again = mmm("publish", repository.model(), repository.uri, "--version", "2")
    assert again.exit_code == 1
    assert "VersionExists: Version 2 under" in again.stderr
    assert again.stdout == ""


def test_a_dry_run_sends_nothing(mmm: Mmm, repository: Repository) -> None:
    tried = mmm("publish", repository.model(), repository.uri, "--version", "2", "--dry-run", "-o", "json")
    assert json.loads(tried.stdout)["dryRun"] is True
    assert not repository.disk.exists()


def test_versions_as_a_table(mmm: Mmm, repository: Repository) -> None:
    mmm("publish", repository.model(), repository.uri, "--version", "10")
    mmm("publish", repository.model(), repository.uri, "--version", "9")
    (repository.disk / "11").mkdir()
    (repository.disk / "11" / "config.json").write_text("{}")
    lines = mmm("versions", repository.uri).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["VERSION", "STATE"],
        ["9", "complete"],
        ["10", "complete"],
        ["11", "incomplete"],
    ]
    assert len(lines[1].split()[2]) == len("sha256:") + 64, "digests are never cut"


def test_verify_finds_a_flipped_bit(mmm: Mmm, repository: Repository) -> None:
    mmm("publish", repository.model(), repository.uri, "--version", "2")
    flip_byte(repository.disk / "2" / "model.safetensors", 500)
    verified = mmm("verify", f"{repository.uri}/2")
    assert verified.exit_code == 1
    assert "DigestMismatch" in verified.stderr


def test_verify_checks_a_directory_before_it_is_published(mmm: Mmm, repository: Repository) -> None:
    directory = repository.model()
    assert mmm("verify", directory).exit_code == 0
    (directory / "modeling.py").write_text("")
    verified = mmm("verify", directory)
    assert verified.exit_code == 1
    assert "UnsafeArtifact" in verified.stderr


def test_nobody_at_the_endpoint_is_said_in_a_sentence(mmm: Mmm, repository: Repository) -> None:
    failed = mmm("versions", repository.uri, "--endpoint", "http://127.0.0.1:1")
    assert failed.exit_code == 1
    assert failed.stderr == "EndpointUnreachable: 127.0.0.1:1 refuses connections: nothing listens there.\n"


def test_an_endpoint_that_is_none_is_wrong_usage(mmm: Mmm, repository: Repository) -> None:
    assert mmm("versions", repository.uri, "--endpoint", "minio:9000").exit_code == 2


def test_the_tools_own_variable_for_s3_comes_first(
    mmm: Mmm, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    assert mmm("versions", repository.uri).exit_code == 1


def test_a_local_directory_can_be_published_to(mmm: Mmm, repository: Repository, tmp_path: Path) -> None:
    target = tmp_path / "mounted" / "clip"
    assert mmm("publish", repository.model(), target, "--version", "1").exit_code == 0
    assert mmm("verify", f"file://{target}/1").exit_code == 0
    assert mmm("verify", target / "1").exit_code == 0


def test_a_version_is_pulled_whole_and_once(mmm: Mmm, repository: Repository, tmp_path: Path) -> None:
    mmm("publish", repository.model(weights=20 * MIB), repository.uri, "--version", "2")
    target = tmp_path / "here" / "clip"
    pulled = mmm("pull", f"{repository.uri}/2", target, "-o", "json")
    assert pulled.exit_code == 0, pulled.stderr
    digest = json.loads(pulled.stdout)["digest"]
    assert contents_of(repository.model(weights=20 * MIB)).items() <= contents_of(target).items()
    assert set(contents_of(target)) - set(contents_of(repository.model(weights=20 * MIB))) == {"manifest.json"}
    assert [path.name for path in target.parent.iterdir()] == ["clip"], "nothing is left beside it"
    assert digest in mmm("verify", target).stdout
    modified = target.stat().st_mtime_ns
    assert mmm("pull", f"{repository.uri}/2", target, "--digest", digest).exit_code == 0
    assert target.stat().st_mtime_ns == modified


def test_a_pull_never_replaces_what_is_there(mmm: Mmm, repository: Repository, tmp_path: Path) -> None:
    mmm("publish", repository.model(), repository.uri, "--version", "2")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").write_text("a week's work")
    refused = mmm("pull", f"{repository.uri}/2", tmp_path / "mine")
    assert refused.exit_code == 1
    assert "is there already, and is not this version" in refused.stderr
    assert contents_of(tmp_path / "mine").keys() == {"work.txt"}


def test_a_pull_of_other_bytes_than_wanted_is_refused(mmm: Mmm, repository: Repository, tmp_path: Path) -> None:
    mmm("publish", repository.model(), repository.uri, "--version", "2")
    refused = mmm("pull", f"{repository.uri}/2", tmp_path / "x", "--digest", "sha256:" + "0" * 64)
    assert (refused.exit_code, refused.stderr.split(":")[0]) == (1, "DigestMismatch")
    flip_byte(repository.disk / "2" / "model.safetensors", 500)
    assert mmm("pull", f"{repository.uri}/2", tmp_path / "x").exit_code == 1
    assert not (tmp_path / "x").exists()


def test_a_pull_goes_where_its_name_says(
    mmm: Mmm, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mmm("publish", repository.model(), repository.uri, "--version", "2")
    monkeypatch.chdir(tmp_path)
    assert mmm("pull", f"{repository.uri}/2").exit_code == 0
    assert mmm("verify", "clip-2").exit_code == 0


async def test_a_terminal_sees_rate_and_time_left(repository: Repository) -> None:
    directory = repository.model(weights=72 * MIB)
    async with SlowProxy(repository.server.endpoint, 24 * MIB) as proxy:
        seen = await asyncio.to_thread(
            run_in_terminal,
            ["publish", str(directory), repository.uri, "--version", "2"],
            repository.environment(proxy.endpoint),
        )
    shown = re.findall(r"uploading [^\r]*? ([\d.]+)/72.0 MiB +([\d.]+) MB/s +0:00:0\d", seen)
    assert any(0 < float(done) < 72 for done, _ in shown), seen[-2000:]
    assert all(float(rate) < 60 for _, rate in shown), "what is only on its way is not counted"


def run_in_terminal(arguments: list[str], environment: dict[str, str]) -> str:
    """What the command draws on a terminal of 120 columns."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mmm_cli", *arguments],
        env={**environment, "COLUMNS": "120", "TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    drawn = bytearray()
    with open(controller, "rb", buffering=0) as screen, contextlib.suppress(OSError):
        # The end of a terminal is an error, as there is no end of input.
        while block := screen.read(65536):
            drawn += block
    assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode())


def test_a_bucket_without_manifests_is_unverified_everywhere(mmm: Mmm, repository: Repository, tmp_path: Path) -> None:
    plain = PlainStore(versity(repository.server, repository.bucket), "clip")
    plain.fill("1", repository.model())
    plain.put("2/config.json", b"{}")
    lines = [line.split() for line in mmm("versions", repository.uri).stdout.splitlines()]
    assert [line[:2] for line in lines[1:]] == [["1", "unverified"], ["2", "incomplete"]]
    first, second = json.loads(mmm("versions", repository.uri, "-o", "json").stdout)
    assert (first["complete"], first["verified"], first["digest"]) == (True, False, lines[1][2])
    assert (second["complete"], second["verified"]) == (False, False)
    verified = mmm("verify", f"{repository.uri}/1")
    assert verified.exit_code == 1
    assert "NothingToVerify: Version 1 under" in verified.stderr
    for _ in range(2):
        pulled = mmm("pull", f"{repository.uri}/1", tmp_path / "here")
        assert pulled.exit_code == 0, pulled.stderr
        assert "is unverified" in pulled.stderr
        assert first["digest"] in pulled.stdout
    assert contents_of(repository.model()).items() <= contents_of(tmp_path / "here").items()
    again = mmm("verify", tmp_path / "here")
    assert (again.exit_code, first["digest"] in again.stdout) == (0, True)
    assert "never published" in again.stderr
    flip_byte(tmp_path / "here" / "model.safetensors", 500)
    assert mmm("verify", tmp_path / "here").exit_code == 1


def test_what_was_pulled_unverified_can_be_published(mmm: Mmm, repository: Repository, tmp_path: Path) -> None:
    PlainStore(versity(repository.server, repository.bucket), "clip").fill("1", repository.model())
    mmm("pull", f"{repository.uri}/1", tmp_path / "here")
    assert mmm("publish", tmp_path / "here", repository.uri, "--version", "2").exit_code == 0
    assert mmm("verify", f"{repository.uri}/2").exit_code == 0
    states = [line.split()[:2] for line in mmm("versions", repository.uri).stdout.splitlines()[1:]]
    assert states == [["1", "incomplete"], ["2", "complete"]]
