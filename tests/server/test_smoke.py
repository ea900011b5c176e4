"""A version is asked its own smoke.json before it serves, through the routes that clients use."""

import asyncio
import base64
import json
import math
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from mmm_repository.smoke import PATHS, SmokeTest
from mmm_server.backends.fake import FakeBackend, Faults
from mmm_server.http.loop_lag import SAMPLE_SECONDS, LagMeter, measured
from mmm_server.http.smoke import body_of
from tests.server.harness import ServerProcess
from tests.server.models import publish_fake

PICTURE = {"file": "smoke/picture.jpg"}
TEXT: dict[str, Any] = {"name": "a text", "path": "/v1/embed", "body": {"texts": ["a"]}}


def vector(salt: str, text: str) -> list[float]:
    """What the fake answers for a text."""
    backend = FakeBackend("FakeDualEncoder", Faults(salt=salt))
    row: list[float] = backend.launch(backend.prepare_texts([text]))()[0].tolist()
    return row


def start(tmp_path: Path, smoke: list[dict[str, Any]] | None, **faults: object) -> ServerProcess:
    digest = publish_fake(tmp_path / "models", "v", smoke, **faults)
    environment = {"MMM_MODEL_ROOT": str(tmp_path / "models"), "MMM_MODEL_DIGEST": digest, "MMM_MODEL_NAME": "clip"}
    return ServerProcess(tmp_path / "server", environment)


EVERY_ROUTE: dict[str, dict[str, Any]] = {
    "/predict": {"body": {"images": [PICTURE], "labels": ["a", "b"]}, "expect": {"/predictions/0/score": {"min": 0.5}}},
    "/v1/classify": {"body": {"image": PICTURE, "labels": ["a"]}, "expect": {"/predictions/0/label": "a"}},
    "/v1/embed": {
        "body": {"texts": ["a"]},
        "expect": {"/embeddings/0/embedding": {"vector": vector("v", "a")}, "/dimensions": 8},
    },
    "/v1/similarity": {"body": {"images": [PICTURE], "texts": ["a"]}, "expect": {"/similarities/0/0": {"max": 1}}},
    "/v1/embeddings": {
        "body": {"model": "{model}", "input": ["a", {"image": PICTURE}]},
        "expect": {"/data/0/embedding": {"near": vector("v", "a")}, "/model": "clip"},
    },
    "/v2/models/{model}/infer": {
        "body": {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}]},
        "expect": {"/outputs/0/data": {"near": vector("v", "a")}},
    },
}


def test_every_route_can_be_asked_and_nobody_counts_it_as_traffic(tmp_path: Path) -> None:
    assert tuple(EVERY_ROUTE) == PATHS
    tests = [{"name": path, "path": path, **rest} for path, rest in EVERY_ROUTE.items()]
    refused = {"name": "nothing to classify", "path": "/predict", "body": {"labels": ["a"]}, "status": 422}
    refused["expect"] = {"/code": "unprocessable"}
    with start(tmp_path, [*tests, refused]) as server:
        server.wait_ready()
        assert (server.log_line("smoke tests passed") or {})["requests"] == len(PATHS) + 1
        counted = httpx.get(f"{server.operations_url}/metrics").text
        assert 'route="/predict"' not in counted
        (model,) = httpx.get(f"{server.url}/v2/models/stats").json()["model_stats"]
        assert model["inference_stats"]["success"]["count"] == 0
        answer = httpx.post(f"{server.url}/v1/embed", json={"texts": ["a"]}).json()
        assert math.dist(answer["embeddings"][0]["embedding"], vector("v", "a")) < 1e-5


UNEXPECTED: dict[str, tuple[dict[str, Any], str]] = {
    "another vector": (
        {**TEXT, "expect": {"/embeddings/0/embedding": {"vector": vector("another checkpoint", "a")}}},
        'The smoke test "a text" failed: /embeddings/0/embedding should be a vector of 8 numbers with a cosine of at '
        "least 0.99 to the one expected, but is a list of 8.",
    ),
    "another label": (
        {
            "name": "a cat",
            "path": "/predict",
            "body": {"images": [PICTURE], "labels": ["cat"]},
            "expect": {"/predictions/0/label": "dog"},
        },
        'The smoke test "a cat" failed: /predictions/0/label should be "dog", but is "cat".',
    ),
    "a refusal": (
        {**TEXT, "body": {"texts": []}},
        'The smoke test "a text" failed: the status should be 200, but is 422.',
    ),
    "a file that is no picture": (
        {"name": "a cat", "path": "/v1/embed", "body": {"images": [{"file": "config.json"}]}},
        'The smoke test "a cat" failed: the status should be 200, but is 415.',
    ),
    "a file that is missing": (
        {**TEXT, "body": {"images": [{"file": "smoke/cat.jpg"}]}},
        'smoke.json names the file "smoke/cat.jpg", which is not there.',
    ),
    "a broken format": ({**TEXT, "status": "good"}, "smoke.json is not a valid smoke test: requests.0.status: "),
}


@pytest.mark.parametrize("name", UNEXPECTED)
def test_a_version_that_does_not_answer_as_expected_never_serves(tmp_path: Path, name: str) -> None:
    request, words = UNEXPECTED[name]
    with start(tmp_path, [request]) as server:
        assert server.wait_exit() == 3
        termination = server.termination()
    assert termination["reason"] == "SmokeTestFailed"
    assert termination["message"].startswith(words)


def test_a_server_is_not_ready_while_it_is_examined(tmp_path: Path) -> None:
    slow = {**TEXT, "body": {"texts": ["slow"]}}
    with start(tmp_path, [slow], hang="slow", hang_seconds=2.0) as server, httpx.Client(base_url=server.url) as client:
        seen = set()
        while client.get("/readyz").status_code != 200:
            seen.add(server.status()["state"])
            assert client.post("/v1/embed", json={"texts": ["a"]}).status_code in (503, 200)
            assert server.child.poll() is None
        assert "WARMING" in seen


def test_an_unknown_base64_is_never_echoed(tmp_path: Path) -> None:
    secret = base64.b64encode(b"a secret").decode()
    with start(tmp_path, [{**TEXT, "body": {"images": [secret]}}]) as server:
        assert server.wait_exit() == 3
        assert secret not in json.dumps(server.termination())


def test_a_body_of_many_megabytes_is_made_beside_other_threads() -> None:
    test = SmokeTest("large", "/predict", {"model": "{model}", "images": ["A" * 48 * 2**20]}, 200, {})

    async def longest_pause() -> float:
        meter = LagMeter()
        with measured(meter, lambda: True):
            await asyncio.sleep(3 * SAMPLE_SECONDS)
            body = await asyncio.to_thread(body_of, test, "clip")
            await asyncio.sleep(3 * SAMPLE_SECONDS)
        assert json.loads(body) == {**test.body, "model": "clip"}
        return meter.longest()

    def seconds_on_the_loop() -> float:
        began = time.monotonic()
        json.dumps(dict(test.body))
        return time.monotonic() - began

    # Not in seconds: compared with what it would be if the loop did it itself.
    whole, pauses = min(seconds_on_the_loop() for _ in range(5)), list[float]()
    # What holds the loop up does so every time, for the most of it, and a disturbed machine does not.
    while len(pauses) < 20 and min(pauses, default=whole) >= whole / 4:
        pauses.append(asyncio.run(longest_pause()))
    assert min(pauses) < whole / 4, (pauses, whole)


def test_a_test_may_send_what_must_be_refused(tmp_path: Path) -> None:
    refused = {**TEXT, "body": {"texts": [10**30]}, "status": 400, "expect": {"/code": "malformed"}}
    with start(tmp_path, [refused]) as server:
        server.wait_ready()


def test_a_version_answers_for_itself_and_not_from_what_is_remembered(tmp_path: Path) -> None:
    picture = {"path": "/v1/embed", "body": {"images": [PICTURE]}}
    digest = publish_fake(tmp_path / "models", "v", [{"name": name, **picture} for name in ("once", "again", "third")])
    environment = {"MMM_MODEL_ROOT": str(tmp_path / "models"), "MMM_MODEL_DIGEST": digest, "MMM_RESULT_CACHE": "memory"}
    with ServerProcess(tmp_path / "server", environment) as server:
        server.wait_ready()
        assert server.metric("mmm_result_cache_total") == 0
