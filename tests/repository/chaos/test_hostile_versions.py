"""The corpora of hostile names and files as versions in a store: nothing of them ever lies where a loader looks."""

import json
from pathlib import Path

from mmm_repository import FileEntry, InvalidManifest, RepositoryError, UnsafeArtifact, digest_of, fetch
from mmm_repository.manifest import build_manifest
from tests.chaos.size import sized
from tests.repository.chaos.ground import looks_whole
from tests.repository.chaos.report import record
from tests.repository.conftest import Repository
from tests.repository.hostile_artifacts import Artifact, good_artifacts, hostile_artifacts
from tests.repository.hostile_names import hostile_names
from tests.repository.samples import contents_of

STEP = sized(12, 1)


def write_version(repository: Repository, version: str, artifacts: list[Artifact]) -> str:
    """A version written past the publisher; its digest."""
    entries = []
    for artifact in artifacts:
        location = repository.disk / version / artifact.path
        location.parent.mkdir(parents=True, exist_ok=True)
        location.write_bytes(artifact.content)
        sha256 = digest_of(artifact.content).removeprefix("sha256:")
        entries.append(FileEntry(path=artifact.path, size=len(artifact.content), sha256=sha256))
    content = build_manifest(entries, {}).canonical_bytes()
    (repository.disk / version / "manifest.json").write_bytes(content)
    return digest_of(content)


async def refusal(repository: Repository, version: str, digest: str, root: Path) -> RepositoryError | None:
    """What the fetch was refused with."""
    try:
        await fetch(repository.uri, version, digest, root, repository.storage)
    except RepositoryError as error:
        return error
    return None


async def test_no_hostile_file_reaches_the_place_where_loaders_look(repository: Repository, root: Path) -> None:
    harmless = Artifact("readme.txt", b"harmless", "")
    wrong = []
    for number, artifact in enumerate(hostile_artifacts()[::STEP]):
        digest = write_version(repository, str(number), [harmless, artifact])
        error = await refusal(repository, str(number), digest, root)
        right = isinstance(error, UnsafeArtifact) and artifact.words in error.message
        what = "" if right and not looks_whole(root) else f"{artifact.name}: {error}"
        record("hostile files", f"{number}: {artifact.name}", what)
        wrong += [what] if what else []
    assert wrong == []
    assert [path for path in contents_of(root) if not path.startswith(".lock-")] == []


async def test_no_hostile_name_is_written_anywhere(repository: Repository, root: Path) -> None:
    (repository.disk / "1").mkdir(parents=True)
    before, wrong = contents_of(root.parent), []
    for name, words in hostile_names()[::STEP]:
        content = manifest_with(name)
        (repository.disk / "1" / "manifest.json").write_bytes(content)
        error = await refusal(repository, "1", digest_of(content), root)
        right = isinstance(error, InvalidManifest) and words in error.message
        record("hostile names", ascii(name), "" if right else str(error))
        wrong += [] if right else [f"{name!a}: {error}"]
    assert wrong == []
    after = contents_of(root.parent)
    assert {path for path in after if path not in before and "/.lock-" not in path} == set()


def manifest_with(name: str) -> bytes:
    """A manifest of one file of that name; escaped, as UTF-8 cannot say every one of them."""
    entry = {"path": name, "sha256": "0" * 64, "size": 1}
    return json.dumps({"files": [entry], "format": 1, "metadata": {}}).encode()


async def test_good_files_are_all_let_through(repository: Repository, root: Path) -> None:
    good = good_artifacts()
    digest = write_version(repository, "1", good)
    fetched = await fetch(repository.uri, "1", digest, root, repository.storage)
    assert {artifact.path for artifact in good} <= set(contents_of(fetched))
