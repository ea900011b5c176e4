"""The corpora of hostile names and files: each is refused in its own words, and what resembles it is let through."""

import sys
from contextlib import suppress
from pathlib import Path

import pytest

from mmm_repository import InvalidManifest, UnsafeArtifact
from mmm_repository.artifacts import check_file
from mmm_repository.manifest import canonical_json, parse_manifest
from mmm_repository.paths import check_paths, refusal_of_path
from tests.repository.hostile_artifacts import Artifact, good_artifacts, hostile_artifacts
from tests.repository.hostile_names import COLLISIONS, GOOD, INSIDE_EACH_OTHER, hostile_names

NAMES, ARTIFACTS = hostile_names(), hostile_artifacts()
# What a check of untrusted bytes must never do, as Python's own audit tells it.
EXECUTIONS = ("pickle.find_class", "exec", "compile", "import", "os.system", "subprocess.Popen", "socket.connect")


def test_the_corpora_are_as_large_as_was_promised() -> None:
    assert len(NAMES) >= 300
    assert len({(artifact.path, artifact.content) for artifact in ARTIFACTS}) >= 200


def test_every_hostile_name_is_refused_in_its_own_words() -> None:
    answers = [(name, words, refusal_of_path(name)) for name, words in NAMES]
    assert [answer for answer in answers if answer[1] not in (answer[2] or "")] == []


def test_a_manifest_with_a_hostile_name_is_refused() -> None:
    accepted = []
    for name, _ in NAMES:
        entry = {"path": name, "size": 1, "sha256": "0" * 64}
        try:
            # A lone surrogate cannot be written in UTF-8; a manifest can still hold it as an escape.
            content = canonical_json({"format": 1, "files": [entry], "metadata": {}})
        except UnicodeEncodeError:
            content = b'{"format":1,"files":[{"path":"a\\ud800","size":1,"sha256":"' + b"0" * 64 + b'"}]}'
        with suppress(InvalidManifest):
            accepted.append(parse_manifest(content))
    assert accepted == []


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_is_let_through(name: str) -> None:
    check_paths([name])


@pytest.mark.parametrize("pair", COLLISIONS)
def test_two_names_of_one_file_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(InvalidManifest, match="mean the same file"):
        check_paths(pair)


@pytest.mark.parametrize("pair", INSIDE_EACH_OTHER)
def test_a_file_inside_a_file_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(InvalidManifest, match="lies inside another file"):
        check_paths(pair)


def test_every_hostile_file_is_refused_in_its_own_words_and_nothing_in_it_runs(tmp_path: Path) -> None:
    with Audit() as audit:
        wrong = [(artifact.name, words) for artifact in ARTIFACTS if (words := refusal(tmp_path, artifact))]
    assert wrong == []
    assert audit.seen == []


@pytest.mark.parametrize("artifact", good_artifacts(), ids=lambda artifact: artifact.path)
def test_a_good_file_is_let_through(tmp_path: Path, artifact: Artifact) -> None:
    write(tmp_path, artifact)
    check_file(tmp_path, artifact.path)


class Audit:
    """Notes what would run code while it is open; the hook itself can never be taken away again."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._open = False
        sys.addaudithook(self._hear)

    def __enter__(self) -> "Audit":
        self._open = True
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False

    def _hear(self, event: str, _: object) -> None:
        if self._open and event in EXECUTIONS:
            self.seen.append(event)


def write(root: Path, artifact: Artifact) -> None:
    location = root / artifact.path
    location.parent.mkdir(parents=True, exist_ok=True)
    location.write_bytes(artifact.content)


def refusal(root: Path, artifact: Artifact) -> str | None:
    """What was said instead of the right words; None where they were said."""
    write(root, artifact)
    try:
        check_file(root, artifact.path)
    except UnsafeArtifact as error:
        return None if artifact.words in error.message and error.message.isprintable() else error.message
    return "let through"
