"""One line is one line, whatever was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_operator.api.text import one_line

LIMIT = 20


@given(st.text(st.characters(), max_size=60))
def test_anything_becomes_one_printable_line_that_stays_as_it_is(text: str) -> None:
    line = one_line(text, LIMIT)
    assert line.isprintable()
    assert "  " not in line
    assert len(line.encode()) <= LIMIT
    assert one_line(line, LIMIT) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("0 of 2", "0 of 2"),
        (" a\n\tb  c ", "a b c"),
        ("a\x00b", "a b"),
        ("s3://me:secret@host", "s3://host"),
        ("x" * 21, "x" * 17 + "…"),
        ("ä" * 11, "ä" * 8 + "…"),
        ("\ud800", ""),
    ],
)
def test_what_it_makes_of(text: str, line: str) -> None:
    assert one_line(text, LIMIT) == line
