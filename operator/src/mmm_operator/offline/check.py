"""What is wrong with a MultimodalModel in a file, field by field, each with its line and what to write instead."""

import difflib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from mmm_operator import names
from mmm_operator.api.crd import root_schema
from mmm_operator.api.schema import PRESERVE, VALIDATIONS, Schema
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.offline.documents import Document, Field
from mmm_operator.snapshot import Manifest


def mistakes(document: Document, raw: Manifest) -> list[str]:
    """`file:line: field: what is wrong`, for every field that the API server would refuse; empty for a good object.

    `raw` is the document's object with its namespace filled in. Rules between fields that stand in the CRD in CEL only
    are left to the API server, and to `mmm validate`.
    """
    return [f"{document.place(field)}: {path_of(field)}: {text}" for field, text in sorted(wrong_fields(raw), key=str)]


def wrong_fields(raw: Manifest) -> Iterator[tuple[Field, str]]:
    """Each field that is unknown, or that the operator would not accept, with what to write instead."""
    if raw.get("apiVersion") != names.API_VERSION:
        yield ("apiVersion",), f"is {raw.get('apiVersion')}, write {names.API_VERSION}"
    schema = root_schema()
    yield from unknown_fields(schema, raw)
    try:
        MultimodalModel.model_validate({"metadata": raw.get("metadata"), "spec": raw.get("spec")})
    except ValidationError as error:
        for item in error.errors(include_url=False):
            advice = _advice(schema, item["loc"]) if item["type"] == "string_pattern_mismatch" else ""
            yield item["loc"], advice or item["msg"].removeprefix("Value error, ")


def unknown_fields(schema: Schema, value: Any, field: Field = ()) -> Iterator[tuple[Field, str]]:
    """The fields that the schema does not know: pydantic and the API server ignore them, a person should not."""
    if schema.get(PRESERVE) or field in (("metadata",), ("status",)):
        return
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        for key, part in value.items():
            inner = known.get(key) or rest
            if inner:
                yield from unknown_fields(inner, part, (*field, key))
            elif known:
                yield (*field, key), f"there is no such field{_meant(key, known)}"
    elif isinstance(value, list) and "items" in schema:
        for index, part in enumerate(value):
            yield from unknown_fields(schema["items"], part, (*field, index))


def _meant(key: str, known: Schema) -> str:
    near = difflib.get_close_matches(str(key), known, n=1)
    return f", did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def _advice(schema: Schema, field: Field) -> str:
    """What the CRD says to write instead of a text that does not match its pattern."""
    for part in field:
        if isinstance(part, int):
            schema = schema.get("items", {})
        else:
            schema = schema.get("properties", {}).get(part) or schema.get("additionalProperties") or {}
    rules = [rule["message"] for rule in schema.get(VALIDATIONS, ()) if rule["rule"].startswith("self.matches(")]
    return str(rules[0]) if rules else ""


def path_of(field: Field) -> str:
    """The field as people write it: `spec.runtime.env[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in field).removeprefix(".")
