"""Pinned programs are built once, whole or not at all, whoever else builds at the same time."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dev.tools import BuildError, tool
from dev.tools.pins import BUILDS, REPOSITORY, build_of

FAKE_GO = """#!/bin/sh
echo called >> "$CALLS"
sleep 0.2
{ending}
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a compiler that only notes that it was called."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    compiler(tmp_path, "echo program > $GOBIN/helm")
    return tmp_path


def compiler(folder: Path, ending: str) -> None:
    go = folder / "bin" / "go"
    go.write_text(FAKE_GO.format(ending=ending))
    go.chmod(0o755)


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().splitlines())


def test_program_is_built_once(cache: Path) -> None:
    path = tool("helm")
    assert path.read_text() == "program\n"
    assert tool("helm") == path
    assert calls(cache) == 1


def test_builders_at_the_same_time_share_one_build(cache: Path) -> None:
    command = [sys.executable, "-m", "dev.tools", "path", "helm"]
    both = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    answers = {process.communicate()[0] for process in both}
    assert len(answers) == 1
    assert calls(cache) == 1


def test_failed_build_ends_with_the_compilers_words_and_is_tried_again(cache: Path) -> None:
    compiler(cache, "echo undefined: frobnicate; exit 1")
    with pytest.raises(BuildError, match="undefined: frobnicate"):
        tool("helm")
    compiler(cache, "echo program > $GOBIN/helm")
    assert tool("helm").exists()


def test_half_a_build_is_never_mistaken_for_a_program(cache: Path) -> None:
    partial = cache / "cache" / "multimodal-operator" / "bin" / f"{build_of('helm').key}.partial"
    partial.mkdir(parents=True)
    (partial / "helm").write_text("half a prog")
    assert tool("helm").read_text() == "program\n"


def test_unknown_program_is_refused_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="kubectl"):
        tool("kubeclt")


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)
def test_new_version_is_a_new_build(build: object) -> None:
    build = build_of(str(getattr(build, "name", "")))
    assert replace(build, version="0.0.1").key != build.key


def test_programs_of_kubernetes_are_one_build() -> None:
    assert build_of("kubectl") == build_of("kubelet") == build_of("etcd")
