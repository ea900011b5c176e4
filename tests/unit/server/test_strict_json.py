"""Strict JSON: what the standard library reads is read the same, and what costs or confuses is refused."""

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmm_server.errors import Malformed, Unprocessable
from mmm_server.http.strict_json import JsonLimits, decode_base64, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.floats(allow_nan=False, width=32),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
@example({'"': "\\", "\\": '"', ":": ":,[{", "\\\\": ['\\"']}, None, True)
def test_any_spelling_of_a_value_is_read(value: object, indent: int | None, ascii_only: bool) -> None:
    try:
        body = json.dumps(value, indent=indent, ensure_ascii=ascii_only, allow_nan=False).encode()
    except ValueError:
        return
    assert parse_json(body) == value


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0 1e-a', max_size=30).map(str.encode))
def test_whatever_is_accepted_is_accepted_by_the_standard_library_too(body: bytes) -> None:
    with suppress(Malformed, Unprocessable):
        assert parse_json(body) == json.loads(body)


@given(st.text(), st.text())
def test_the_same_key_twice_is_found_however_it_is_spelled(key: str, other: str) -> None:
    spelled = "".join(f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else letter for letter in key)
    body = f'{{{json.dumps(key)}: {json.dumps(other)}, "{spelled}" : [1]}}'
    for whole in (body, f"[{body}]", f'{{"x": [{body}, {{}}]}}'):
        with pytest.raises(Malformed):
            parse_json(whole.encode())


@pytest.mark.parametrize(
    "body",
    [
        *(b'"\\ud800"', b'"\\udc00\\ud800"', b"\xff", b'"\xed\xa0\x80"', b"\xef\xbb\xbf{}", b"[1e999]", b"9" * 5000),
        *(b"18446744073709551616", b"-9223372036854775809", b"NaN", b"-Infinity", b'"\t"', b"{}{}", b"\0", b"[1,]"),
    ],
)
def test_what_would_be_read_as_something_else_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_json(body)


def test_depth_and_values_are_bounded_exactly() -> None:
    limits = JsonLimits(depth=3, values=10)
    assert parse_json(b"[[[]]]", limits) == [[[]]]
    assert parse_json(b"[" + b"[]," * 3 + b'"[[[[[["]', limits) == [[], [], [], "[[[[[["]
    with pytest.raises(Unprocessable, match="nested deeper than 3"):
        parse_json(b"[[[[]]]]", limits)
    assert parse_json(json.dumps(["a,b"] * 10).encode(), limits) == ["a,b"] * 10
    for body in (json.dumps([1] * 11), json.dumps(dict.fromkeys("abcdefghijkl")), "[" * 20, '"' * 100):
        with pytest.raises(Unprocessable, match="more than 10 values"):
            parse_json(body.encode(), limits)


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"a":' * 100_000, b"1," * 5_000_000, b" " * 9_000_000, b'"' * 999_999]
)
def test_what_would_cost_is_refused_before_it_does(body: bytes) -> None:
    with pytest.raises(Unprocessable):
        parse_json(body)


@given(st.binary(max_size=100))
def test_base64_comes_back(content: bytes) -> None:
    assert decode_base64(base64.b64encode(content).decode()) == content


def test_long_base64_is_decoded_in_pieces_and_as_strictly() -> None:
    content = bytes(range(256)) * 8000
    text = base64.b64encode(content).decode()
    assert decode_base64(text) == content
    cut = text[: 1024 * 1024 - 4]
    for bad in (cut + "QQ==" + text, text + "QQ==" * 2, text[:-1], text + "A", "é" + text, text.replace("A", "\n", 1)):
        with pytest.raises(ValueError, match=r".+"):
            decode_base64(bad)
