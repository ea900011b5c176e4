"""The chart's generated parts: the CRD and the table of values; `rights` makes the rules of the roles."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dev.generate.text import block, markdown_note, yaml_note
from mmm_operator.api.crd import crd
from mmm_operator.api.docs import table

CHART = Path(__file__).resolve().parents[2] / "charts/multimodal-operator"


def crd_template() -> str:
    """The CRD as a template: Helm installs what is in `crds/` once and never upgrades it, so it is not there."""
    document = crd()
    metadata = document.pop("metadata")
    return (
        yaml_note("mmm_operator.api")
        + "{{- if .Values.crds.install }}\n"
        + block({"apiVersion": document.pop("apiVersion"), "kind": document.pop("kind")})
        + f"metadata:\n  name: {metadata['name']}\n"
        + '  labels: {{- include "multimodal-operator.labels" . | nindent 4 }}\n'
        + "  {{- if .Values.crds.keep }}\n"
        + "  annotations:\n    helm.sh/resource-policy: keep\n"
        + "  {{- end }}\n"
        + block(document)
        + "{{- end }}\n"
    )


def values_table() -> str:
    """The chart's values for people, from its schema and defaults."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = ((f"`{name}`", f"`{json.dumps(default)}`", text) for name, default, text in _values(schema, schema, values))
    return (
        markdown_note("values.schema.json and values.yaml")
        + "\n# Values of the chart\n\n"
        + table(("value", "default", "meaning"), rows)
    )


def _values(
    node: dict[str, Any], root: dict[str, Any], defaults: Any, path: str = ""
) -> Iterator[tuple[str, Any, str]]:
    for name, part in node["properties"].items():
        where = f"{path}.{name}" if path else name
        whole = {**_definition(part, root), **part}
        if name not in defaults:  # the optional parts of a value that is shown as a whole
            continue
        if "properties" in whole and isinstance(defaults[name], dict) and name != "resources":
            yield from _values(whole, root, defaults[name], where)
        else:
            yield where, defaults[name], whole["description"]


def _definition(part: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    name = part.get("$ref", "").removeprefix("#/$defs/")
    return dict(root["$defs"][name]) if name else {}
