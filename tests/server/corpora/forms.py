"""Forms: as browsers and tools write them, mangled, and made to hurt."""

import random
from collections.abc import Iterator

from tests.server.corpora.case import FINE, REFUSED, Case, flipped, mangled, rng
from tests.server.pictures import jpeg

BOUNDARIES = ["x", "----WebKitFormBoundary7MA4YWxkTrZu0gW", "a b", "'()+_,-./:=?", "0" * 70]
ALPHABET = [b"\r\n", b"--x", b"--x--", b"\r\n--x\r\n", b"\n", b"\x00", b"\xff", b'"', b";", b"\r\n\r\n", b": "]
VALID, DAMAGED = 60, 220
FIELD = b'Content-Disposition: form-data; name="text"'


def form(*parts: tuple[bytes, bytes], boundary: bytes = b"x") -> bytes:
    """A form of (header lines, content)."""
    inside = b"".join(b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for head, body in parts)
    return inside + b"--" + boundary + b"--\r\n"


def form_cases() -> list[Case]:
    """All of them, the same for the same seed."""
    random_ = rng("forms")
    valid = [_valid(number, random_) for number in range(VALID)]
    return [*valid, *_damaged(valid, random_), *_hostile()]


def _valid(number: int, random_: random.Random) -> Case:
    boundary = random_.choice(BOUNDARIES)
    image = (b'Content-Disposition: form-data; name="image"; filename="a \xc3\xa4.jpg"\r\nContent-Type: image/jpeg',)
    styles = [
        b'content-disposition: form-data; name="text"',
        b"Content-Disposition: form-data; name=text",
        b'Content-Disposition: form-data; name="text"\r\nContent-Type: text/plain; charset=UTF-8',
        b'Content-Type: text/plain\r\nContent-Disposition: form-data; name="text"\r\nContent-Transfer-Encoding: 8bit',
    ]
    parts = [(random_.choice(styles), f"text {index} ü".encode()) for index in range(random_.randrange(1, 5))]
    parts.insert(random_.randrange(len(parts)), (*image, jpeg(16, 16, number)))
    quoted = f'"{boundary}"'
    return Case(
        f"valid {number}",
        form(*parts, boundary=boundary.encode()),
        f"multipart/form-data; boundary={quoted if number % 2 or not boundary.isalnum() else boundary}",
        FINE,
    )


def _damaged(valid: list[Case], random_: random.Random) -> Iterator[Case]:
    for number in range(DAMAGED):
        case = random_.choice(valid)
        body = flipped(case.body, random_) if number % 2 else mangled(case.body, random_, ALPHABET)
        yield Case(f"damaged {number}", body, case.content_type)


def _hostile() -> Iterator[Case]:
    plain = form((FIELD, b"a"))
    types = {
        "no boundary": "multipart/form-data",
        "an empty boundary": "multipart/form-data; boundary=",
        "two boundaries": "multipart/form-data; boundary=x; boundary=y",
        "a long boundary": "multipart/form-data; boundary=" + "x" * 71,
        "a boundary with a blank at its end": 'multipart/form-data; boundary="x "',
        "another boundary": "multipart/form-data; boundary=y",
        "a strange boundary": 'multipart/form-data; boundary="x\xff"',
        "mixed": "multipart/mixed; boundary=x",
    }
    for name, content_type in types.items():
        yield Case(name, plain, content_type, REFUSED)
    bodies = {
        "a preamble": b"hello\r\n" + plain,
        "a long preamble": b"h" * 1_000_000 + b"\r\n" + plain,
        "a long epilogue": plain + b"e" * 1_000_000,
        "no end": plain[:-4],
        "only an end": b"--x--\r\n",
        "bare line feeds": plain.replace(b"\r\n", b"\n"),
        "many headers": form((FIELD + b"\r\na: b" * 50, b"a")),
        "a long header": form((FIELD + b"\r\na: " + b"b" * 100_000, b"a")),
        "a long header name": form((b"a" * 100_000 + b": b\r\n" + FIELD, b"a")),
        "a long name": form((b'Content-Disposition: form-data; name="' + b"n" * 1000 + b'"', b"a")),
        "no name": form((b"Content-Disposition: form-data", b"a")),
        "an empty name": form((b'Content-Disposition: form-data; name=""', b"a")),
        "no disposition": form((b"Content-Type: text/plain", b"a")),
        "two dispositions": form((FIELD + b"\r\n" + FIELD, b"a")),
        "an attachment": form((b'Content-Disposition: attachment; name="text"', b"a")),
        "base64": form((FIELD + b"\r\nContent-Transfer-Encoding: base64", b"YQ==")),
        "quoted-printable": form((FIELD + b"\r\nContent-Transfer-Encoding: quoted-printable", b"=41")),
        "Latin-1": form((FIELD + b"\r\nContent-Type: text/plain; charset=iso-8859-1", b"\xe4")),
        "not UTF-8": form((FIELD, b"\xe4")),
        "a form inside": form(
            (FIELD + b"\r\nContent-Type: multipart/mixed; boundary=y", form((FIELD, b"a"), boundary=b"y"))
        ),
        "many parts": form(*[(FIELD, b"a")] * 5000),
        "many images": form(*[(b'Content-Disposition: form-data; name="image"', b"x")] * 100),
        "nothing but line ends": b"\r\n" * 1_000_000,
        "nothing but boundaries": b"--x\r\n" * 200_000,
        "nothing but dashes": b"-" * 3_000_000,
        "a folded header": form((b"Content-Disposition: form-data;\r\n name=text", b"a")),
        "a NUL in a text": form((FIELD, b"a\0b")),
        "an empty text": form((FIELD, b"")),
        "a JSON list that is deep": form((FIELD, b"[" * 100_000)),
        "a template of a megabyte": form(
            (FIELD, b"a"), (FIELD.replace(b"text", b"template"), b"{}" + b"t" * 1_000_000)
        ),
        "nothing": b"",
    }
    for name, body in bodies.items():
        yield Case(name, body, "multipart/form-data; boundary=x", REFUSED)
