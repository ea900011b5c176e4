"""Values for one field: such as its schema allows, and such as it forbids."""

from typing import Any

from tests.chaos.generator.schema import Schema, fits

HEX = "0123456789abcdef" * 4
# Strings of every shape that a field of ours asks for, and those that a YAML parser would take for something else.
POOL = (
    *("clip", "team-a", "eu-central-1", "A.b_c-1", "acme/clip-b32", "example.com/device", "CHAOS_FLAG"),
    *("007", "1e3", "0x1F", "true", "null", "no", "1.0", "12_000", "2026-11-21"),
    *("500m", "2", "1.5Gi", "0.5", "1e3", "3000Mi", "2147483648"),
    *("10.0.0.0/8", "2001:db8::/32"),
    *("s3://models/clip", "http://127.0.0.1:9000", f"sha256:{HEX}", "registry.example/mmm-server:2"),
    *("größer als 2 µm", "模型", "two words", "a: {b: [c]}", "$(MMM_MODEL_NAME)", "line\nbreak", "'\"\\"),
)
# Nothing fits all of these; what a field does not forbid is no mistake.
ODD = (
    *("", " ", "UPPER", "-dash", "dash-", "../up", "a//b", "a b", "tab\t", "line\nbreak", "ümlaut", "模型", "🦊"),
    *("$(X)", "; rm -rf /", "a" * 100_000, "1e999", "-1", "0", "NaN", "namespace/name", "{}", "\u202egnp", "a..b/"),
)
QUANTITIES = ("1Gi", "500m", "1", 2, "1.5", "1000m", "1024Mi", "1500M", "1e3", "2.5Gi")


def plain_values(schema: Schema) -> list[Any]:
    """Values that the schema of a scalar allows, without knowing what they mean."""
    kind = schema.get("type")
    if "enum" in schema:
        return list(schema["enum"])
    if kind == "boolean":
        return [True, False]
    if kind == "integer":
        return _integers(schema)
    if schema.get("x-kubernetes-int-or-string"):
        return list(QUANTITIES)
    if kind == "string":
        return _strings(schema)
    raise ValueError(f"no idea what to write into {schema}")


def _integers(schema: Schema) -> list[Any]:
    low, high = schema.get("minimum", 0), schema.get("maximum", 100)
    return sorted({low, min(low + 1, high), (low + high) // 2, high})


def _strings(schema: Schema) -> list[Any]:
    found: list[Any] = [text for text in POOL if fits(schema, text)]
    longest = next((text for c in "aA1" if fits(schema, text := c * schema.get("maxLength", 64))), None)
    return [*found, *([longest] if longest is not None else [])]


def values_of_type(schema: Schema) -> list[Any]:
    """Some values of the type of a field; an int is 5, true is the only bool that asks for something."""
    found: dict[str, list[Any]] = {"boolean": [True], "string": ["text"], "integer": [5], "object": [{}], "array": [[]]}
    return found[schema["type"]]


def forbidden_values(schema: Schema, required: bool) -> list[Any]:
    """Values that the schema refuses: other types, beyond bounds, of the wrong form, far too large, or none at all."""
    kind = schema.get("type")
    wrong: list[Any] = [None] if required else []
    if schema.get("x-kubernetes-int-or-string"):
        return [*wrong, "", "-1", "0", 0, -3, "abc", "1 Gi", "1GiB", "0x10", "1e", True, ["1"], {"a": "1"}, "9" * 40]
    wrong += _other_types(kind)
    if kind == "integer":
        wrong += [schema["minimum"] - 1] if "minimum" in schema else []
        wrong += [schema["maximum"] + 1, 2**63] if "maximum" in schema else []
    if kind == "string":
        wrong += [text for text in ODD if not fits(schema, text)]
    if kind == "array":
        wrong += _wrong_lists(schema)
    return wrong


def _other_types(kind: str | None) -> list[Any]:
    others: dict[str | None, list[Any]] = {
        "string": [5, 1.5, True, ["text"], {"text": "text"}],
        "integer": ["5", 1.5, True, [5], {}, "five"],
        "boolean": ["true", 1, "yes", [True]],
        "array": [{}, "text", 5],
        "object": [[], "text", 5, True],
    }
    return others.get(kind, [])


def _wrong_lists(schema: Schema) -> list[Any]:
    items = schema["items"]
    if items.get("type") == "object":
        return [[None], ["text"], [{}]] if items.get("required") else [[None], ["text"]]
    one = plain_values(items)[0]
    twice = [[one, one]] if schema.get("x-kubernetes-list-type") == "set" else []
    return [[None], [{"a": 1}], *twice, *([value] for value in forbidden_values(items, False)[:3])]
