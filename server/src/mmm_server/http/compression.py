"""Bodies that come compressed, inflated with a bound, and answers compressed for clients that ask for it.

Only gzip and deflate (in its zlib wrapping, as RFC 9110 has it): what clients of the inference protocol offer.
"""

import asyncio
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

from starlette.types import Scope

from mmm_server.errors import Malformed, TooLarge, UnsupportedType
from mmm_server.http.exchange import header_of
from mmm_server.http.reply import Reply

WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
STEP = 64 * 1024  # bytes inflated at once: so much more than the limit is the most that is ever held
LEVEL = 1  # vectors hardly shrink: the rest of the answer does with the fastest level, too
WORTH = 1024  # bytes below which an answer fits into one packet anyway
LARGE = 256 * 1024  # bytes that take so long that the event loop should not do it


def request_encoding(scope: Scope, *, inflates: bool) -> str | None:
    """How the body is compressed, None for not at all; UnsupportedType if it cannot be read."""
    encoding = (header_of(scope, b"content-encoding") or "identity").strip().lower()
    if encoding == "identity":
        return None
    if not inflates:
        raise UnsupportedType("Compressed bodies are not read here; images are compressed already.")
    if encoding not in WINDOW:
        raise UnsupportedType("Bodies are read as they are, or compressed with gzip or deflate.")
    return encoding


async def inflated(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """`inflate` in a thread: few bytes may become many."""
    return await asyncio.to_thread(inflate, body, encoding, max_bytes)


def inflate(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body without its compression; TooLarge as soon as it gets too long, Malformed if it is damaged."""
    whole = BytesIO()  # gives its bytes away at the end, where pieces would have to be copied
    try:
        for piece in _inflated_pieces(body, encoding):
            whole.write(piece)
            if whole.tell() > max_bytes:
                raise TooLarge(f"The body is longer than {max_bytes} bytes once it is inflated.")
    except zlib.error:
        raise Malformed("The body is not compressed as its Content-Encoding says.") from None
    return whole.getvalue()


def _inflated_pieces(body: bytes, encoding: str) -> Iterator[bytes]:
    stream = zlib.decompressobj(WINDOW[encoding])
    for start in range(0, len(body), STEP):
        rest = body[start : start + STEP]  # not all at once: what is not consumed is copied with every step
        while rest and not stream.eof:
            yield stream.decompress(rest, STEP)
            rest = stream.unconsumed_tail
        if rest or stream.unused_data:
            raise Malformed("Bytes follow the end of the compressed body.")
    while not stream.eof:
        piece = stream.decompress(b"", STEP)
        if not piece:
            raise Malformed("The compressed body is cut off.")
        yield piece


async def compressed(reply: Reply, scope: Scope) -> Reply:
    """The same reply, compressed if the client asks for it and it is worth it."""
    encoding = accepted_encoding(header_of(scope, b"accept-encoding") or "")
    if encoding is None or len(reply.body) < WORTH:
        return replace(reply, headers=(*reply.headers, (b"vary", b"accept-encoding")))
    if len(reply.body) > LARGE:
        body = await asyncio.to_thread(_compress, reply.body, encoding)
    else:
        body = _compress(reply.body, encoding)
    extra = ((b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))
    return replace(reply, body=body, headers=(*reply.headers, *extra))


def accepted_encoding(header: str) -> str | None:
    """The first of gzip and deflate that an Accept-Encoding header names and does not refuse."""
    for choice in header.lower().split(","):
        name, _, parameters = choice.partition(";")
        if name.strip() in WINDOW and not _is_zero(parameters):
            return name.strip()
    return None


def _is_zero(parameters: str) -> bool:
    name, _, quality = parameters.replace(" ", "").partition("=")
    return name == "q" and not quality.strip("0.")


def _compress(body: bytes, encoding: str) -> bytes:
    return gzip.compress(body, LEVEL, mtime=0) if encoding == "gzip" else zlib.compress(body, LEVEL)
