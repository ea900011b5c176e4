"""Inflating with a bound, and what Accept-Encoding asks for."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_server.errors import Malformed, TooLarge
from mmm_server.http.compression import STEP, accepted_encoding, inflate

COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("encoding", COMPRESS)
@given(body=st.binary(max_size=4 * 1024) | st.binary(min_size=1, max_size=9).map(lambda piece: piece * STEP))
def test_what_was_compressed_comes_back(encoding: str, body: bytes) -> None:
    assert inflate(COMPRESS[encoding](body), encoding, len(body)) == body


@pytest.mark.parametrize("encoding", COMPRESS)
@given(size=st.integers(min_value=1, max_value=3 * STEP))
def test_one_byte_too_many_is_too_large(encoding: str, size: int) -> None:
    with pytest.raises(TooLarge):
        inflate(COMPRESS[encoding](b"x" * size), encoding, size - 1)


@pytest.mark.parametrize("encoding", COMPRESS)
@given(body=st.binary(min_size=1, max_size=300), cut=st.integers(min_value=1, max_value=20))
def test_a_body_that_is_cut_off_is_malformed(encoding: str, body: bytes, cut: int) -> None:
    sent = COMPRESS[encoding](body)
    with pytest.raises(Malformed):
        inflate(sent[: max(0, len(sent) - cut)], encoding, 1000)


@pytest.mark.parametrize("encoding", COMPRESS)
@given(body=st.binary(max_size=300))
def test_bytes_that_are_no_stream_never_raise_anything_else(encoding: str, body: bytes) -> None:
    with suppress(Malformed, TooLarge):
        inflate(body, encoding, 1000)


@pytest.mark.parametrize("encoding", COMPRESS)
def test_an_inflated_body_is_in_memory_once(encoding: str) -> None:
    size = 100 * STEP
    sent = COMPRESS[encoding](bytes(size))
    tracemalloc.start()
    try:
        assert len(inflate(sent, encoding, size)) == size
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * size


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", None),
        ("gzip, deflate, br, zstd", "gzip"),
        ("deflate, gzip", "deflate"),
        ("GZIP", "gzip"),
        ("gzip;q=0", None),
        ("gzip; q=0.000, deflate", "deflate"),
        ("gzip;q=0.5", "gzip"),
        ("*", None),
        ("br", None),
    ],
)
def test_an_answer_is_compressed_as_the_client_asks(header: str, chosen: str | None) -> None:
    assert accepted_encoding(header) == chosen
