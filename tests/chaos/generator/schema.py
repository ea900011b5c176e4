"""The CRD's schema, taken apart into fields, and specs changed field by field."""

import copy
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CRD = Path(__file__).resolve().parents[3] / "crds/multimodalmodels.serving.multimodal.dev.yaml"
ITEM, VALUE = "[]", "*"

Schema = dict[str, Any]
Spec = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One place in the spec: `path` goes through lists by `[]` and through maps by `*`."""

    path: tuple[str, ...]
    schema: Schema
    required: bool

    def __str__(self) -> str:
        return ".".join(self.path)

    @property
    def refused(self) -> bool:
        """Whether the API has the field only in order to say what to write instead."""
        return str(self.schema.get("description", "")).startswith("Refused")

    @property
    def leaf(self) -> bool:
        """Whether the schema says nothing about what is below."""
        below = self.schema.get("items", {}).get("properties")
        return not (self.schema.get("properties") or self.schema.get("additionalProperties") or below)


def load_crd() -> Schema:
    """The CustomResourceDefinition."""
    found: Schema = yaml.safe_load(CRD.read_text())
    return found


def spec_schema(crd: Schema) -> Schema:
    """The schema of the spec."""
    found: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def walk(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[Field]:
    """Every field below `schema`, outer ones first."""
    required = schema.get("required", ())
    below = [(name, part, name in required) for name, part in schema.get("properties", {}).items()]
    if "additionalProperties" in schema:
        below.append((VALUE, schema["additionalProperties"], False))
    if "properties" in schema.get("items", {}):
        below.append((ITEM, schema["items"], False))
    for name, part, needed in below:
        yield Field((*path, name), part, needed)
        yield from walk(part, (*path, name))


def messages(schema: Schema) -> Iterator[str]:
    """Every sentence that a rule of ours answers with."""
    yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
    parts = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for part in filter(None, parts):
        yield from messages(part)


def fits(schema: Schema, value: Any) -> bool:
    """Whether `value` keeps what the schema of one scalar says, as far as rules about it alone can be read."""
    if "enum" in schema:
        return value in schema["enum"]
    if isinstance(value, str):
        long_enough = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 2**31)
        return long_enough and all(_keeps(rule["rule"], value) for rule in schema.get("x-kubernetes-validations", ()))
    if isinstance(value, int) and not isinstance(value, bool):
        return bool(schema.get("minimum", -(2**63)) <= value <= schema.get("maximum", 2**63))
    return True


def _keeps(rule: str, value: str) -> bool:
    if found := re.fullmatch(r"self\.matches\(r?'(.*)'\)", rule):
        return re.search(found[1], value) is not None
    if found := re.fullmatch(r"!self\.(contains|startsWith)\('(.*)'\)", rule):
        return not (found[2] in value if found[1] == "contains" else value.startswith(found[2]))
    if rule == "isCIDR(self)":
        return _is_range(value)
    if "isQuantity" in rule:
        return re.fullmatch(r"(?=.*[1-9])[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|e[0-9])?", value) is not None
    return True


def _is_range(value: str) -> bool:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return False
    return "/" in value


def look(spec: Any, path: tuple[str, ...]) -> Any:
    """What stands at a path, of a list the first item; None when there is nothing."""
    for step in path:
        if step == ITEM:
            spec = spec[0] if spec else None
        elif isinstance(spec, dict):
            spec = spec.get(step)
        else:
            return None
    return spec


def put(schema: Schema, spec: Spec, path: tuple[str, ...], value: Any) -> Spec:
    """A spec with `value` at a path; what is needed on the way there is made as small as its schema allows."""
    changed = copy.deepcopy(spec)
    _put(schema, changed, path, value)
    return changed


def _put(schema: Schema, here: Any, path: tuple[str, ...], value: Any) -> None:
    step, *rest = path
    below = _below(schema, step)
    key: Any = 0 if step == ITEM else step
    if step == ITEM and not here:
        here.append(smallest(below))
    if not rest:
        here[key] = value
        return
    if step != ITEM and not isinstance(here.get(key), dict | list):
        here[key] = smallest(below)
    _put(below, here[key], tuple(rest), value)


def _below(schema: Schema, step: str) -> Schema:
    if step == ITEM:
        return dict(schema["items"])
    found: Schema = schema.get("properties", {}).get(step) or schema["additionalProperties"]
    return found


def drop(spec: Spec, path: tuple[str, ...]) -> Spec:
    """A spec without what stands at a path."""
    changed = copy.deepcopy(spec)
    parent = look(changed, path[:-1])
    if isinstance(parent, list):
        parent.clear()
    elif isinstance(parent, dict):
        parent.pop(path[-1], None)
    return changed


def smallest(schema: Schema) -> Any:
    """The smallest value that a schema allows."""
    if "default" in schema:
        return copy.deepcopy(schema["default"])
    kind = schema.get("type")
    if kind == "object":
        return {name: smallest(schema["properties"][name]) for name in schema.get("required", ())}
    if kind == "array":
        return []
    from tests.chaos.generator.values import plain_values

    return plain_values(schema)[0]
