"""Errors as problem documents (RFC 9457)."""

import math

import orjson

from mmm_server.errors import Refused

CONTENT_TYPE = b"application/problem+json"


def problem_body(refused: Refused, request_id: str) -> bytes:
    """The document for one refused request."""
    return orjson.dumps(
        {
            "type": f"urn:mmm:problem:{refused.code}",
            "title": refused.title,
            "status": refused.status,
            "detail": refused.detail,
            "code": refused.code,
            "request_id": request_id,
        }
    )


def problem_headers(refused: Refused) -> list[tuple[bytes, bytes]]:
    """The headers that belong to the document."""
    headers = [(b"content-type", CONTENT_TYPE)]
    if refused.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(refused.retry_after))).encode()))
    return headers
