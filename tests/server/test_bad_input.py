"""Whatever a client sends: a problem document that says what is wrong, never a 500, and the server goes on."""

import json
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server.harness import ServerProcess
from tests.server.pictures import base64_of, encode, jpeg, picture

IMAGE = base64_of(jpeg())
MEGABYTE = 1024 * 1024


def png_bomb(edge: int) -> bytes:
    """A PNG of a few hundred bytes that claims edge × edge pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 9999))
        + chunk(b"IEND", b"")
    )


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == answer.headers["x-request-id"]
    for leak in ("Traceback", "/site-packages/", "0x", "Error(", ".py"):
        assert leak not in answer.text


@pytest.fixture(autouse=True)
def still_serving(clip: httpx.Client) -> Iterator[None]:
    yield
    assert clip.post("/v1/embed", json={"images": [IMAGE]}).status_code == 200


IMAGES_THAT_FAIL = {
    "empty": (b"", 400, "malformed"),
    "a text": (b"This is a text and no image.", 415, "unsupported-type"),
    "a truncated JPEG": (jpeg(300, 300)[:2000], 400, "malformed"),
    "the head of a JPEG": (jpeg()[:30], 400, "malformed"),
    "a truncated PNG": (encode(picture(200, 200), "PNG")[:-400], 400, "malformed"),
    "a truncated WebP": (encode(picture(200, 200), "WEBP")[:300], 400, "malformed"),
    "an unread format": (encode(picture(), "TIFF"), 415, "unsupported-type"),
    "a bomb": (png_bomb(60_000), 422, "unprocessable"),
    "a small bomb": (png_bomb(1900), 400, "malformed"),
    "too many pixels": (encode(picture(2100, 2000)), 422, "unprocessable"),
}


@pytest.mark.parametrize("name", IMAGES_THAT_FAIL)
@pytest.mark.parametrize("transport", ["json", "multipart", "raw"])
def test_a_bad_image_is_refused(clip: httpx.Client, name: str, transport: str) -> None:
    encoded, status, code = IMAGES_THAT_FAIL[name]
    if transport == "json":
        answer = clip.post("/predict", json={"images": [base64_of(encoded)], "texts": ["a", "b"]})
    elif transport == "multipart":
        answer = clip.post("/predict", files={"image": ("x.jpg", encoded, "image/jpeg")}, data={"texts": ["a", "b"]})
    else:
        answer = clip.post("/predict?texts=a,b", content=encoded, headers={"content-type": "image/jpeg"})
    assert_problem(answer, status, code)


def test_the_bad_image_among_good_ones_is_named(clip: httpx.Client) -> None:
    answer = clip.post("/v1/embed", json={"images": [IMAGE, IMAGE, base64_of(b"no image")]})
    assert_problem(answer, 415, "unsupported-type")
    assert answer.json()["detail"].startswith("Image 2: ")


JSON_THAT_FAILS = {
    "nothing": (b"", 400),
    "half an object": (b'{"images": [', 400),
    "not UTF-8": (b'{"texts": ["\xff"]}', 400),
    "NaN": (b'{"texts": ["a"], "scale": NaN}', 400),
    "Infinity": (b'{"texts": [-Infinity]}', 400),
    "a duplicate key": (b'{"texts": ["a"], "texts": ["b"]}', 400),
    "a nested duplicate key": (b'{"texts": [{"a": 1, "a": 2}]}', 400),
    "no base64": (json.dumps({"images": ["%%%"]}).encode(), 400),
    "a remote image": (b'{"images": ["http://127.0.0.1/x.jpg"]}', 400),
    "a data URI of text": (b'{"images": ["data:text/plain,hello"]}', 400),
    "deep nesting": (b"[" * 33 + b"]" * 33, 422),
    "very deep nesting": (b"[" * 200_000, 422),
    "too many values": (b"[" + b"1," * 20_000 + b"1]", 422),
    "a huge number": (b'{"texts": [' + b"9" * 10_000 + b"]}", 400),
    "a list": (b'["a"]', 422),
    "an unknown field": (b'{"texts": ["a"], "temperature": 1}', 422),
    "texts that are numbers": (b'{"texts": [1]}', 422),
    "images that are null": (b'{"images": null}', 422),
    "a lone surrogate": (b'{"texts": ["\\ud800"]}', 400),
    "a NUL": (b'{"texts": ["a\\u0000b"]}', 422),
    "a blank text": (b'{"texts": ["  "]}', 422),
    "a text that is too long": (json.dumps({"texts": ["x" * 9000]}).encode(), 422),
    "more tokens than the model reads": (json.dumps({"texts": ["word " * 100]}).encode(), 422),
    "an empty object": (b"{}", 422),
    "too many texts": (json.dumps({"texts": ["a"] * 1000}).encode(), 422),
    "too many images": (json.dumps({"images": [IMAGE] * 65}).encode(), 422),
    "a template without a slot": (json.dumps({"texts": ["a"], "template": "no slot"}).encode(), 422),
    "a template with two slots": (json.dumps({"texts": ["a"], "template": "{} {}"}).encode(), 422),
    "a template that is a number": (json.dumps({"texts": ["a"], "template": 1}).encode(), 422),
}


@pytest.mark.parametrize("name", JSON_THAT_FAILS)
def test_bad_json_is_refused(clip: httpx.Client, name: str) -> None:
    body, status = JSON_THAT_FAILS[name]
    answer = clip.post("/v1/embed", content=body, headers={"content-type": "application/json"})
    assert_problem(answer, status, "malformed" if status == 400 else "unprocessable")


@pytest.mark.parametrize("path", ["/predict", "/v1/embed", "/v1/similarity"])
def test_texts_are_counted_before_a_template_is_put_around_each(clip: httpx.Client, path: str) -> None:
    texts = ["a"] * 9990
    answer = clip.post(path, json={"images": [IMAGE], "texts": texts, "template": "no slot"})
    assert_problem(answer, 422, "unprocessable")
    assert answer.json()["detail"].startswith(f"The request holds {len(texts)} ")


@pytest.mark.parametrize(
    "labels", [[], ["a"] * 257, [str(index) for index in range(257)], ["a", "a"], [""], ["a", " "]]
)
def test_labels_must_be_few_distinct_and_not_empty(clip: httpx.Client, labels: list[str]) -> None:
    assert_problem(clip.post("/v1/classify", json={"images": [IMAGE], "labels": labels}), 422, "unprocessable")


def test_a_prediction_needs_an_image(clip: httpx.Client) -> None:
    assert_problem(clip.post("/predict", json={"images": [], "texts": ["a"]}), 422, "unprocessable")


FORMS_THAT_FAIL = {
    "no boundary": ("multipart/form-data", b"--x\r\n\r\n--x--\r\n", 400),
    "no parts": ("multipart/form-data; boundary=x", b"", 400),
    "cut off": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc',
        400,
    ),
    "no form": ("multipart/form-data; boundary=x", b"hello", 400),
    "a part without a name": ("multipart/form-data; boundary=x", b"--x\r\n\r\nabc\r\n--x--\r\n", 400),
    "an unknown field": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="nix"\r\n\r\nabc\r\n--x--\r\n',
        422,
    ),
    "too many parts": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\na\r\n' * 2000 + b"--x--\r\n",
        422,
    ),
    "texts that are not UTF-8": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="texts"\r\n\r\n\xff\r\n--x--\r\n',
        400,
    ),
}


@pytest.mark.parametrize("name", FORMS_THAT_FAIL)
def test_a_bad_form_is_refused(clip: httpx.Client, name: str) -> None:
    content_type, body, status = FORMS_THAT_FAIL[name]
    answer = clip.post("/predict", content=body, headers={"content-type": content_type})
    assert_problem(answer, status, "malformed" if status == 400 else "unprocessable")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "video/mp4", ""])
def test_a_wrong_content_type_is_refused(clip: httpx.Client, content_type: str) -> None:
    answer = clip.post("/predict", content=b"x=1", headers={"content-type": content_type})
    assert_problem(answer, 415, "unsupported-type")


def test_a_compressed_body_is_refused(clip: httpx.Client) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert_problem(clip.post("/predict", content=b"x", headers=headers), 415, "unsupported-type")


@pytest.mark.parametrize("value", ["0", "-1", "soon", "1e3", "9" * 20])
def test_a_strange_timeout_is_refused(clip: httpx.Client, value: str) -> None:
    answer = clip.post("/v1/embed", json={"texts": ["a"]}, headers={"x-request-timeout-ms": value})
    assert_problem(answer, 400, "malformed")


@pytest.mark.parametrize("path", ["/", "/v1/caption", "/predict/", "/metrics", "/v1/status", "/redoc"])
def test_an_unknown_route_is_a_problem_too(clip: httpx.Client, path: str) -> None:
    answer = clip.post(path, json={})
    assert_problem(answer, 404, "not-found")
    assert "/v1/classify" in answer.json()["detail"]


def test_a_wrong_method_names_the_right_one(clip: httpx.Client) -> None:
    answer = clip.get("/predict")
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


def peak_memory(server: ServerProcess) -> int:
    status = Path(f"/proc/{server.child.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def test_a_long_body_is_refused_while_it_comes(clip: httpx.Client, clip_server: ServerProcess) -> None:
    before = peak_memory(clip_server)
    answer = clip.post("/predict", content=(b"x" * MEGABYTE for _ in range(100)), headers={"content-type": "image/png"})
    assert_problem(answer, 413, "too-large")
    # 32 MB are read before the limit is reached, and once more while they are joined.
    assert peak_memory(clip_server) - before < 80 * MEGABYTE


def test_a_body_that_announces_its_length_is_refused_before_it_comes(clip_server: ServerProcess) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 104857600\r\n"
    with socket.create_connection(("127.0.0.1", clip_server.ports()[0]), timeout=10) as connection:
        connection.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_task_that_is_not_offered_is_refused_with_the_tasks_that_are(start_fake, clip: httpx.Client) -> None:  # type: ignore[no-untyped-def]
    server = start_fake(MMM_MODEL_TASKS="ImageEmbedding").wait_ready()
    assert server.status()["model"]["tasks"] == ["ImageEmbedding"]
    with httpx.Client(base_url=server.url) as client:
        assert client.post("/v1/embed", json={"images": [IMAGE]}).status_code == 200
        for path, body in (("/v1/embed", {"texts": ["a"]}), ("/predict", {"images": [IMAGE], "texts": ["a"]})):
            answer = client.post(path, json=body)
            assert_problem(answer, 422, "task-not-offered")
            assert "offers ImageEmbedding." in answer.json()["detail"]
