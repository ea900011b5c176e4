"""Requests of the Open Inference Protocol and of OpenAI's clients, right and mangled."""

import base64
import gzip
import json
import random
import struct
from collections.abc import Iterator, Mapping

from tests.server.corpora.case import ANY, FINE, Case, flipped, mangled, rng
from tests.server.corpora.documents import ALPHABET, JSON
from tests.server.pictures import base64_of, jpeg

MODEL = "model"
INFER = f"/v2/models/{MODEL}/infer"
EMBEDDINGS = "/v1/embeddings"
LENGTH = "Inference-Header-Content-Length"
ALLOWED = ANY | {404}
MANGLED = 300


def protocol_cases() -> list[Case]:
    """All of them, the same for the same seed."""
    random_ = rng("protocols")
    valid = [*_openai(), *_inference()]
    return [*valid, *_mangled(valid, random_), *_lying()]


def _openai() -> Iterator[Case]:
    image = base64_of(jpeg(20, 20))
    uri = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{image}"}}
    given: list[dict[str, object]] = [
        {"input": "a cat"},
        {"input": ["a cat", "ein Hündchen"], "encoding_format": "base64"},
        {"input": {"text": "a cat"}},
        {"input": [{"image": image}, {"text": "a"}]},
        {"messages": [{"role": "user", "content": [uri]}]},
    ]
    for number, fields in enumerate(given):
        body = json.dumps({"model": MODEL, **fields}).encode()
        yield Case(f"OpenAI {number}", body, JSON, FINE, EMBEDDINGS)


def _inference() -> Iterator[Case]:
    text = {"name": "text", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]}
    yield Case("OIP text", json.dumps({"id": "1", "inputs": [text]}).encode(), JSON, FINE, INFER)
    content = b"".join(struct.pack("<I", len(word)) + word for word in (b"a cat", b"a dog"))
    yield _binary("OIP binary", {"name": "text", "datatype": "BYTES", "shape": [2]}, content, FINE)
    body = gzip.compress(json.dumps({"inputs": [text]}).encode(), mtime=0)
    yield Case("OIP gzip", body, JSON, FINE, INFER, (("Content-Encoding", "gzip"),))


def _binary(name: str, tensor: Mapping[str, object], content: bytes, allowed: frozenset[int]) -> Case:
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(content)}}]}).encode()
    headers = ((LENGTH, str(len(head))),)
    return Case(name, head + content, "application/octet-stream", allowed, INFER, headers)


def _mangled(valid: list[Case], random_: random.Random) -> Iterator[Case]:
    for number in range(MANGLED):
        case = random_.choice(valid)
        body = flipped(case.body, random_) if number % 3 == 0 else mangled(case.body, random_, ALPHABET)
        yield Case(f"{case.name} mangled {number}: {body[:80]!r}", body, JSON, ALLOWED, case.path, case.headers)


def _lying() -> Iterator[Case]:
    refused = ALLOWED - FINE
    text = {"name": "text", "datatype": "BYTES", "shape": [2]}
    for content in (b"", b"\xff" * 8, b"\5\0\0\0a", struct.pack("<I", 2**32 - 1) + b"a", b"\0" * 1_000_000):
        yield _binary(f"OIP elements {content[:8]!r}", text, content, refused)
    for shape in ([0], [-1], [2**62, 4], [1] * 100, [2**31, 2**31], ["2"], [True], None, 2, [1e9]):
        tensor = {"name": "text", "datatype": "BYTES", "shape": shape, "data": ["a", "b"]}
        body = json.dumps({"inputs": [tensor]}).encode()
        yield Case(f"OIP shape {shape!r:.40}", body, JSON, ALLOWED, INFER)
    words = {"name": "image", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": ["a" * 100_000, *[""] * 1000]}
    yield Case("OIP pixels that are words", json.dumps({"inputs": [words]}).encode(), JSON, refused, INFER)
    for length in ("0", "-1", "99999999", "1e3", "x", "9" * 40):
        yield Case(f"OIP head of {length:.12}", b"{}", JSON, refused, INFER, ((LENGTH, length),))
    strange: list[object] = [[1, 2, 3], [[1], [2]], [2**63], [-1], [[]], [[[1]]]]
    for tokens in strange:
        body = json.dumps({"model": MODEL, "input": tokens}).encode()
        yield Case(f"OpenAI tokens {tokens!r}", body, JSON, ALLOWED, EMBEDDINGS)
    huge = base64.b64encode(b"\0" * 2_000_000).decode()
    for url in (
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "data:,x",
        f"data:image/png;base64,{huge}",
        "data:" + ";" * 10_000,
    ):
        part = {"type": "image_url", "image_url": {"url": url}}
        body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": [part]}]}).encode()
        yield Case(f"OpenAI image {url[:30]}", body, JSON, refused, EMBEDDINGS)
