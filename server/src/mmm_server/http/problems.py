"""Errors in the shape that the client of a route expects: every protocol has its own, chosen here by the path.

/v2 …                           {"error": "…"}                                       Open Inference Protocol
/v1/embeddings, /v1/models …    {"error": {"message", "type", "param", "code"}}      OpenAI
everything else                 a problem document (RFC 9457)
"""

import math
from enum import StrEnum

import orjson

from mmm_server.errors import Refused
from mmm_server.http.reply import JSON, Header, Reply

PROBLEM: Header = (b"content-type", b"application/problem+json")
OPENAI_ROUTES = ("/v1/embeddings", "/v1/models")


class Shape(StrEnum):
    """Whose errors a route speaks."""

    OIP = "oip"
    OPENAI = "openai"
    PROBLEM = "problem"


def shape_of(path: str) -> Shape:
    """The shape of the errors under a path, whether or not there is such a route."""
    if _under(path, "/v2"):
        return Shape.OIP
    if any(_under(path, route) for route in OPENAI_ROUTES):
        return Shape.OPENAI
    return Shape.PROBLEM


def problem_reply(refused: Refused, path: str, request_id: str) -> Reply:
    """The whole answer to a request that was refused."""
    shape = shape_of(path)
    kind = PROBLEM if shape is Shape.PROBLEM else JSON
    body = orjson.dumps(_document(shape, refused, request_id))
    return Reply(body, (kind, *_more_headers(refused)), refused.status)


def _document(shape: Shape, refused: Refused, request_id: str) -> dict[str, object]:
    match shape:
        case Shape.OIP:
            return {"error": refused.detail}
        case Shape.OPENAI:
            return {"error": _openai_error(refused)}
        case Shape.PROBLEM:
            return {
                "type": f"urn:mmm:problem:{refused.code}",
                "title": refused.title,
                "status": refused.status,
                "detail": refused.detail,
                "code": refused.code,
                "request_id": request_id,
            }


def _openai_error(refused: Refused) -> dict[str, object]:
    kinds = {429: "rate_limit_error"}
    kind = kinds.get(refused.status, "server_error" if refused.status >= 500 else "invalid_request_error")
    return {
        "message": refused.detail,
        "type": kind,
        "param": refused.field,
        "code": refused.code.replace("-", "_"),
    }


def _more_headers(refused: Refused) -> list[Header]:
    headers: list[Header] = []
    if refused.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(refused.retry_after))).encode()))
    if refused.status == 408:
        headers.append((b"connection", b"close"))  # what is left of the body may come at any time
    return headers


def _under(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")
