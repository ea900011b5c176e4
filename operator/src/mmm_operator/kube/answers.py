"""What an answer of the API server means: an object, or one of the operator's errors."""

from typing import NamedTuple

import orjson

from mmm_operator.errors import Conflict, Forbidden, KubeError, Transient
from mmm_operator.snapshot import Manifest

MAX_MESSAGE = 1000
# 401 too: a token that has just expired is read anew before the next call. 410: the list's page has expired.
WORTH_ANOTHER_TRY = frozenset({401, 408, 410, 429})


class Answer(NamedTuple):
    """Status code, the Retry-After header and body."""

    status: int
    retry_after: str | None
    text: bytes


def parse(text: bytes) -> Manifest:
    """The object in a successful answer."""
    try:
        answer = orjson.loads(text)
    except ValueError as error:
        raise Transient(f"the API server's answer is cut off or no JSON: {error}") from error
    if not isinstance(answer, dict):
        raise Transient("the API server's answer is no object")
    return answer


def failure(call: str, status: int, retry_after: str | None, text: bytes) -> KubeError:
    """The error that an unsuccessful answer stands for; `call` says in words what was tried."""
    message = f"{call}: {status} {_reason(text)}"
    if status in WORTH_ANOTHER_TRY or status >= 500:
        return Transient(message, status=status, retry_after=seconds(retry_after))
    if status == 409:
        return Conflict(message, status=status)
    if status == 403:
        return Forbidden(message, status=status)
    return KubeError(message, status=status)


def _reason(text: bytes) -> str:
    # A proxy in between may answer with a page instead of a Status object.
    try:
        answer = orjson.loads(text)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and "message" in answer:
        return str(answer["message"])[:MAX_MESSAGE]
    return text[:MAX_MESSAGE].decode(errors="replace").strip()


def seconds(header: str | None) -> float | None:
    """The wish in a Retry-After header."""
    # The other form of Retry-After, a date, is not used by API servers.
    return float(header) if header is not None and header.isdecimal() else None
