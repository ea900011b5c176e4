"""Whether two versions gave the same answer to a request, as far as two versions can.

probabilities   the same best label, and every probability within 0.05
vectors         the cosine of every pair at least 0.99
similarities    every number within 0.05
anything else   equal JSON
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from mmm_server.errors import Refused
from mmm_server.http.compression import inflate
from mmm_server.http.oip.call import PROBABILITIES
from mmm_server.http.oip.message import HEADER_LENGTH
from mmm_server.http.reply import Reply

MOST_APART = 0.05
LEAST_COSINE = 0.99
MOST_BYTES = 16 * 1024 * 1024

Matrix = NDArray[np.float64]
Agree = Callable[[Matrix, Matrix], bool]


def agree(ours: Reply, theirs: Reply) -> bool:
    """Whether the answers are the same; one that cannot be read is like no other."""
    try:
        with np.errstate(all="ignore"):  # what is not finite is looked at below
            return _agree(_content(ours), _content(theirs))
    # Whatever another version may say: of other types, cut short, of other sizes.
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, Refused):
        return False


@dataclass(frozen=True, slots=True)
class Content:
    """The JSON of an answer, and the bytes that follow it."""

    document: object
    tail: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """Numbers that belong together, what they are of, and how they are compared."""

    of: tuple[object, ...]
    values: Matrix
    agree: Agree


def _content(reply: Reply) -> Content:
    headers = dict(reply.headers)
    encoding = headers.get(b"content-encoding")
    body = reply.body if encoding is None else inflate(reply.body, encoding.decode("latin-1"), MOST_BYTES)
    length = headers.get(HEADER_LENGTH)
    end = len(body) if length is None else int(length)
    return Content(orjson.loads(body[:end]), body[end:])


def _agree(ours: Content, theirs: Content) -> bool:
    mine, other = _parts(ours), _parts(theirs)
    if mine is None or other is None:
        return ours == theirs
    return len(mine) == len(other) and all(
        one.of == two.of and one.values.shape == two.values.shape and one.agree(one.values, two.values)
        for one, two in zip(mine, other, strict=True)
    )


def _parts(content: Content) -> list[Part] | None:
    """The numbers of an answer; None where its shape is another."""
    match content.document:
        case {"predictions": list(predictions)}:
            return [_prediction(one["scores"]) for one in predictions]
        case {"embeddings": list(embeddings)}:
            return [Part((one["type"], one["index"]), _vector(one["embedding"]), _near) for one in embeddings]
        case {"similarities": list(rows)}:
            return [Part(("similarities",), np.asarray(rows, dtype=np.float64), _close)]
        case {"outputs": list(outputs)}:
            return list(_outputs(outputs, content.tail))
        case {"object": "list", "data": list(items)}:
            return [Part((one["index"],), _vector(one["embedding"]), _near) for one in items]
    return None


def _prediction(scores: Mapping[str, float]) -> Part:
    return Part(tuple(scores), np.asarray([list(scores.values())], dtype=np.float64), _same_best)


def _outputs(outputs: list[dict[str, object]], tail: bytes) -> Iterator[Part]:
    for one in outputs:
        match one:
            case {"parameters": {"binary_data_size": int(size)}}:
                values: Matrix = np.frombuffer(tail[:size], dtype="<f4").astype(np.float64)
                tail = tail[size:]
            case _:
                values = np.asarray(one["data"], dtype=np.float64)
        rows = values.reshape(one["shape"])  # type: ignore[call-overload]
        yield Part((one["name"],), rows, _same_best if one["name"] == PROBABILITIES else _near)


def _vector(written: object) -> Matrix:
    if isinstance(written, str):
        return np.frombuffer(base64.b64decode(written), dtype="<f4").astype(np.float64)[np.newaxis]
    return np.asarray([written], dtype=np.float64)


def _same_best(ours: Matrix, theirs: Matrix) -> bool:
    return bool((ours.argmax(axis=-1) == theirs.argmax(axis=-1)).all()) and _close(ours, theirs)


def _close(ours: Matrix, theirs: Matrix) -> bool:
    return bool((np.abs(ours - theirs) <= MOST_APART).all())


def _near(ours: Matrix, theirs: Matrix) -> bool:
    dots = (ours * theirs).sum(axis=-1)
    lengths = np.linalg.norm(ours, axis=-1) * np.linalg.norm(theirs, axis=-1)
    alike = np.isfinite(lengths) & (lengths > 0.0) & (dots >= LEAST_COSINE * lengths)
    # A vector without a length has no cosine with any other: a model that answers nothing but zeros agrees with none.
    return bool((alike | (ours == theirs).all(axis=-1)).all())
