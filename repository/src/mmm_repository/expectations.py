"""What a smoke test expects at one place of an answer, and how an answer differs from it.

"cat", true, null, 3                          this very value
{"min": 0.5}, {"max": 1}, {"min": 0, "max": 1}    a number within bounds, ends included
{"near": 0.82, "tolerance": 0.05}             a number, or a list of numbers, each this near
{"vector": [0.1, 0.9], "cosine": 0.99}        a vector of that length whose cosine is at least this
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard

from mmm_repository.paths import shown

TOLERANCE = 1e-3
COSINE = 0.99
MAX_NUMBERS = 16_384


class Expectation(Protocol):
    """What is expected at one place."""

    def __str__(self) -> str:
        """The words that follow "should be"."""
        ...

    def holds(self, found: object) -> bool:
        """Whether a value of an answer is as expected."""
        ...


@dataclass(frozen=True)
class Exactly:
    """A word, a truth value, null or a number."""

    value: str | int | float | bool | None

    def __str__(self) -> str:
        return described(self.value)

    def holds(self, found: object) -> bool:
        """Whether it is this value and of this kind: true is not 1."""
        return isinstance(found, bool) is isinstance(self.value, bool) and found == self.value


@dataclass(frozen=True)
class Between:
    """A number within bounds."""

    least: float
    most: float

    def __str__(self) -> str:
        if self.most == math.inf:
            return f"at least {self.least:g}"
        return f"at most {self.most:g}" if self.least == -math.inf else f"from {self.least:g} to {self.most:g}"

    def holds(self, found: object) -> bool:
        """Whether it is a number within the bounds."""
        return is_number(found) and self.least <= found <= self.most


@dataclass(frozen=True)
class Near:
    """One number, or as many as there are."""

    values: tuple[float, ...]
    tolerance: float
    alone: bool

    def __str__(self) -> str:
        if self.alone:
            return f"within {self.tolerance:g} of {self.values[0]:g}"
        return f"a list of {len(self.values)} numbers within {self.tolerance:g} of those expected"

    def holds(self, found: object) -> bool:
        """Whether every number is near enough to its own."""
        numbers = [found] if self.alone else found
        if not is_numbers(numbers) or len(numbers) != len(self.values):
            return False
        return all(abs(one - other) <= self.tolerance for one, other in zip(numbers, self.values, strict=True))


@dataclass(frozen=True)
class Along:
    """A vector of about the same direction."""

    values: tuple[float, ...]
    cosine: float

    def __str__(self) -> str:
        return f"a vector of {len(self.values)} numbers with a cosine of at least {self.cosine:g} to the one expected"

    def holds(self, found: object) -> bool:
        """Whether it has the same length and nearly the same direction."""
        if not is_numbers(found) or len(found) != len(self.values):
            return False
        here, there = of_length_one(found), of_length_one(self.values)
        cosine = math.fsum(one * other for one, other in zip(here, there, strict=True))
        return any(here) and any(there) and cosine >= self.cosine


def of_length_one(vector: Sequence[float]) -> list[float]:
    """The direction of a vector, as one of length one; zeros for one without. No number is too large or too small."""
    largest = max(map(abs, vector)) or 1.0
    scaled = [value / largest for value in vector]
    length = math.hypot(*scaled) or 1.0
    return [value / length for value in scaled]


def parse_expectation(value: object) -> Expectation:
    """The expectation that is written so; ValueError with a few words otherwise."""
    if value is None or isinstance(value, str | int | float | bool):
        return Exactly(value)
    if not isinstance(value, Mapping):
        raise ValueError('a list is expected as {"near": […]} or {"vector": […]}')
    match sorted(value):
        case ["max"] | ["min"] | ["max", "min"]:
            return between(value)
        case ["near"] | ["near", "tolerance"]:
            near, tolerance = value["near"], number_of(value, "tolerance", TOLERANCE)
            return Near(numbers_of(near if isinstance(near, list) else [near]), tolerance, not isinstance(near, list))
        case ["vector"] | ["cosine", "vector"]:
            return Along(numbers_of(value["vector"]), number_of(value, "cosine", COSINE))
    raise ValueError("an expectation has other members than min and max, near and tolerance, or vector and cosine")


def between(value: Mapping[str, object]) -> Between:
    """The bounds; ValueError where no number lies between them."""
    least, most = number_of(value, "min", -math.inf), number_of(value, "max", math.inf)
    if least > most:
        raise ValueError("min is more than max")
    return Between(least, most)


def number_of(value: Mapping[str, object], name: str, default: float) -> float:
    """A member that is a number, or the default without it; ValueError otherwise."""
    found = value.get(name)
    if name not in value:
        return default
    if not is_number(found):
        raise ValueError(f"{name} is no number")
    return float(found)


def numbers_of(value: object) -> tuple[float, ...]:
    """The numbers of a list that is not empty; ValueError otherwise."""
    if not is_numbers(value) or not 0 < len(value) <= MAX_NUMBERS:
        raise ValueError(f"near and vector take numbers, at least one and at most {MAX_NUMBERS}")
    return tuple(map(float, value))


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a JSON value is a number; one that no float can hold is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_numbers(value: object) -> TypeGuard[Sequence[int | float]]:
    """Whether a JSON value is a list of numbers."""
    return isinstance(value, list) and all(map(is_number, value))


def described(value: object) -> str:
    """A value of an answer in a few words that are safe in one line."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.6g}" if is_number(value) else "nothing"
