"""JSON as RFC 8259 and RFC 7493 want it, with bounds that are checked before anything is built.

    bytes ─► what lies outside of strings (one pass, no loop of our own) ─► count and depth ─► parse ─► same keys twice?

A fast parser forgets duplicate keys. They are found by counting: an object that was read has as many keys as there were
colons outside of strings, or some key came twice.
"""

import binascii
import re
from dataclasses import dataclass
from itertools import accumulate

import orjson

from mmm_server.errors import Malformed, Unprocessable

BYTES_PER_VALUE = 256  # white space and digits: generous for any indentation
LONG_INTEGER = re.compile(rb"(?<![.\d])-?[0-9]{19,}(?![.eE\d])")
INTEGERS = range(-(2**63), 2**64)
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
BASE64_PIECE = 1024 * 1024  # characters, a multiple of four


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """How deep a document may be nested and how many values it may hold."""

    depth: int = 32
    values: int = 10_000


DEFAULT = JsonLimits()


def parse_json(body: bytes, limits: JsonLimits = DEFAULT) -> object:
    """The value of a JSON text.

    Malformed for what is not JSON: also NaN, half surrogate pairs, a byte order mark, integers beyond 64 bits, numbers
    beyond doubles, and keys that come twice. Unprocessable beyond the limits.
    """
    outside = _outside_strings(body, limits)
    _check_size(outside, limits)
    try:
        document: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"The body is not valid JSON (line {error.lineno}, column {error.colno}).") from None
    if any(len(found) > 20 or int(found) not in INTEGERS for found in LONG_INTEGER.findall(outside)):
        raise Malformed("The JSON has an integer of more than 64 bits.")
    if outside.count(b":") != _members(document, outside.count(b"{")):
        raise Malformed("A JSON object has the same key twice.")
    return document


def _outside_strings(body: bytes, limits: JsonLimits) -> bytes:
    """The body without the strings in it; of what is no JSON, at least all that a parser would read of it."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    most = 4 * limits.values + 4  # two quotes for every value and for its key
    pieces = body.split(b'"', most)
    if len(pieces) > most:
        raise _too_many(limits)
    return b"".join(pieces[::2])


def _check_size(outside: bytes, limits: JsonLimits) -> None:
    opened = outside.count(b"[") + outside.count(b"{")
    if opened + outside.count(b",") > limits.values or len(outside) > BYTES_PER_VALUE * (limits.values + 1):
        raise _too_many(limits)
    if opened > limits.depth:
        depths = accumulate(map(STEP.__getitem__, outside.translate(None, NOT_BRACKETS)))
        if max(depths) > limits.depth:
            raise Unprocessable(f"The JSON is nested deeper than {limits.depth} levels.")


def _too_many(limits: JsonLimits) -> Unprocessable:
    return Unprocessable(f"The JSON holds more than {limits.values} values.")


def _members(document: object, objects: int) -> int:
    """How many keys there are in all the objects of a document."""
    if objects <= 1 and isinstance(document, dict):
        return len(document)
    found, waiting = 0, [document]
    while objects and waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            found += len(value)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return found


def decode_base64(text: str) -> bytes:
    """The bytes of a strict base64 text. ValueError for anything else.

    Long ones in pieces: other threads, the event loop above all, get their turn in between.
    """
    if len(text) <= BASE64_PIECE:
        return binascii.a2b_base64(text, strict_mode=True)
    if "=" in text[:-2]:
        raise ValueError("padding in the middle")
    pieces = range(0, len(text), BASE64_PIECE)
    return b"".join(binascii.a2b_base64(text[at : at + BASE64_PIECE], strict_mode=True) for at in pieces)
