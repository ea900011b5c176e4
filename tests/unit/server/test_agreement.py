"""Agreement: what counts as the same answer of two versions, in every protocol, and what never does."""

import asyncio
import base64
import gzip
import random
import sys
import time
from collections.abc import Coroutine
from typing import Any

import numpy as np
import orjson
import pytest

from mmm_server.http.agreement import agree
from mmm_server.http.reply import JSON, Reply, json_reply

NUMBERS = [0.6, 0.0, 0.8]
SIMILAR = [0.6, 0.05, 0.8]  # cosine 0.9987
OTHER = [0.8, 0.0, 0.6]  # cosine 0.96


def predictions(*rows: dict[str, float]) -> dict[str, Any]:
    best = [max(row, key=row.__getitem__) for row in rows]
    return {
        "predictions": [{"label": top, "score": row[top], "scores": row} for top, row in zip(best, rows, strict=True)]
    }


def embeddings(*rows: list[float]) -> dict[str, Any]:
    return {"embeddings": [{"type": "image", "index": index, "embedding": row} for index, row in enumerate(rows)]}


def openai(*rows: list[float] | str, tokens: int = 3) -> dict[str, Any]:
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)]
    return {"object": "list", "data": data, "model": "clip", "usage": {"prompt_tokens": tokens}}


def oip(name: str, *rows: list[float], version: str = "1") -> dict[str, Any]:
    flat = [number for row in rows for number in row]
    output = {"name": name, "datatype": "FP32", "shape": [len(rows), len(rows[0])], "data": flat}
    return {"model_name": "clip", "model_version": version, "outputs": [output]}


def binary(name: str, *rows: list[float], version: str = "1") -> Reply:
    tail = np.asarray(rows, dtype="<f4").tobytes()
    output = {"name": name, "shape": [len(rows), len(rows[0])], "parameters": {"binary_data_size": len(tail)}}
    header = orjson.dumps({"model_version": version, "outputs": [output]})
    return Reply(header + tail, ((b"inference-header-content-length", str(len(header)).encode()),))


def as_base64(row: list[float]) -> str:
    return base64.b64encode(np.asarray(row, dtype="<f4").tobytes()).decode()


def reply(answer: dict[str, Any] | Reply) -> Reply:
    return answer if isinstance(answer, Reply) else json_reply(answer)


def squeezed(answer: dict[str, Any]) -> Reply:
    return Reply(gzip.compress(orjson.dumps(answer)), (JSON, (b"content-encoding", b"gzip")))


Pair = tuple[dict[str, Any] | Reply, dict[str, Any] | Reply]

SAME: dict[str, Pair] = {
    "probabilities": (predictions({"cat": 0.9, "dog": 0.1}), predictions({"cat": 0.86, "dog": 0.14})),
    "vectors": (embeddings(NUMBERS, SIMILAR), embeddings(SIMILAR, NUMBERS)),
    "a longer vector": (embeddings(NUMBERS), embeddings([2 * number for number in NUMBERS])),
    "vectors without a length": (embeddings([0.0, 0.0]), embeddings([0.0, -0.0])),
    "similarities": ({"similarities": [[0.1, 0.2]]}, {"similarities": [[0.14, 0.16]]}),
    "tensors of another version": (oip("image_embeds", NUMBERS), oip("image_embeds", SIMILAR, version="2")),
    "probabilities as tensors": (oip("probabilities", [0.9, 0.1]), oip("probabilities", [0.88, 0.12])),
    "binary tensors": (binary("image_embeds", NUMBERS), binary("image_embeds", SIMILAR, version="2")),
    "one binary, one not": (binary("image_embeds", NUMBERS), oip("image_embeds", SIMILAR)),
    "one compressed, one not": (squeezed(oip("image_embeds", NUMBERS)), oip("image_embeds", SIMILAR)),
    "openai": (openai(NUMBERS), openai(SIMILAR, tokens=4)),
    "openai in base64": (openai(as_base64(NUMBERS)), openai(as_base64(SIMILAR))),
    "another shape": ({"some": ["thing"], "more": 1}, {"more": 1, "some": ["thing"]}),
    "nothing": (predictions(), predictions()),
}

DIFFERENT: dict[str, Pair] = {
    "another best label": (predictions({"cat": 0.51, "dog": 0.49}), predictions({"cat": 0.49, "dog": 0.51})),
    "another probability": (predictions({"cat": 0.9, "dog": 0.1}), predictions({"cat": 0.8, "dog": 0.2})),
    "other labels": (predictions({"cat": 0.9, "dog": 0.1}), predictions({"cat": 0.9, "bird": 0.1})),
    "fewer pictures": (predictions({"cat": 0.9}, {"cat": 0.9}), predictions({"cat": 0.9})),
    "one of many vectors": (embeddings(NUMBERS, NUMBERS), embeddings(NUMBERS, OTHER)),
    "other dimensions": (embeddings(NUMBERS), embeddings([*NUMBERS, 0.0])),
    "the other direction": (embeddings(NUMBERS), embeddings([-number for number in NUMBERS])),
    "a vector without a length": (embeddings(NUMBERS), embeddings([0.0, 0.0, 0.0])),
    "nothing at all": (embeddings(NUMBERS), {}),
    "numbers without end": (embeddings(NUMBERS), embeddings([1e300, 1e300, 1e300])),
    "not a number": (embeddings(NUMBERS), embeddings([None, None, None])),  # type: ignore[list-item]
    "similarities": ({"similarities": [[0.1, 0.2]]}, {"similarities": [[0.1, 0.3]]}),
    "another output": (oip("image_embeds", NUMBERS), oip("text_embeds", NUMBERS)),
    "probabilities as tensors": (oip("probabilities", [0.6, 0.4]), oip("probabilities", [0.4, 0.6])),
    "binary tensors": (binary("image_embeds", NUMBERS), binary("image_embeds", OTHER)),
    "openai": (openai(NUMBERS), openai(OTHER)),
    "another shape": ({"some": ["thing"]}, {"some": ["thing", "else"]}),
    "another protocol": (embeddings(NUMBERS), openai(NUMBERS)),
    "not what it was compressed to": (squeezed({}), Reply(b"{}", (JSON, (b"content-encoding", b"gzip")))),
}


@pytest.mark.parametrize(("ours", "theirs"), SAME.values(), ids=SAME)
def test_these_are_the_same(ours: dict[str, Any] | Reply, theirs: dict[str, Any] | Reply) -> None:
    assert agree(reply(ours), reply(theirs))
    assert agree(reply(theirs), reply(ours))


@pytest.mark.parametrize(("ours", "theirs"), DIFFERENT.values(), ids=DIFFERENT)
def test_these_are_different(ours: dict[str, Any] | Reply, theirs: dict[str, Any] | Reply) -> None:
    assert not agree(reply(ours), reply(theirs))


def test_whatever_the_other_version_says_is_compared_without_an_error() -> None:
    answers = [reply(answer) for pair in (*SAME.values(), *DIFFERENT.values()) for answer in pair]
    for seed in range(3000):
        randomly = random.Random(seed)
        ours = randomly.choice(answers)
        broken = bytearray(randomly.choice(answers).body)
        for _ in range(randomly.randint(1, 4)):
            if broken:
                broken[randomly.randrange(len(broken))] = randomly.choice(b'0-9[]{}",:e.\x00\xff')
        theirs = Reply(bytes(broken[: randomly.randint(0, len(broken))]), randomly.choice(answers).headers)
        assert agree(ours, theirs) in (True, False), f"seed {seed}"


LONG: dict[str, dict[str, Any]] = {
    "many vectors": embeddings(*np.random.default_rng(1).random((300, 768)).tolist()),
    "one long tensor": oip("image_embeds", *np.random.default_rng(2).random((300, 768)).tolist()),
    "similarities": {"similarities": np.random.default_rng(3).random((300, 768)).tolist()},
}


@pytest.mark.parametrize("answer", LONG.values(), ids=LONG)
async def test_the_event_loop_runs_while_long_answers_are_compared(answer: dict[str, Any]) -> None:
    ours = reply(answer)
    assert len(ours.body) > 4_000_000
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # so that whoever could let others run does, and what is left is what cannot
    try:
        shares = [await longest_share(asyncio.to_thread(agree, ours, ours)) for _ in range(10)]
    finally:
        sys.setswitchinterval(interval)
    # A share and the least one, as other processes stop this one, too: the longest step reads one of two documents.
    assert min(shares) < 0.5, shares


async def longest_share(work: Coroutine[Any, Any, bool]) -> float:
    """The longest time that the event loop stood still, as a share of the time that the work took."""
    began = last = time.perf_counter()
    longest, task = 0.0, asyncio.create_task(work)
    while not task.done():
        await asyncio.sleep(0)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    assert task.result()
    return longest / (last - began)
