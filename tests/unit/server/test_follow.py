"""Which versions a following fetcher removes: a function of values."""

import pytest

from mmm_server.engine.remembered import Remembered
from mmm_server.engine.version import Version
from mmm_server.follow import KEPT, superfluous

NEW, OLD = Version("new", "sha256:" + "b" * 64), Version("old", "sha256:" + "a" * 64)


@pytest.mark.parametrize(
    ("came", "wanted", "used", "gone"),
    [
        ("", "a", "", ""),
        ("ba", "c", "a", ""),
        ("cba", "d", "c", "a"),
        ("cba", "d", "a", "b"),
        ("cba", "d", "ab", "c"),
        ("cba", "a", "c", ""),
        ("edcba", "f", "b", "dca"),
        ("edcba", "e", "e", "ba"),
        ("edcba", "f", "x", "cba"),
        ("edcba", "f", "", ""),
    ],
)
def test_what_is_wanted_and_used_stays_and_then_what_came_last(came: str, wanted: str, used: str, gone: str) -> None:
    assert superfluous(list(came), wanted, list(used)) == list(gone)
    assert len(came) - len(gone) <= KEPT + 1 or not used, "a disk for three is enough"


def test_a_server_uses_what_it_serves_and_what_it_may_be_loading() -> None:
    assert Remembered().used() == ()
    assert Remembered(OLD).used() == (OLD.digest,)
    assert Remembered(OLD, NEW).used() == (OLD.digest, NEW.digest)
    assert Remembered(OLD, NEW, "SmokeTestFailed", "Why.").used() == (OLD.digest,)
