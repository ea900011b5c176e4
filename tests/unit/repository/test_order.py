"""Which version is newer."""

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_repository import is_newer, order_key, sorted_versions

numbers = st.integers(0, 30).map(str)
releases = st.lists(numbers, min_size=1, max_size=4).map(".".join)
suffixes = st.sampled_from(["", "-rc.1", "-rc.10", "-beta", "rc1", "-hotfix", "-hotfix2", "+cu128", "-11-21", ".dev3"])
versions = st.builds("{}{}{}".format, st.sampled_from(["", "v"]), releases, suffixes)
names = versions | st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._+-]{0,10}[A-Za-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    "ordered",
    [
        ["1", "2", "9", "10", "11", "100"],
        ["v1", "v2", "v10"],
        ["1.9.0", "1.10.0", "1.10.1", "2.0.0"],
        [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
        ],
        ["2-rc1", "2", "2-hotfix", "3"],
        ["1.0a1", "1.0b2", "1.0rc1", "1.0", "1.0.1"],
        ["2026-03-01", "2026-03-02", "2026-11-21", "2027-01-01"],
        ["20260301", "20261121"],
        ["run2", "run10", "1"],
        ["latest", "test", "0.1"],
        ["1.2", "1.2.3"],
        ["1.0.0-rc.1", "1"],
    ],
)
def test_known_orders(ordered: list[str]) -> None:
    assert sorted_versions(reversed(ordered)) == ordered


@given(st.lists(names, max_size=12), st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_where_one_begins(found: list[str], source: object) -> None:
    shuffled = list(found)
    source.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sorted_versions(found) == sorted_versions(shuffled)


@given(names, names)
def test_two_names_are_in_order_or_the_same(first: str, second: str) -> None:
    assert is_newer(first, second) + is_newer(second, first) + (first == second) == 1


def compared(first: str, second: str) -> int:
    return is_newer(first, second) - is_newer(second, first)


@given(names, names, names)
def test_newer_than_newer_is_newer(first: str, second: str, third: str) -> None:
    low, middle, high = sorted((first, second, third), key=functools.cmp_to_key(compared))
    assert order_key(low) <= order_key(middle) <= order_key(high)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_numbers_compare_as_numbers(first: int, second: int) -> None:
    assert is_newer(str(first), str(second)) == (first > second)


@given(releases, st.sampled_from(["-rc.1", "-beta", "rc1", "-alpha.3"]))
def test_a_candidate_comes_before_its_release(release: str, suffix: str) -> None:
    assert is_newer(release, release + suffix)


@given(st.text(max_size=130))
def test_any_text_has_a_place(text: str) -> None:
    assert not is_newer(text, text)
