"""JSON Schemas as people read them: an outline, and an example of a value."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

DEEPEST = 8
BOUNDS = [
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "contentEncoding",
    "contentMediaType",
    "default",
]
WORDS = {"string": "text", "integer": 1, "number": 0.5, "boolean": True, "null": None}


@dataclass(frozen=True, slots=True)
class Line:
    """One property of an outline, `depth` levels inside."""

    depth: int
    name: str
    required: bool
    kind: str
    notes: str


class Schemas:
    """Reads the schemas of one OpenAPI document."""

    def __init__(self, document: Schema) -> None:
        self._document = document

    def resolve(self, schema: object) -> Schema:
        """What a reference inside the document leads to; any other schema as it is, and `true` as an empty one."""
        for _ in range(DEEPEST):
            if not isinstance(schema, Mapping):
                return {}
            if not isinstance(reference := schema.get("$ref"), str) or not reference.startswith("#/"):
                return schema
            found: Any = self._document
            for word in reference[2:].split("/"):
                found = found.get(word.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
            schema = found
        return {}

    def kind(self, schema: object) -> str:
        """The type in a word or two."""
        resolved = self.resolve(schema)
        for word, joint in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")):
            if word in resolved:
                return joint.join(dict.fromkeys(self.kind(one) for one in resolved[word]))
        if "const" in resolved or "enum" in resolved:
            return " | ".join(map(repr, resolved.get("enum", [resolved.get("const")])))
        kinds = resolved.get("type", "any")
        named = [kinds] if isinstance(kinds, str) else kinds
        items = resolved.get("items", {})
        return " or ".join(f"list of {self.kind(items)}" if name == "array" else name for name in named)

    def outline(self, schema: object, name: str = "", depth: int = 0, *, required: bool = False) -> Iterator[Line]:
        """The lines of a schema and of everything inside it."""
        resolved = self.resolve(schema)
        if name:
            yield Line(depth, name, required, self.kind(resolved), _notes(resolved))
            depth += 1
        if depth > DEEPEST:
            return
        for inner, asked, part in self._inside(resolved):
            yield from self.outline(part, inner, depth, required=asked)

    def _inside(self, resolved: Schema) -> Iterator[tuple[str, bool, object]]:
        for name, part in resolved.get("properties", {}).items():
            yield name, name in resolved.get("required", ()), part
        if isinstance(part := resolved.get("additionalProperties"), Mapping):
            yield "(any name)", False, part
        for word in ("oneOf", "anyOf", "allOf"):
            for part in resolved.get(word, ()):
                yield "", False, part
        if "items" in resolved:
            yield "", False, resolved.get("items", {})

    def example(self, schema: object, depth: int = 0) -> object:
        """A value of that shape: the schema's own example if it has one."""
        resolved = self.resolve(schema)
        if (known := _given(resolved)) is not None or depth > DEEPEST:
            return known
        for word in ("oneOf", "anyOf"):
            if resolved.get(word):
                return self.example(resolved[word][0], depth + 1)
        kinds = resolved.get("type", "object" if "properties" in resolved or "allOf" in resolved else "null")
        kind = kinds if isinstance(kinds, str) else kinds[0]
        if kind == "array":
            return [self.example(resolved.get("items", {}), depth + 1)]
        if kind == "object":
            return self._object(resolved, depth)
        return "<base64>" if resolved.get("contentEncoding") == "base64" else WORDS.get(kind)

    def _object(self, resolved: Schema, depth: int) -> dict[str, object]:
        wanted: Sequence[str] = resolved.get("required") or list(resolved.get("properties", {}))
        parts = resolved.get("properties", {})
        found = {name: self.example(parts.get(name, {}), depth + 1) for name in wanted}
        for part in resolved.get("allOf", ()):
            inner = self.example(part, depth + 1)
            found.update(inner if isinstance(inner, dict) else {})
        return found


def _given(resolved: Schema) -> object:
    """An example, default or only choice that the schema names itself."""
    for word in ("example", "default", "const"):
        if resolved.get(word) is not None:
            return resolved[word]
    return next(iter([*resolved.get("examples", ()), *resolved.get("enum", ())]), None)


def _notes(resolved: Schema) -> str:
    """Description and bounds."""
    bounds = [f"{name} {resolved[name]}" for name in BOUNDS if resolved.get(name) is not None]
    return " · ".join([*filter(None, [str(resolved.get("description", ""))]), *bounds])
