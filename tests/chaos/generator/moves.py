"""Moves: from one spec to the next, with the verdict that it deserves."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.chaos.generator.fitting import fit
from tests.chaos.generator.offer import NEEDED, Offer, concrete
from tests.chaos.generator.schema import Field, Schema, Spec, drop, look, put, walk
from tests.chaos.generator.values import forbidden_values, values_of_type

# Of one field: more would only say the same again.
VALID_PER_FIELD = 4
INVALID_PER_FIELD = 4


class Verdict(StrEnum):
    """What should become of a spec."""

    VALID = "valid"
    """It comes true."""
    HOPELESS = "hopeless"
    """The API server takes it, but it cannot come true; the status says so, and what serves goes on."""
    INVALID = "invalid"
    """The API server refuses it."""


@dataclass(frozen=True)
class Move:
    """One change of one kind; `change` gives None where it would change nothing or does not apply."""

    name: str
    field: str
    verdict: Verdict
    change: Callable[[Spec], Spec | None]

    def __call__(self, spec: Spec) -> Spec | None:
        """The spec after the move."""
        changed = self.change(spec)
        return None if changed == spec else changed


def field_moves(schema: Schema, offer: Offer, rng: random.Random) -> Iterator[Move]:
    """Valid and invalid changes of every single field."""
    for field in walk(schema):
        if field.leaf and not field.refused:
            values = offer.values(field)
            for value in rng.sample(values, min(len(values), VALID_PER_FIELD)):
                yield _set(schema, field, value)
            if not field.required and str(field) not in NEEDED:
                yield _unset(schema, field)
        wrong = forbidden_values(field.schema, field.required)
        if field.refused:
            wrong += values_of_type(field.schema)
        for value in rng.sample(wrong, min(len(wrong), INVALID_PER_FIELD)):
            yield _break(schema, field, value)


def _set(schema: Schema, field: Field, value: Any) -> Move:
    path = concrete(field.path)

    def change(spec: Spec) -> Spec | None:
        return fit(put(schema, spec, path, value), str(field))

    return Move(f"{field} = {brief(value)}", str(field), Verdict.VALID, change)


def _unset(schema: Schema, field: Field) -> Move:
    path = concrete(field.path)

    def change(spec: Spec) -> Spec | None:
        return fit(drop(spec, path), str(field)) if look(spec, path) is not None else None

    return Move(f"no {field}", str(field), Verdict.VALID, change)


def _break(schema: Schema, field: Field, value: Any) -> Move:
    path = concrete(field.path)

    def change(spec: Spec) -> Spec | None:
        return put(schema, spec, path, value)

    return Move(f"{field} = {brief(value)}", str(field), Verdict.INVALID, change)


def brief(value: object) -> str:
    """`value` for people."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:30]}… ({len(text)} characters)"
