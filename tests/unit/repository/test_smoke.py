"""smoke.json: what it may say, what it may name, and what counts as the expected answer."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from mmm_repository import RepositoryError, SmokeTest, publish, read_smoke, verify_directory
from mmm_repository.errors import InvalidDirectory
from mmm_repository.expectations import parse_expectation
from mmm_repository.smoke import MAX_REQUESTS, MAX_SMOKE_BYTES, look_up, parse_smoke
from mmm_repository.storage import StorageOptions

CAT: dict[str, Any] = {
    "name": "a cat is a cat",
    "path": "/predict",
    "body": {"images": [{"file": "smoke/cat.jpg"}], "labels": ["cat", "dog"]},
    "expect": {"/predictions/0/label": "cat", "/predictions/0/score": {"min": 0.5}},
}


def model(root: Path, *requests: dict[str, Any], **more: object) -> Path:
    (root / "smoke").mkdir(parents=True)
    (root / "config.json").write_text('{"architectures": ["FakeDualEncoder"], "model_type": "fake"}')
    (root / "smoke" / "cat.jpg").write_bytes(b"\xff\xd8 a cat")
    (root / "smoke.json").write_text(json.dumps({"format": 1, "requests": list(requests) or [CAT], **more}))
    return root


def answer(label: str, score: object) -> dict[str, Any]:
    return {"predictions": [{"label": label, "score": score}]}


def test_a_directory_without_smoke_tests_has_none(tmp_path: Path) -> None:
    assert read_smoke(tmp_path) == ()


def test_pictures_are_put_where_the_body_names_them(tmp_path: Path) -> None:
    (test,) = read_smoke(model(tmp_path / "m"))
    assert test.body["images"] == [base64.b64encode(b"\xff\xd8 a cat").decode()]
    assert test.body["labels"] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("status", "found", "words"),
    [
        (200, answer("cat", 0.5), None),
        (200, answer("dog", 0.9), '/predictions/0/label should be "cat", but is "dog"'),
        (200, answer("cat", 0.49), "/predictions/0/score should be at least 0.5, but is 0.49"),
        (200, answer("cat", True), "/predictions/0/score should be at least 0.5, but is true"),
        (200, {"predictions": []}, '/predictions/0/label should be "cat", but is not there'),
        (200, None, '/predictions/0/label should be "cat", but is not there'),
        (503, answer("cat", 1), "the status should be 200, but is 503"),
    ],
)
def test_an_answer_is_compared_place_by_place(tmp_path: Path, status: int, found: object, words: str | None) -> None:
    (test,) = read_smoke(model(tmp_path / "m"))
    assert test.difference(status, found) == words


@pytest.mark.parametrize(
    ("expected", "found", "holds"),
    [
        ("cat", "cat", True), (1, True, False), (True, 1, False), (None, None, True), (0, None, False), (2, 2.0, True),
        ({"max": 1}, 1, True), ({"max": 1}, 1.01, False), ({"min": 0, "max": 1}, "1", False),
        ({"near": 0.5}, 0.5009, True), ({"near": 0.5}, 0.502, False), ({"near": 0.5, "tolerance": 0.1}, 0.6, True),
        ({"near": [1, 2]}, [1.0005, 2], True), ({"near": [1, 2]}, [1], False), ({"near": [1, 2]}, [1, "2"], False),
        ({"vector": [1, 0]}, [5, 0.1], True), ({"vector": [1, 0]}, [1, 1], False), ({"vector": [1, 0]}, [0, 0], False),
        ({"vector": [1e308, 1e308]}, [1e308, 1e308], True), ({"vector": [1e308, 1e308]}, [1e308, -1e308], False),
        ({"vector": [1e-308, 0]}, [1e308, 0], True), ({"vector": [1, 0]}, [10**308, 0], True),
        ({"vector": [5e-324, 0]}, [0, 5e-324], False), ({"vector": [0, 0], "cosine": -1}, [1, 0], False),
        ({"vector": [1, 0], "cosine": 0.7}, [1, 1], True), ({"vector": [1, 0]}, [1, 0, 0], False),
    ],
)  # fmt: skip
def test_what_counts_as_expected(expected: object, found: object, holds: bool) -> None:
    assert parse_expectation(expected).holds(found) is holds


@pytest.mark.parametrize(("pointer", "value"), [("", {"a/b": {"~": [7]}}), ("/a~1b/~0/0", 7), ("/a~1b", {"~": [7]})])
def test_pointers_find_escaped_names(pointer: str, value: object) -> None:
    assert look_up({"a/b": {"~": [7]}}, pointer) == value


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field": ({**CAT, "method": "GET"}, "Extra inputs"),
    "no name": ({key: value for key, value in CAT.items() if key != "name"}, "name: Field required"),
    "a path that is none": ({**CAT, "path": "/v1/status"}, "has a path that is none of /predict"),
    "a pointer that is none": ({**CAT, "expect": {"predictions": 1}}, "no JSON pointer"),
    "a list as expectation": ({**CAT, "expect": {"/a": [1]}}, "a list is expected as"),
    "an unknown expectation": ({**CAT, "expect": {"/a": {"about": 1}}}, "other members than"),
    "bounds without a number between": ({**CAT, "expect": {"/a": {"min": 2, "max": 1}}}, "min is more than max"),
    "a bound that is no number": ({**CAT, "expect": {"/a": {"min": "1"}}}, "min is no number"),
    "a number beyond every float": ({**CAT, "expect": {"/a": {"min": 10**400}}}, "min is no number"),
    "a status that is none": ({**CAT, "status": 99}, "status"),
    "a status in words": ({**CAT, "status": "200"}, "status"),
    "a file above": ({**CAT, "body": {"images": [{"file": "../cat.jpg"}]}}, "which is refused"),
    "an absolute file": ({**CAT, "body": {"images": [{"file": "/etc/passwd"}]}}, "it is absolute"),
    "a file that is missing": ({**CAT, "body": {"images": [{"file": "smoke/dog.jpg"}]}}, "is not there"),
    "a directory": ({**CAT, "body": {"images": [{"file": "smoke"}]}}, "is not there"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_said_and_never_published(tmp_path: Path, name: str) -> None:
    request, words = BROKEN[name]
    root = model(tmp_path / "m", request)
    with pytest.raises(InvalidDirectory) as raised:
        verify_directory(root)
    assert words in raised.value.message


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{", b'{"format": 1}', b'{"format": 2, "requests": []}', b'{"format": 1, "requests": []}',
        b'{"format": 1, "format": 1, "requests": [{}]}', b'{"format": NaN, "requests": []}', b"\xff", b"[" * 100_000,
        json.dumps({"format": 1, "requests": [CAT, CAT]}).encode(),
        json.dumps({"format": 1, "requests": [{**CAT, "name": str(n)} for n in range(MAX_REQUESTS + 1)]}).encode(),
    ],
)  # fmt: skip
def test_a_file_that_breaks_the_format_is_refused_in_one_sentence(content: bytes) -> None:
    with pytest.raises(InvalidDirectory) as raised:
        parse_smoke(content)
    assert raised.value.message.startswith("smoke.json ")
    assert "\n" not in raised.value.message


def test_a_link_out_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    root = model(tmp_path / "m")
    (root / "smoke" / "cat.jpg").unlink()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (root / "smoke" / "cat.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(InvalidDirectory, match="a link out of"):
        read_smoke(root)


def test_a_link_that_leads_nowhere_is_not_taken_for_a_version_without_tests(tmp_path: Path) -> None:
    root = model(tmp_path / "m")
    (root / "smoke.json").unlink()
    (root / "smoke.json").symlink_to(root / "away.json")
    with pytest.raises(InvalidDirectory):
        read_smoke(root)


def test_the_file_is_bounded(tmp_path: Path) -> None:
    root = model(tmp_path / "m")
    (root / "smoke.json").write_bytes(b" " * (MAX_SMOKE_BYTES + 1))
    with pytest.raises(InvalidDirectory, match="larger than"):
        read_smoke(root)


async def test_a_version_is_published_with_its_smoke_tests_or_not_at_all(tmp_path: Path) -> None:
    store = (tmp_path / "store").as_uri()
    done = await publish(model(tmp_path / "m"), store, "1", StorageOptions())
    assert {"smoke.json", "smoke/cat.jpg"} <= {entry.path for entry in done.manifest.files}
    with pytest.raises(RepositoryError):
        await publish(model(tmp_path / "broken", {**CAT, "path": "/"}), store, "2", StorageOptions())
    assert not (tmp_path / "store" / "2").exists()
    assert isinstance(read_smoke(tmp_path / "store" / "1")[0], SmokeTest)
