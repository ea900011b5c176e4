"""The inference protocol where its clients do not go: bytes that lie, bombs, and servers that cannot answer."""

import gzip
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.server.conftest import Start
from tests.server.harness import ServerProcess
from tests.server.models import write_fake
from tests.server.pictures import base64_of, encode, picture

MEGABYTE = 1024 * 1024
LIMIT = 4 * MEGABYTE
INFER = "/v2/models/fake/infer"
IMAGE = base64_of(encode(picture(), "PNG"))


def text_input(*texts: str) -> dict[str, object]:
    return {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": list(texts)}


def request_of(*inputs: Mapping[str, object], **more: object) -> bytes:
    return json.dumps({"inputs": inputs, **more}).encode()


PLAIN = request_of(text_input("cat"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("oip")
    environment = {"MMM_MODEL_NAME": "fake", "MMM_MODEL_VERSION": "1", "MMM_MAX_BODY_BYTES": str(LIMIT)}
    arguments = ["--model", str(write_fake(directory / "model"))]
    with ServerProcess(directory, environment, arguments) as process:
        yield process.wait_ready()


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    headers = {"accept-encoding": "identity"}
    with httpx.Client(base_url=server.url, timeout=30, headers=headers) as found:
        yield found
        assert found.post(INFER, content=PLAIN).status_code == 200, "the server goes on"


def assert_error(answer: httpx.Response, status: int, words: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    error = answer.json()
    assert list(error) == ["error"]
    assert words in error["error"]
    for header in ("x-request-id", "x-model-version", "server-timing"):
        assert header in answer.headers
    for leak in ("Traceback", "/site-packages/", "0x", "Error(", ".py"):
        assert leak not in answer.text


def test_a_bomb_is_refused_before_it_is_large(client: httpx.Client, server: ServerProcess) -> None:
    before = peak_memory(server)
    for encoding, bomb in (
        ("gzip", gzip.compress(b" " * 512 * MEGABYTE, 9)),
        ("deflate", zlib.compress(b" " * 512 * MEGABYTE, 9)),
    ):
        assert len(bomb) < MEGABYTE
        answer = client.post(INFER, content=bomb, headers={"content-encoding": encoding})
        assert_error(answer, 413, f"longer than {LIMIT} bytes")
    assert peak_memory(server) - before < 4 * LIMIT


def peak_memory(server: ServerProcess) -> int:
    status = Path(f"/proc/{server.child.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


COMPRESSED_BADLY = {
    "cut off": (gzip.compress(PLAIN)[:-9], "gzip", 400, "cut off"),
    "empty": (b"", "gzip", 400, "cut off"),
    "not compressed": (PLAIN, "gzip", 400, "not compressed"),
    "compressed otherwise": (zlib.compress(PLAIN), "gzip", 400, "not compressed"),
    "followed by bytes": (gzip.compress(PLAIN) + b"x", "gzip", 400, "Bytes follow"),
    "of an unknown kind": (PLAIN, "br", 415, "gzip or deflate"),
    "twice": (gzip.compress(gzip.compress(PLAIN)), "gzip, gzip", 415, "gzip or deflate"),
}


@pytest.mark.parametrize("name", COMPRESSED_BADLY)
def test_a_body_that_cannot_be_inflated_is_refused(client: httpx.Client, name: str) -> None:
    body, encoding, status, words = COMPRESSED_BADLY[name]
    assert_error(client.post(INFER, content=body, headers={"content-encoding": encoding}), status, words)


@pytest.mark.parametrize(
    ("accepts", "answers"),
    [
        ("gzip", "gzip"),
        ("br, deflate;q=0.5", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("identity", None),
        ("gzip;q=0.0", None),
    ],
)
def test_answers_are_compressed_for_whoever_asks(client: httpx.Client, accepts: str, answers: str | None) -> None:
    body = request_of(text_input(*(f"text {index}" for index in range(60))))
    answer = client.post(INFER, content=body, headers={"accept-encoding": accepts})
    assert answer.headers.get("content-encoding") == answers
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.json()["outputs"][0]["shape"] == [60, 8]


def binary(size: int, tail: bytes, *, count: int = 1) -> tuple[bytes, dict[str, str]]:
    described = {"name": "text", "datatype": "BYTES", "shape": [count], "parameters": {"binary_data_size": size}}
    header = request_of(described)
    return header + tail, {"inference-header-content-length": str(len(header))}


CAT = struct.pack("<I", 3) + b"cat"
BINARIES_THAT_LIE = {
    "a tensor longer than the body": (*binary(8, CAT), "body ends before"),
    "bytes after the last tensor": (*binary(7, CAT + b"x"), "Bytes follow"),
    "an element longer than its tensor": (*binary(7, struct.pack("<I", 4) + b"cat"), "cut off"),
    "an element of 4 GB": (*binary(7, b"\xff" * 4 + b"cat"), "cut off"),
    "a length that is cut off": (*binary(9, CAT + b"\0\0", count=2), "cut off"),
    "fewer elements than the shape says": (*binary(7, CAT, count=2), "cut off"),
    "more elements than the shape says": (*binary(14, CAT * 2), "more elements"),
    "a text that is not UTF-8": (*binary(5, struct.pack("<I", 1) + b"\xff"), "not UTF-8"),
    "a header longer than the body": (PLAIN, {"inference-header-content-length": "9999"}, "more than the length"),
    "a header of no length": (PLAIN, {"inference-header-content-length": "-1"}, "whole number"),
    "a header of half its length": (PLAIN, {"inference-header-content-length": "9"}, "not valid JSON"),
}


@pytest.mark.parametrize("name", BINARIES_THAT_LIE)
def test_binary_tensors_that_lie_are_refused(client: httpx.Client, name: str) -> None:
    body, headers, words = BINARIES_THAT_LIE[name]
    assert_error(client.post(INFER, content=body, headers=headers), 400, words)


def image(**replaced: object) -> dict[str, object]:
    return {"name": "image", "datatype": "BYTES", "shape": [1], "data": [IMAGE], **replaced}


def pixels(data: object, shape: list[int] | None = None) -> dict[str, object]:
    return image(datatype="UINT8", shape=shape or [1, 1, 2, 3], data=data)


REQUESTS_THAT_FAIL = {
    "no JSON": (b"{", 400, "not valid JSON"),
    "a list": (b"[]", 400, "must be a JSON object"),
    "no inputs": (b"{}", 400, "at least one input"),
    "inputs that are numbers": (b'{"inputs": [1]}', 400, "list of objects"),
    "an input twice": (request_of(text_input("a"), text_input("b")), 400, "twice"),
    "an input without a name": (request_of(image(name=None)), 400, "needs a name"),
    "no datatype": (request_of(image(datatype=None)), 400, "needs a datatype"),
    "a negative shape": (request_of(image(shape=[-1])), 400, "needs a shape"),
    "a shape of true": (request_of(image(shape=[True])), 400, "needs a shape"),
    "a matrix of images": (request_of(image(shape=[1, 1])), 400, "shape [N]"),
    "no items": (request_of(image(shape=[0], data=[])), 400, "shape [N]"),
    "fewer items than the shape says": (request_of(image(shape=[2])), 400, "does not fill"),
    "no data": (request_of(image(data=None)), 400, "either data or"),
    "data twice": (request_of(image(parameters={"binary_data_size": 1})), 400, "either data or"),
    "no base64": (request_of(image(data=["%%%"])), 400, "base64"),
    "numbers for texts": (request_of({**text_input("a"), "data": [1]}), 400, "list of strings"),
    "a shape of a billion": (request_of(image(shape=[10**9], data=[IMAGE])), 422, "the limit is 64"),
    "too many pixels": (request_of(pixels([0], [1, 100_000, 100_000, 3])), 422, "the limit is"),
    "pixels beyond a byte": (request_of(pixels([256] * 6)), 400, "from 0 to 255"),
    "pixels with a fraction": (request_of(pixels([0.5] * 6)), 400, "from 0 to 255"),
    "pixels that are words": (request_of(pixels(["a"] * 6)), 400, "from 0 to 255"),
    "ragged pixels": (request_of(pixels([[[[1, 2, 3], [1, 2]]]])), 400, "does not fill"),
    "pixels in another shape": (request_of(pixels([[[[1, 2], [3, 4], [5, 6]]]])), 400, "does not fill"),
    "four channels": (request_of(pixels([0] * 4, [1, 1, 1, 4])), 400, "shape [N, H, W, 3]"),
    "outputs that are words": (request_of(text_input("a"), outputs=["text_embeds"]), 400, "list of objects"),
    "an output twice": (request_of(text_input("a"), outputs=[{"name": "text_embeds"}] * 2), 400, "twice"),
    "a flag that is a word": (request_of(text_input("a"), parameters={"binary_data_output": "yes"}), 400, "true or"),
    "classification": (
        request_of(text_input("a"), outputs=[{"name": "text_embeds", "parameters": {"classification": 1}}]),
        400,
        "classification extension",
    ),
    "an id that is a number": (request_of(text_input("a"), id=1), 400, "id must be a string"),
}


@pytest.mark.parametrize("name", REQUESTS_THAT_FAIL)
def test_a_request_that_makes_no_sense_is_refused(client: httpx.Client, name: str) -> None:
    body, status, words = REQUESTS_THAT_FAIL[name]
    assert_error(client.post(INFER, content=body), status, words)


def test_pixels_may_be_nested_or_flat_and_are_the_picture_that_they_are(client: httpx.Client) -> None:
    values = np.asarray(picture(13, 7), dtype=np.uint8)  # rows of 39 bytes: a bitmap pads them
    ways = [
        pixels([values.tolist()], [1, 7, 13, 3]),
        pixels(values.reshape(-1).tolist(), [1, 7, 13, 3]),
        image(data=[base64_of(encode(picture(13, 7), "PNG"))]),
    ]
    answers = [client.post(INFER, content=request_of(way)).json()["outputs"][0]["data"] for way in ways]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v2/models/other", 404, "No model of that name"),
        ("GET", "/v2/models/fake/versions/2", 404, "This version"),
        ("POST", "/v2/models/other/infer", 404, "No model of that name"),
        ("POST", "/v2/models/fake/versions/2/infer", 404, "This version"),
        ("GET", "/v2/nix", 404, "/v2/models/{model}/infer"),
        ("POST", "/v2/repository/index", 404, "No such route"),
        ("GET", INFER, 405, "not for this method"),
        ("DELETE", "/v2", 405, "not for this method"),
    ],
)
def test_errors_of_the_router_have_the_shape_too(
    client: httpx.Client, method: str, path: str, status: int, words: str
) -> None:
    assert_error(client.request(method, path), status, words)


def test_a_long_body_is_refused_in_the_shape(client: httpx.Client) -> None:
    assert_error(client.post(INFER, content=b"x" * (LIMIT + 1)), 413, "longer than")


def test_a_server_that_loads_is_live_but_not_ready(start_fake: Start) -> None:
    server = start_fake(load_seconds=600.0, MMM_MODEL_NAME="fake")
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/v2/health/live").json() == {"live": True}
        assert client.get("/v2").status_code == 200
        for method, path in (
            ("GET", "/v2/health/ready"),
            ("GET", "/v2/models/fake/ready"),
            ("GET", "/v2/models/fake"),
            ("POST", INFER),
        ):
            answer = client.request(method, path)
            assert_error(answer, 503, "not ready")
            assert int(answer.headers["retry-after"]) >= 1


def test_a_model_that_only_classifies_offers_probabilities_alone(start_fake: Start) -> None:
    server = start_fake(MMM_MODEL_TASKS="ZeroShotImageClassification", MMM_MODEL_NAME="fake").wait_ready()
    with httpx.Client(base_url=server.url) as client:
        metadata = client.get("/v2/models/fake").json()
        assert [one["name"] for one in metadata["inputs"]] == ["image", "text"]
        assert [one["name"] for one in metadata["outputs"]] == ["probabilities"]
        answer = client.post(INFER, content=request_of(image(), text_input("a", "b"))).json()
        assert [(one["name"], one["shape"]) for one in answer["outputs"]] == [("probabilities", [1, 2])]
        assert sum(answer["outputs"][0]["data"]) == pytest.approx(1.0)
        assert_error(client.post(INFER, content=PLAIN), 400, "no output of these inputs")
        asked = request_of(text_input("a"), outputs=[{"name": "text_embeds"}])
        assert_error(client.post(INFER, content=asked), 422, "TextEmbedding is not offered")


@pytest.mark.parametrize(
    ("task", "embeds", "lacking"),
    [("ImageEmbedding", "image_embeds", "TextEmbedding"), ("TextEmbedding", "text_embeds", "ImageEmbedding")],
)
def test_a_model_that_classifies_and_embeds_one_kind_gives_all_that_it_offers(
    start_fake: Start, task: str, embeds: str, lacking: str
) -> None:
    server = start_fake(MMM_MODEL_TASKS=f"{task},ZeroShotImageClassification", MMM_MODEL_NAME="fake").wait_ready()
    inputs = (image(), text_input("a", "b"))
    with httpx.Client(base_url=server.url) as client:
        offered = [one["name"] for one in client.get("/v2/models/fake").json()["outputs"]]
        assert offered == [embeds, "probabilities"]
        answer = client.post(INFER, content=request_of(*inputs)).json()
        assert [one["name"] for one in answer["outputs"]] == offered
        alone = client.post(INFER, content=request_of(*inputs, outputs=[{"name": "probabilities"}])).json()
        assert alone["outputs"][0]["data"] == pytest.approx(answer["outputs"][1]["data"])
        every = [{"name": name} for name in ("image_embeds", "text_embeds", "probabilities")]
        assert_error(client.post(INFER, content=request_of(*inputs, outputs=every)), 422, f"{lacking} is not offered")


def test_the_metrics_name_routes_and_not_models(client: httpx.Client, server: ServerProcess) -> None:
    client.get("/v2/models/find-me")
    text = httpx.get(f"{server.operations_url}/metrics").text
    assert 'route="/v2/models/{model}"' in text
    assert "find-me" not in text
