"""Which of two versions is newer, told by their names alone; upload times never count.

Names that begin with a number (a leading "v" is ignored) are newer than all others. They compare by their dotted
numbers, so 2 < 10 and 1.9 < 1.10; then a pre-release (1.0.0-rc.1, 2-beta) comes before the release, and any other
suffix (2-hotfix, 2026-11-21) after it. Other names compare in natural order: run2 < run10. The name itself
decides last, so the order is total.
"""

import re
from collections.abc import Iterable

RELEASE = re.compile(r"v?(?P<numbers>\d+(?:\.\d+)*)(?P<suffix>.*)", re.IGNORECASE | re.DOTALL | re.ASCII)
PRE_RELEASE_WORD = re.compile(r"[-._]?(a|b|c|rc|alpha|beta|dev|pre|preview|snapshot|nightly)(?![a-z])", re.IGNORECASE)
CHUNK = re.compile(r"\d+|\D+", re.ASCII)

# (0, number, "") sorts before (1, 0, text): numbers before words, as semantic versioning wants.
Chunk = tuple[int, int, str]
OrderKey = tuple[int, tuple[int, ...], int, tuple[Chunk, ...], str]

BEFORE_RELEASE, RELEASED, AFTER_RELEASE = 0, 1, 2


def order_key(version: str) -> OrderKey:
    """A key that sorts version names from oldest to newest."""
    match = RELEASE.fullmatch(version)
    if match is None:
        return (0, (), RELEASED, natural_chunks(version), version)
    numbers = without_trailing_zeros(tuple(int(number) for number in match["numbers"].split(".")))
    # Build metadata ("+cu128") does not make a version newer; the name itself still breaks the tie.
    suffix = match["suffix"].partition("+")[0]
    is_semver = match["numbers"].count(".") == 2
    return (1, numbers, stage(suffix, is_semver=is_semver), natural_chunks(suffix), version)


def sorted_versions(versions: Iterable[str]) -> list[str]:
    """The names from oldest to newest."""
    return sorted(versions, key=order_key)


def is_newer(version: str, than: str) -> bool:
    """Whether `version` comes after `than`."""
    return order_key(version) > order_key(than)


def stage(suffix: str, *, is_semver: bool) -> int:
    """Whether a suffix makes a version one before, of, or after the release of the same numbers."""
    if not suffix:
        return RELEASED
    if (is_semver and suffix.startswith("-")) or PRE_RELEASE_WORD.match(suffix):
        return BEFORE_RELEASE
    return AFTER_RELEASE


def natural_chunks(text: str) -> tuple[Chunk, ...]:
    """The text cut into numbers and words, comparable with any other text cut so."""
    found = CHUNK.findall(text.casefold())
    return tuple((0, int(chunk), "") if chunk.isdecimal() else (1, 0, chunk) for chunk in found)


def without_trailing_zeros(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers as compared: 1.0 and 1 are the same release."""
    kept = len(numbers)
    while kept > 1 and numbers[kept - 1] == 0:
        kept -= 1
    return numbers[:kept]
