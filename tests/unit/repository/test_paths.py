"""Names that may be written to a disk, and the many that may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_repository.paths import MAX_COMPONENT_BYTES, refusal_of_path, shown

GOOD = [
    "config.json",
    "model-00001-of-00002.safetensors",
    "a/b/c/d.json",
    "tokenizer (1).json",
    "模型.json",
    "a..b",
    "a" * MAX_COMPONENT_BYTES,
    "~root",
    "$HOME",
    "-rf",
]
UP = ["../x", "a/../x", "a/..", "..", "../../etc/passwd", "./x", "a/./x", ".", "a/../../../x"]
ABSOLUTE = ["/etc/passwd", "//server/share", "/", "C:\\x", "c:x", "C:/x", "\\\\server\\share", "\\x", "a\\..\\x"]
ENCODED = ["%2e%2e/x", "a%2fb", "..%2f..%2fx", "%00", "%5c", "%252e%252e/x", "a%"]
CONTROL = [
    "a\0b",
    "\0",
    "a\nb",
    "a\rb",
    "a\tb",
    "a\x1b[31m",
    "a\x7f",
    "a\x85b",
    "a\u2028b",
    "a\u202eb",
    "a\u200bb",
    "a\ufeff",
]
SHAPE = ["", "a//b", "a/", "/a/", " a", "a ", "a/ b", "a.", "a/b.", ".hidden", "a/.git/config", ".complete", "..."]
LONG = ["a" * (MAX_COMPONENT_BYTES + 1), "é" * 128, "/".join(["a" * 200] * 4), "a/" * 400 + "a"]
STREAMS = ["a:b", "a::$DATA", "a*", "a?", 'a"', "a<b", "a>b", "a|b"]
UNICODE = ["e\u0301.json", "a\ud800b", "\udcff"]
RESERVED = ["manifest.json", "Manifest.JSON", "MANIFEST.json"]
BAD = UP + ABSOLUTE + ENCODED + CONTROL + SHAPE + LONG + STREAMS + UNICODE + RESERVED


@pytest.mark.parametrize("path", GOOD)
def test_a_plain_relative_name_is_fine(path: str) -> None:
    assert refusal_of_path(path) is None


@pytest.mark.parametrize("path", BAD, ids=ascii)
def test_everything_else_is_refused(path: str) -> None:
    assert refusal_of_path(path)


@pytest.mark.parametrize("bad", UP + CONTROL + STREAMS, ids=ascii)
@pytest.mark.parametrize("frame", ["{}", "sub/{}", "sub/{}/file.json"])
def test_a_bad_component_is_refused_at_any_depth(frame: str, bad: str) -> None:
    assert refusal_of_path(frame.format(bad))


@given(st.text())
def test_an_accepted_name_stays_inside_its_directory(path: str) -> None:
    if refusal_of_path(path) is None:
        components = path.split("/")
        assert all(component not in ("", ".", "..") for component in components)
        assert "\\" not in path
        assert path.isprintable()


@given(st.text())
def test_a_shown_name_is_one_short_printable_line(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) < 1000
