"""What the API server would say of an object: its defaults filled in, then the structural schema, then the rules.

Only what our CRD uses is here; a test fails when the CRD begins to use more.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mmm_cli.rules import broken_rules
from mmm_operator.api.schema import INT_OR_STRING, LIST_TYPE, Schema
from mmm_operator.offline.documents import Field

LONGEST_SHOWN = 40


class Mistake(NamedTuple):
    """What is wrong with a field, and what to write instead."""

    field: Field
    text: str


def completed(schema: Schema, value: Any) -> Any:
    """The value as the API server would store it: with defaults, and without nulls where a field is known."""
    if isinstance(value, list):
        return [completed(schema.get("items", {}), item) for item in value]
    if not isinstance(value, dict):
        return value
    known: dict[str, Schema] = schema.get("properties") or {}
    defaults = {name: part["default"] for name, part in known.items() if "default" in part}
    present = {str(key): part for key, part in value.items() if part is not None or key not in known}
    rest: Schema = schema.get("additionalProperties", {})
    return {key: completed(known.get(key, rest), part) for key, part in {**defaults, **present}.items()}


def mistakes(schema: Schema, value: Any) -> Iterator[Mistake]:
    """Everything in a completed value that the API server would refuse.

    As there, the rules of a part are only asked once all that is in it has the right form.
    """
    malformed = [mistake for field, part, inside in parts(schema, value) for mistake in _malformed(part, inside, field)]
    yield from malformed
    for field, part, inside in parts(schema, value):
        if not any(mistake.field[: len(field)] == field for mistake in malformed):
            yield from (Mistake(field, message) for message in broken_rules(part, inside))


def parts(schema: Schema, value: Any, field: Field = ()) -> Iterator[tuple[Field, Schema, Any]]:
    """The value and everything in it, each with its field and its schema."""
    yield field, schema, value
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
        for key, part in value.items():
            yield from parts(known.get(key, rest), part, (*field, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from parts(schema.get("items", {}), item, (*field, index))


def _malformed(schema: Schema, value: Any, field: Field) -> Iterator[Mistake]:
    if (text := _wrong_type(schema, value)) is not None:
        yield Mistake(field, text)
        return
    for keyword, check in CHECKS.items():
        if keyword in schema and (text := check(schema, value)) is not None:
            yield Mistake(field, text)
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                yield Mistake((*field, name), f"is missing: {schema['properties'][name].get('description', name)}")


TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
NAMES = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
WANTED = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
}


def _wrong_type(schema: Schema, value: Any) -> str | None:
    if schema.get(INT_OR_STRING):
        fits = isinstance(value, int | str) and not isinstance(value, bool)
        return None if fits else f"is {_shown(value)}, write a whole number or a text"
    wanted = schema.get("type")
    if wanted is None or _is(wanted, value):
        return None
    if wanted == "string" and isinstance(value, int | float):
        return f"is {NAMES[type(value)]}, write it in quotes: {json.dumps(_shown(value))}"
    return f"is {NAMES.get(type(value), 'empty')}, write {WANTED[wanted]}"


def _is(wanted: str, value: Any) -> bool:
    # For Python, true is a number.
    return isinstance(value, TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def _enum(schema: Schema, value: Any) -> str | None:
    return None if value in schema["enum"] else f"is {_shown(value)}, write one of {', '.join(schema['enum'])}"


def _minimum(schema: Schema, value: Any) -> str | None:
    least, above = schema["minimum"], schema.get("exclusiveMinimum", False)
    fits = value > least if above else value >= least
    return None if fits else f"is {value}, write {'more than' if above else 'at least'} {least}"


def _maximum(schema: Schema, value: Any) -> str | None:
    most, below = schema["maximum"], schema.get("exclusiveMaximum", False)
    fits = value < most if below else value <= most
    return None if fits else f"is {value}, write {'less than' if below else 'at most'} {most}"


def _at_least(keyword: str, what: str) -> Callable[[Schema, Any], str | None]:
    def check(schema: Schema, value: Any) -> str | None:
        return f"is too short: write at least {schema[keyword]} {what}" if _length(value) < schema[keyword] else None

    return check


def _at_most(keyword: str, what: str) -> Callable[[Schema, Any], str | None]:
    def check(schema: Schema, value: Any) -> str | None:
        length, most = _length(value), schema[keyword]
        return f"has {length} {what}, at most {most} are allowed" if length > most else None

    return check


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | dict) else len(str(value))


def _twice(schema: Schema, value: Any) -> str | None:
    """A list that is a set, or a map by some of its items' fields, holds nothing twice."""
    if schema[LIST_TYPE] == "atomic":
        return None
    keys = schema.get("x-kubernetes-list-map-keys")
    seen = set()
    for item in value:
        name = [item.get(key) for key in keys] if keys and isinstance(item, dict) else item
        text = json.dumps(name, sort_keys=True, default=str)
        if text in seen:
            return f"holds {_shown(', '.join(map(str, name)) if keys else name)} twice: remove one"
        seen.add(text)
    return None


CHECKS: dict[str, Callable[[Schema, Any], str | None]] = {
    "enum": _enum,
    "minimum": _minimum,
    "maximum": _maximum,
    "minLength": _at_least("minLength", "characters"),
    "maxLength": _at_most("maxLength", "characters"),
    "minItems": _at_least("minItems", "items"),
    "maxItems": _at_most("maxItems", "items"),
    "minProperties": _at_least("minProperties", "entries"),
    "maxProperties": _at_most("maxProperties", "entries"),
    LIST_TYPE: _twice,
}
"""What is looked at beside the type, what is required, and what lies below."""
