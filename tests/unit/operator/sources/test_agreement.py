"""When listings are believed: after they have stood for an interval, without another one in between."""

import pytest

from mmm_operator.sources.agreement import Agreement
from mmm_repository.follow import Seen, Sight
from mmm_repository.unverified import Plain

INTERVAL = 60.0
MISSING = ("IncompleteUpload", "a shard is missing")


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def shown(*versions: tuple[str, str]) -> Sight:
    """What a look showed: versions, newest first, by the letter of their digest; a dot is not whole."""
    plain = [Plain(name, digest(letter), 7, 2, MISSING if letter == "." else None) for name, letter in versions]
    return Sight(plain=tuple(plain), incomplete=tuple(sorted(name for name, _ in versions)))


def told(agreement: Agreement, at: float, *versions: tuple[str, str], pinned: str = "") -> tuple[str, str, list[str]]:
    """The newest version that is believed, its digest's letter, and what is still waited for above it."""
    sight = agreement.settle(shown(*versions), {pinned}, INTERVAL, at)
    assert sight.whole == sight.newest
    newest = sight.newest or Seen("", "sha256:")
    return newest.version, newest.digest[7:8], list(sight.incomplete)


def test_two_listings_an_interval_apart_that_agree_are_believed() -> None:
    agreement = Agreement()
    assert told(agreement, 0, ("1", "a")) == ("", "", ["1"])
    assert agreement.left(INTERVAL, 0) == INTERVAL
    assert told(agreement, 30, ("1", "a")) == ("", "", ["1"]), "a look that came too early decides nothing"
    assert agreement.left(INTERVAL, 30) == 30
    assert told(agreement, 60, ("1", "a")) == ("1", "a", [])
    assert agreement.left(INTERVAL, 60) is None


def test_a_change_in_between_starts_anew() -> None:
    agreement = Agreement()
    told(agreement, 0, ("1", "a"))
    assert told(agreement, 60, ("1", "b")) == ("", "", ["1"])
    assert told(agreement, 120, ("1", "a")) == ("", "", ["1"]), "what was there before was gone meanwhile"
    assert told(agreement, 180, ("1", "a")) == ("1", "a", [])


def test_a_version_that_is_not_whole_is_never_believed() -> None:
    agreement = Agreement()
    for look in range(5):
        assert told(agreement, look * INTERVAL, ("1", ".")) == ("", "", ["1"])
    assert agreement.left(INTERVAL, 0) is None


def test_a_newer_one_that_still_changes_hides_no_older_one() -> None:
    agreement = Agreement()
    told(agreement, 0, ("3", "."), ("2", "x"), ("1", "a"))
    assert told(agreement, 60, ("3", "."), ("2", "y"), ("1", "a")) == ("1", "a", ["2", "3"])
    assert told(agreement, 120, ("3", "."), ("2", "y"), ("1", "a")) == ("2", "y", ["3"])


def test_what_an_earlier_process_saw_needs_no_second_look() -> None:
    agreement = Agreement()
    agreement.believe("1", digest("a"))
    assert told(agreement, 0, ("1", "a")) == ("1", "a", [])
    assert told(agreement, 60, ("1", "b")) == ("", "", ["1"])
    assert told(agreement, 90, ("1", "a")) == ("1", "a", [])


@pytest.mark.parametrize("pinned", ["1", "2"])
def test_a_pinned_version_is_seen_before_it_is_believed(pinned: str) -> None:
    sight = Agreement().settle(shown(("2", "b"), ("1", "a")), {pinned}, INTERVAL, 0)
    assert [(seen.version, seen.settled) for seen in sight.pinned.values()] == [(pinned, False)]


def test_a_repository_with_manifests_is_left_as_it_is() -> None:
    sight = Sight(newest=Seen("1", digest("a")), incomplete=("2",))
    assert Agreement().settle(sight, {"1"}, INTERVAL, 0) is sight
