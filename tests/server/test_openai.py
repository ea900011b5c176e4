"""OpenAI's routes with bodies that its client would not send."""

import base64
import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from tests.server.harness import ServerProcess
from tests.server.models import write_fake
from tests.server.pictures import base64_of, jpeg

EMBEDDINGS = "/v1/embeddings"
IMAGE = base64_of(jpeg())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("openai")
    environment = {"MMM_MODEL_NAME": "org/fake", "MMM_MAX_BODY_BYTES": "1000000"}
    with ServerProcess(directory, environment, ["--model", str(write_fake(directory / "model"))]) as process:
        yield process.wait_ready()


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as found:
        yield found


def assert_error(answer: httpx.Response, status: int, code: str, param: str | None) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    error = answer.json()["error"]
    assert list(answer.json()) == ["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    for header in ("x-request-id", "x-model-version", "server-timing"):
        assert header in answer.headers


REQUESTS_THAT_FAIL: dict[str, tuple[object, str | None]] = {
    "a list": ([], None),
    "no model": ({"input": "a"}, "model"),
    "no input": ({"model": "org/fake"}, "input"),
    "input and messages": ({"input": "a", "messages": [{"content": "a"}]}, "input"),
    "an unknown encoding": ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    "dimensions in words": ({"input": "a", "dimensions": "8"}, "dimensions"),
    "an object with two things": ({"input": {"text": "a", "image": IMAGE}}, "input"),
    "an object with a list": ({"input": {"text": ["a"]}}, "input"),
    "null among the input": ({"input": ["a", None]}, "input"),
    "an empty list of messages": ({"messages": []}, "messages"),
    "a message without content": ({"messages": [{"role": "user"}]}, "messages"),
    "a part without a type": ({"messages": [{"content": [{"text": "a"}]}]}, "messages"),
    "a part of the wrong type": ({"messages": [{"content": [{"type": "image_url", "text": "a"}]}]}, "messages"),
    "a remote image in capitals": ({"input": {"image": "HTTP://x/"}}, "input"),
}


@pytest.mark.parametrize("name", REQUESTS_THAT_FAIL)
def test_a_request_that_makes_no_sense_is_refused(client: httpx.Client, name: str) -> None:
    body, param = REQUESTS_THAT_FAIL[name]
    if isinstance(body, dict) and name != "no model":
        body = {"model": "org/fake", **body}
    assert_error(client.post(EMBEDDINGS, json=body), 400, "invalid_value", param)


def test_every_other_error_has_the_shape_too(client: httpx.Client) -> None:
    body = {"model": "org/fake", "input": "a"}
    assert_error(client.post(EMBEDDINGS, content=b"{"), 400, "malformed", None)
    assert_error(client.post(EMBEDDINGS, json={"model": "fake", "input": "a"}), 404, "model_not_found", "model")
    assert_error(client.get("/v1/models/fake"), 404, "model_not_found", "model")
    assert_error(client.get("/v1/models/"), 404, "model_not_found", "model")
    assert_error(client.get(EMBEDDINGS), 405, "method_not_allowed", None)
    assert_error(client.post(f"{EMBEDDINGS}/nix"), 404, "not_found", None)
    assert_error(client.post(EMBEDDINGS, content=b"x" * 1_000_001), 413, "too_large", None)
    assert_error(
        client.post(EMBEDDINGS, content=b"a=1", headers={"content-type": "text/plain"}), 415, "unsupported_type", None
    )
    assert_error(
        client.post(EMBEDDINGS, json=body, headers={"content-encoding": "gzip"}), 415, "unsupported_type", None
    )
    assert_error(client.post(EMBEDDINGS, json=body, headers={"x-request-timeout-ms": "0"}), 400, "malformed", None)


def test_a_name_may_hold_a_slash(client: httpx.Client) -> None:
    for path in ("/v1/models/org/fake", "/v1/models/org%2Ffake"):
        assert client.get(path).json()["id"] == "org/fake"


def test_the_inference_protocol_knows_a_name_with_a_slash(client: httpx.Client) -> None:
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    for root in ("/v2/models/org/fake", "/v2/models/org%2Ffake", "/v2/models/org/fake/versions/unversioned"):
        assert client.get(root).json()["name"] == "org/fake"
        assert client.get(f"{root}/ready").json() == {"name": "org/fake", "ready": True}
        assert client.post(f"{root}/infer", json={"inputs": [tensor]}).json()["model_name"] == "org/fake"


def test_base64_is_little_endian_float32(client: httpx.Client) -> None:
    body = {"model": "org/fake", "input": [{"image": IMAGE}, "two words"], "some_new_field": 1}
    numbers = client.post(EMBEDDINGS, json=body).json()
    encoded = client.post(EMBEDDINGS, json={**body, "encoding_format": "base64"}).json()
    for as_numbers, as_text in zip(numbers["data"], encoded["data"], strict=True):
        decoded = np.frombuffer(base64.b64decode(as_text["embedding"]), dtype="<f4")
        np.testing.assert_array_equal(decoded, np.asarray(as_numbers["embedding"], dtype=np.float32))
    assert numbers["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


def test_a_data_uri_and_plain_base64_are_the_same_image(client: httpx.Client) -> None:
    both = [{"image": IMAGE}, {"image": f"data:image/jpeg;base64,{IMAGE}"}]
    first, second = client.post(EMBEDDINGS, content=json.dumps({"model": "org/fake", "input": both})).json()["data"]
    assert first["embedding"] == second["embedding"]


def test_similarities_are_the_cosines_of_the_embeddings(client: httpx.Client) -> None:
    body = {"images": [IMAGE], "texts": ["a", "b", "a"]}
    found = client.post("/v1/similarity", json=body).json()["similarities"]
    vectors = [one["embedding"] for one in client.post("/v1/embed", json=body).json()["embeddings"]]
    np.testing.assert_allclose(found, [[np.dot(vectors[0], text) for text in vectors[1:]]], atol=1e-6)
    assert client.post("/v1/similarity", json={"images": [IMAGE]}).status_code == 422
