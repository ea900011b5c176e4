"""What may come over a connection: good requests in odd pieces, broken ones, slow ones, and attempts to smuggle."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.server.corpora.case import flipped, mangled, rng

HOST = b"Host: x\r\n"
JSON = b"Content-Type: application/json\r\n"
BODY = b'{"texts": ["a", "b"]}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GET = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /v1/embed HTTP/1.1\r\n" + HOST + JSON
GOOD = POST + LENGTH + b"\r\n" + BODY
INPUT = frozenset({200, 400, 404, 405, 408, 413, 415, 422, 431})
BAD = frozenset({400})
UNTIL_ANSWERED = math.inf  # seconds
ALPHABET = [
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b"\xff", b":", b"0\r\n\r\n", b"HTTP/1.1", b"Content-Length: 3\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"5\r\n", b"\r\n\r\n"),
]


@dataclass(frozen=True)
class Stream:
    """Bytes, and seconds to wait between them; what may be answered, and whether the server must end the connection."""

    name: str
    steps: tuple[bytes | float, ...]
    allowed: frozenset[int]
    answers: int = 1  # at most
    least: int = 1
    ends: bool = False


def streams() -> list[Stream]:
    """All of them, the same for the same seed."""
    random_ = rng("streams")
    return [*_good(), *_pieces(), *_broken(), *_cut(), *_slow(), *_damaged(random_)]


def chunked(body: bytes, size: int, extension: bytes = b"") -> bytes:
    """The body in chunks of a size."""
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\n\r\n"


def _good() -> Iterator[Stream]:
    fine = frozenset({200})
    for size in (1, 2, 6, 7, 16, 1000):
        for extension in (b"", b";a=b", b';a="b c"'):
            body = POST + CHUNKED + b"\r\n" + chunked(BODY, size, extension)
            yield Stream(f"chunks of {size} {extension!r}", (body,), fine)
    yield Stream("trailers", (POST + CHUNKED + b"\r\n" + chunked(BODY, 5)[:-2] + b"X-T: 1\r\n\r\n",), fine)
    yield Stream("a blank line first", (b"\r\n" + GET,), fine)
    yield Stream("an absolute address", (GET.replace(b"/livez", b"http://x/livez"),), fine)
    yield Stream("HTTP/1.0", (b"GET /livez HTTP/1.0\r\n\r\n",), fine, ends=True)
    yield Stream("closing", (GET[:-2] + b"Connection: close\r\n\r\n" + GET,), fine, ends=True)
    expecting = POST + LENGTH + b"Expect: 100-continue\r\n\r\n"
    yield Stream("an expecting client", (expecting, UNTIL_ANSWERED, BODY), frozenset({100, 200}), answers=2, least=2)
    yield Stream("an impatient client", (expecting + BODY,), frozenset({100, 200}), answers=2, least=1)
    too_long = POST + b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
    yield Stream("expecting too much", (too_long,), frozenset({413}), ends=True)
    for count in (2, 5, 10):
        yield Stream(f"{count} at once", (GET * count,), fine, answers=count, least=count)
        yield Stream(f"{count} posts at once", (GOOD * count,), fine, answers=count, least=count)
    yield Stream("200 at once", (GET * 200,), fine, answers=200)
    yield Stream("one and garbage", (GOOD + b"garbage\r\n\r\n",), fine, ends=True)
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    yield Stream("asking for HTTP/2", (GET[:-2] + upgrade + b"\r\n",), fine)
    yield Stream("asking for HTTP/2 with a body", (POST + upgrade + LENGTH + b"\r\n" + BODY,), fine)
    yield Stream("asking for HTTP/2 in two pieces", (POST + upgrade + LENGTH + b"\r\n" + BODY[:5], 0.1, BODY[5:]), fine)
    yield Stream(
        "answered before it was read", (b"POST /no HTTP/1.1\r\n" + LENGTH + b"\r\nabc",), frozenset({404}), ends=True
    )


def _pieces() -> Iterator[Stream]:
    fine = frozenset({200})
    for size in (1, 2, 3, 6, 10, 50):
        for request in (GET, GOOD, POST + CHUNKED + b"\r\n" + chunked(BODY, 6)):
            parts = [request[at : at + size] for at in range(0, len(request), size)]
            pauses = [piece for part in parts for piece in (part, 0.002)]
            yield Stream(f"{request[:14]!r} in pieces of {size}", tuple(pauses), fine)


HEADS = {
    "both lengths": POST + LENGTH + CHUNKED,
    "both lengths, turned": POST + CHUNKED + LENGTH,
    "two lengths": POST + LENGTH + b"Content-Length: 5\r\n",
    "the same length twice": POST + LENGTH * 2,
    "a list of lengths": POST + b"Content-Length: 21, 21\r\n",
    "a signed length": POST + b"Content-Length: +21\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n",
    "a length in hexadecimal": POST + b"Content-Length: 0x15\r\n",
    "an empty length": POST + b"Content-Length: \r\n",
    "a length of thirty digits": POST + b"Content-Length: " + b"9" * 30 + b"\r\n",
    "a blank before the colon": POST + b"Content-Length : 21\r\n",
    "unknown coding": POST + b"Transfer-Encoding: gzip\r\n",
    "chunked is not last": POST + b"Transfer-Encoding: chunked, gzip\r\n",
    "nearly chunked": POST + b"Transfer-Encoding: xchunked\r\n",
    "chunked twice": POST + CHUNKED * 2,
    "a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n",
    "a folded field": POST + b"X: a\r\n b\r\n" + LENGTH,
    "a bare carriage return": POST + b"X: a\rY: b\r\n" + LENGTH,
    "a NUL in a value": POST + b"X: a\0b\r\n" + LENGTH,
    "a NUL in a name": POST + b"X\0: a\r\n" + LENGTH,
    "no colon": POST + b"nonsense\r\n" + LENGTH,
    "no name": POST + b": a\r\n" + LENGTH,
}
LINES = [
    *(b"GET /livez\r\n", b"GET /livez HTTP/2.0\r\n", b"GET /livez HTTP/1.2\r\n", b"GET /livez HTTP/9.9\r\n"),
    *(b"PRI * HTTP/2.0\r\n", b"FOO /livez HTTP/1.1\r\n", b"get /livez HTTP/1.1\r\n", b"GET  HTTP/1.1\r\n"),
    *(b"CONNECT x:443 HTTP/1.1\r\n", b"GET ?a HTTP/1.1\r\n", b"GET /\xff HTTP/1.1\r\n", b"GET /a b HTTP/1.1\r\n"),
    *(
        b"GET /\0 HTTP/1.1\r\n",
        b"GET /livez HTTP/1.1\n",
        b"GET /livez HTTP/1.1 \r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01",
    ),
    *(b"GET\t/livez\tHTTP/1.1\r\n", b"GET /livez HTTQ/1.1\r\n", b"HTTP/1.1 200 OK\r\n", b"A" * 5000),
]
BODIES = [
    *(
        b"zz\r\nab\r\n",
        b"-1\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5\nhello\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
    ),
    *(b"f" * 17 + b"\r\n", b"5 \x0b\r\nhello\r\n", b"\r\n5\r\nhello", b"5;" + b"a" * 500_000, b"\0\r\n"),
    b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    b"5\r\nhello\r\n0\r\nX: " + b"y" * 500_000,
    chunked(b"x" * 60_000, 1),
]


def _broken() -> Iterator[Stream]:
    for name, head in HEADS.items():
        yield Stream(name, (head + b"\r\n" + BODY + GET,), BAD, ends=True)
    for line in LINES:
        yield Stream(f"{line[:40]!r}", (line + HOST + b"\r\n",), BAD, ends=True)
    for body in BODIES:
        yield Stream(f"chunk {body[:20]!r}", (POST + CHUNKED + b"\r\n" + body,), BAD, ends=True)
    big = frozenset({431})
    for size in (40_000, 300_000, 2_000_000):
        yield Stream(f"a field of {size}", (b"GET / HTTP/1.1\r\nX: " + b"a" * size,), big, ends=True)
        yield Stream(
            f"fields of {size}", (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (size // 6) + b"\r\n",), big, ends=True
        )
        yield Stream(f"an address of {size}", (b"GET /" + b"a" * size + b" HTTP/1.1\r\n\r\n",), big, ends=True)


def _cut() -> Iterator[Stream]:
    """A client that stops in the middle gets told so, whatever it left out."""
    for request in (GOOD, POST + CHUNKED + b"\r\n" + chunked(BODY, 6)):
        for at in range(1, len(request) - 1, max(1, len(request) // 20)):
            yield Stream(f"cut at {at} of {request[:80]!r}", (request[:at],), frozenset({408}), ends=True)
    yield Stream("silence", (), frozenset({408}), least=0, ends=True)


def _slow() -> Iterator[Stream]:
    late = frozenset({408})
    for pause in (0.1, 0.3, 0.6):
        steps = [step for byte in GOOD[:80] for step in (bytes([byte]), pause)]
        yield Stream(f"a head with a byte every {pause} s", tuple(steps), late, ends=True)
        hurry = POST + b"Content-Length: 200\r\nX-Request-Timeout-Ms: 2500\r\n\r\n"
        steps = [hurry, *(step for _ in range(round(5 / pause)) for step in (b" ", pause))]
        yield Stream(f"a body with a byte every {pause} s", tuple(steps), late, ends=True)
    for size in (0, 1, 10):
        yield Stream(f"a body that stops after {size}", (POST + LENGTH + b"\r\n" + BODY[:size],), late, ends=True)


def _damaged(random_: random.Random) -> Iterator[Stream]:
    requests = [GET, GOOD, POST + CHUNKED + b"\r\n" + chunked(BODY, 6), GOOD + GET]
    for number in range(120):
        request = random_.choice(requests)
        body = flipped(request, random_) if number % 2 else mangled(request, random_, ALPHABET)
        yield Stream(f"damaged {number}: {body!r}", (body,), INPUT | {100}, answers=4, least=0)
