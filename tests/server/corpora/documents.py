"""JSON bodies: good ones in many spellings, mangled ones, and those that were made to hurt."""

import json
import random
from collections.abc import Iterator

from tests.server.corpora.case import ANY, FINE, Case, mangled, rng
from tests.server.pictures import base64_of, jpeg

JSON = "application/json"
ALPHABET = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\\",
        b",",
        b":",
        b"null",
        b"NaN",
        b"-",
        b"1e999",
        b"\x00",
        b"\xff",
        b"\xed\xa0\x80",
    ),
    *(b"\\u0000", b"\\ud800", b"\xef\xbb\xbf", b"\n", b"true", b"'", b"//", b"\\x41", b"1" * 50),
]
WORDS = ["cat", "a dog, asleep", "Ünïcödé", "日本語", "🙂🙃", "tab\there", 'a "quote"', "back\\slash", "a:b{c}[d]"]
NUMBERS = [
    "1",
    "-0",
    "1.5",
    "1e3",
    "1E-400",
    "1e400",
    "9" * 30,
    "0x10",
    "01",
    "+1",
    ".5",
    "1.",
    "--1",
    "1_000",
    "Infinity",
]
VALID, MANGLED = 250, 700


def json_cases() -> list[Case]:
    """All of them, the same for the same seed."""
    random_ = rng("json")
    valid = [_valid(number, random_) for number in range(VALID)]
    return [*valid, *_mangled(valid, random_), *_numbers(), *_hostile()]


def _valid(number: int, random_: random.Random) -> Case:
    texts = [" ".join(random_.choices(WORDS, k=random_.randrange(1, 4))) for _ in range(random_.randrange(1, 6))]
    document: dict[str, object] = {random_.choice(["texts", "labels", "text"]): texts}
    if random_.random() < 0.5:
        document["images"] = [base64_of(jpeg(20, 20, number))]
    if random_.random() < 0.2:
        document["template"] = "a photo of {}."
    body = json.dumps(document, ensure_ascii=random_.random() < 0.5, indent=random_.choice([None, 1, 4]))
    return Case(
        f"valid {number}", body.encode(), random_.choice([JSON, f"{JSON}; charset=utf-8", "Application/JSON"]), FINE
    )


def _mangled(valid: list[Case], random_: random.Random) -> Iterator[Case]:
    for number in range(MANGLED):
        body = random_.choice(valid).body
        for _ in range(random_.randrange(1, 4)):
            body = mangled(body, random_, ALPHABET) or b"{"
        yield Case(f"mangled {number}: {body[:60]!r}", body, JSON)


def _numbers() -> Iterator[Case]:
    for number in NUMBERS:
        for place in ('{"texts": [%s]}', '{"texts": %s}', '{"images": [%s]}', '{"template": %s}', "%s"):
            yield Case(place % number[:20], (place % number).encode(), JSON, ANY - FINE)


def _hostile() -> Iterator[Case]:
    refused = ANY - FINE
    for opening, closing in (("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")):
        for depth in (33, 100, 2000, 100_000):
            yield Case(f"{opening} {depth} deep", (opening * depth + "1" + closing * depth).encode(), JSON, refused)
            yield Case(f"{opening} {depth} deep, open", (opening * depth).encode(), JSON, refused)
    wide = {
        "many numbers": b'{"texts": [' + b"1," * 100_000 + b"1]}",
        "many strings": b'{"texts": [' + b'"a",' * 100_000 + b'"a"]}',
        "many keys": b"{" + b",".join(b'"%d":1' % index for index in range(50_000)) + b"}",
        "many quotes": b'"' * 500_000,
        "many escapes": b'{"texts": ["' + b"\\\\" * 400_000 + b'"]}',
        "white space": b" " * 3_900_000 + b"{}",
        "a long key": b'{"' + b"k" * 1_000_000 + b'": 1}',
        "a long template": b'{"texts": ["a"], "template": "{}' + b"t" * 1_000_000 + b'"}',
        "a long text": b'{"texts": ["' + b"word " * 100_000 + b'"]}',
        "a blank text": b'{"texts": ["' + b" " * 1_000_000 + b'"]}',
        "long base64": b'{"images": ["' + b"A" * 3_000_000 + b'"]}',
        "padding": b'{"images": ["' + b"=" * 1_000_000 + b'"]}',
        "many images": b'{"images": [' + b'"QQ==",' * 5000 + b'"QQ=="]}',
        "the same key": b'{"texts": ["a"], "t\\u0065xts": ["b"]}',
        "half a pair": b'{"texts": ["\\udead"]}',
        "a NUL": b'{"texts": ["a\\u0000"]}',
        "a mark": b"\xef\xbb\xbf" + b'{"texts": ["a"]}',
        "UTF-16": '{"texts": ["a"]}'.encode("utf-16"),
        "two documents": b'{"texts": ["a"]}{"texts": ["a"]}',
        "a comment": b'{"texts": ["a"]} // x',
        "nothing": b"",
    }
    for name, body in wide.items():
        yield Case(name, body, JSON, refused)
