import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_server.errors import Malformed, Unprocessable, UnsupportedType
from mmm_server.http.payload import Payload, Source, parse_payload
from mmm_server.http.strict_json import parse_json


def form(*fields: tuple[str, bytes], boundary: str = "x") -> Source:
    head = '--{}\r\nContent-Disposition: form-data; name="{}"\r\n\r\n'
    parts = [head.format(boundary, name).encode() + content + b"\r\n" for name, content in fields]
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return Source(body, f'multipart/form-data; boundary="{boundary}"')


def test_the_fields_of_a_form_become_a_payload() -> None:
    found = parse_payload(
        form(("image", b"\x00\r\n--y\xff"), ("image", b""), ("labels", b"a"), ("labels", b"b,c"), ("template", b"{}!"))
    )
    assert found == Payload([b"\x00\r\n--y\xff", b""], ["a", "b,c"], "{}!")


@pytest.mark.parametrize(
    ("given_text", "texts"),
    [(b"a", ["a"]), (b"a, b ,c", ["a", "b", "c"]), (b' ["a, b", "c"]', ["a, b", "c"]), (b"a,,b", ["a", "", "b"])],
)
def test_one_text_field_alone_may_be_a_list(given_text: bytes, texts: list[str]) -> None:
    assert parse_payload(form(("texts", given_text))).texts == texts


def test_several_text_fields_are_taken_as_they_are() -> None:
    assert parse_payload(form(("texts", b"a,b"), ("texts", b'["c"]'))).texts == ["a,b", '["c"]']


@given(st.lists(st.binary(max_size=200), max_size=5), st.lists(st.text(max_size=20), max_size=5))
def test_json_carries_any_bytes_and_texts(images: list[bytes], texts: list[str]) -> None:
    body = json.dumps({"images": [base64.b64encode(image).decode() for image in images], "texts": texts})
    assert parse_payload(Source(body.encode(), "application/json; charset=utf-8")) == Payload(images, texts)


@given(
    st.binary(max_size=300),
    st.sampled_from(["application/json", "multipart/form-data; boundary=x", "image/png", "", "x"]),
)
def test_any_bytes_are_read_or_refused(body: bytes, content_type: str) -> None:
    with suppress(Malformed, Unprocessable, UnsupportedType):
        parse_payload(Source(body, content_type, query=body[:20]))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_valid_json_is_what_the_standard_library_says(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("text", ['{"a":1,"a":1}', "NaN", "[Infinity]", "{'a':1}", "[1,]", "\ufeff{}", "", "01"])
def test_json_that_the_standard_does_not_know_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_json(text.encode())


def test_the_template_is_applied_to_every_label() -> None:
    assert Payload(texts=["cat", "{}"], template="a {}.").prompts() == ["a cat.", "a {}."]
    with pytest.raises(Unprocessable):
        Payload(texts=["cat"], template="a").prompts()
