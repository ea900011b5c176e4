"""A whole answer, before it is sent."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers and bytes; the length is added when it is sent."""

    body: bytes
    headers: tuple[Header, ...] = (JSON,)
    status: int = 200


def json_reply(document: Mapping[str, object], status: int = 200) -> Reply:
    """The document as JSON; numpy arrays become lists."""
    return Reply(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), status=status)
