"""From a pydantic model to the structural OpenAPI v3 schema that a CustomResourceDefinition wants.

A structural schema is narrower than JSON schema: no references, no unions, every level has one type.
What has no counterpart raises TypeError here, when the CRD is generated, instead of being dropped.

    $ref, $defs               inlined; what stands beside the reference wins
    title                     dropped
    Optional[X]               X, not required; never `nullable`, never `default: null`
    int | str                 x-kubernetes-int-or-string, if marked so (`Quantity`)
    exclusiveMinimum: 0       minimum: 0, exclusiveMinimum: true
    Literal, StrEnum          enum
    tuple[X, ...], dict       items, additionalProperties; both need a maximum, a list its list type
    default of an object      kept without what is empty, so that CEL rules always see the object
    pattern with `instead`    a CEL rule with that message, because "should match ^…$" helps nobody
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mmm_operator.api.base import INSTEAD

Schema = dict[str, Any]

INT_OR_STRING = "x-kubernetes-int-or-string"
LIST_TYPE = "x-kubernetes-list-type"
PRESERVE = "x-kubernetes-preserve-unknown-fields"
VALIDATIONS = "x-kubernetes-validations"

_DROPPED = frozenset({"title", INSTEAD, "$ref", "$defs", "anyOf", "const"})
# Also the order in which they are written: what a reader of the CRD looks for comes first.
_KEPT = (
    "description",
    "type",
    INT_OR_STRING,
    "enum",
    "default",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "properties",
    "additionalProperties",
    "items",
    LIST_TYPE,
    "x-kubernetes-list-map-keys",
    PRESERVE,
    VALIDATIONS,
)


def structural_schema(model: type[BaseModel], *, defaults: bool = True) -> Schema:
    """The structural schema of `model`; without `defaults` (as a status wants it) no field has one.

    Raises TypeError, with the path of the field, for what a structural schema cannot say.
    """
    source = model.model_json_schema(by_alias=True, mode="validation")
    return _Conversion(source.get("$defs", {}), defaults).convert(source, model.__name__)


class _Conversion:
    def __init__(self, definitions: Mapping[str, Schema], defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults
        self._open: list[str] = []

    def convert(self, node: Schema, path: str) -> Schema:
        """`node`, with everything below it, as a structural schema."""
        depth = len(self._open)
        flat = self._flatten(node, path)
        result = _scalar_rules(_one_type(flat, path))
        result = self._with_children(result, path)
        self._set_default(result)
        del self._open[depth:]
        return _ordered(result, path)

    def _flatten(self, node: Schema, path: str) -> Schema:
        """`node` with its reference inlined and its null branch gone."""
        while "$ref" in node or _null_branch(node):
            outer = dict(node)
            inner = self._referenced(outer.pop("$ref"), path) if "$ref" in node else _null_branch(outer)
            outer.pop("anyOf", None)
            rules = [*inner.get(VALIDATIONS, ()), *outer.get(VALIDATIONS, ())]
            node = {**inner, **outer} | ({VALIDATIONS: rules} if rules else {})
        return dict(node)

    def _referenced(self, reference: str, path: str) -> Schema:
        name = reference.removeprefix("#/$defs/")
        if name in self._open:
            raise TypeError(f"{path}: {name} contains itself, which a structural schema cannot say")
        self._open.append(name)
        return self._definitions[name]

    def _with_children(self, node: Schema, path: str) -> Schema:
        if "properties" in node:
            node["properties"] = {
                name: self.convert(part, f"{path}.{name}") for name, part in node["properties"].items()
            }
            node.pop("additionalProperties", None)
        elif node.get(PRESERVE):
            node.pop("additionalProperties", None)
        elif isinstance(node.get("additionalProperties"), dict):
            node["additionalProperties"] = self.convert(node["additionalProperties"], f"{path}.*")
        elif node.get("type") == "object":
            raise TypeError(f"{path}: say what the map holds, or mark it {PRESERVE}")
        if node.get("type") == "array":
            node["items"] = self.convert(_items(node, path), f"{path}[]")
        return node

    def _set_default(self, node: Schema) -> None:
        default = _without_empty(node.pop("default", None))
        # An absent list, map or string means an empty one: a default would only lengthen every stored object.
        wanted = default not in (None, "", [], {}) or (default == {} and "properties" in node)
        if self._defaults and wanted:
            node["default"] = default


def _null_branch(node: Schema) -> Schema:
    """What `Optional[X]` says about X; empty if the node is no such thing."""
    branches = node.get("anyOf", [])
    others = [branch for branch in branches if branch != {"type": "null"}]
    if len(branches) == len(others):
        return {}
    return dict(others[0]) if len(others) == 1 else {"anyOf": others}


def _one_type(node: Schema, path: str) -> Schema:
    if node.get(INT_OR_STRING):
        return {key: value for key, value in node.items() if key != "anyOf"}
    if "anyOf" in node or "oneOf" in node or "allOf" in node:
        raise TypeError(f"{path}: a structural schema has no unions; only int | str, as Quantity, is possible")
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if not isinstance(node.get("type"), str) and not node.get(PRESERVE):
        raise TypeError(f"{path}: has no single type")
    return node


def _scalar_rules(node: Schema) -> Schema:
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if exclusive in node:
            node[limit], node[exclusive] = node[exclusive], True
    if INSTEAD in node and "pattern" in node:
        rule = {"rule": f"self.matches(r'{node.pop('pattern')}')", "message": node[INSTEAD]}
        node[VALIDATIONS] = [rule, *node.get(VALIDATIONS, ())]
    return node


def _items(node: Schema, path: str) -> Schema:
    if LIST_TYPE not in node:
        raise TypeError(f"{path}: say how the list merges with {LIST_TYPE} (set, map or atomic)")
    if not isinstance(node.get("items"), dict):
        raise TypeError(f"{path}: every item of a list has the same type")
    return dict(node["items"])


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    parts = {key: _without_empty(part) for key, part in value.items()}
    return {key: part for key, part in parts.items() if part not in (None, "", [], {})}


def _ordered(node: Schema, path: str) -> Schema:
    if unknown := set(node) - set(_KEPT) - _DROPPED:
        raise TypeError(f"{path}: a structural schema has no {', '.join(sorted(unknown))}")
    if VALIDATIONS in node:
        node[VALIDATIONS] = [{"rule": rule["rule"], "message": rule["message"]} for rule in node[VALIDATIONS]]
    return {key: node[key] for key in _KEPT if key in node}
