"""The CustomResourceDefinition around the schema."""

from typing import Any

import pytest

from mmm_operator import names
from mmm_operator.api.crd import COLUMNS, SELECTABLE, crd, root_schema
from mmm_operator.api.v1alpha1 import MultimodalModel, Spec

SPEC: dict[str, Any] = crd()["spec"]
VERSION: dict[str, Any] = SPEC["versions"][0]


def field_at(path: str) -> dict[str, Any]:
    """The schema of the field that a JSON path such as .spec.replicas names."""
    schema: dict[str, Any] = root_schema()
    for part in path.split("[")[0].strip(".").split("."):
        schema = schema["properties"][part]
    return schema


def test_it_is_called_as_people_type_it() -> None:
    assert crd()["metadata"]["name"] == f"{names.PLURAL}.{names.GROUP}"
    assert SPEC["names"]["shortNames"] == ["mmm"]
    assert SPEC["names"]["categories"] == ["models"]
    assert SPEC["scope"] == "Namespaced"


def test_one_version_is_served_and_stored() -> None:
    assert [(v["name"], v["served"], v["storage"]) for v in SPEC["versions"]] == [("v1alpha1", True, True)]


def test_the_columns_are_the_documented_ones() -> None:
    narrow = [column.name.upper() for column in COLUMNS if not column.wide]
    wide = [column.name.upper() for column in COLUMNS if column.wide]
    assert narrow == ["READY", "VERSION", "TARGET", "ROLLOUT", "REASON", "AGE"]
    assert wide == ["AVAILABLE", "DIGEST", "DEVICE", "DTYPE", "MIN", "MAX", "URL", "MESSAGE"]


@pytest.mark.parametrize("column", [c for c in COLUMNS if not c.path.startswith(".metadata")], ids=lambda c: c.name)
def test_every_column_shows_a_field_that_exists(column: Any) -> None:
    schema = field_at(column.path)
    assert schema["type"] == ("array" if "[" in column.path else column.type)


@pytest.mark.parametrize("path", SELECTABLE)
def test_every_selectable_field_is_a_string(path: str) -> None:
    assert field_at(path)["type"] == "string"


def test_scaling_reads_and_writes_fields_that_exist() -> None:
    scale = VERSION["subresources"]["scale"]
    assert field_at(scale["specReplicasPath"])["type"] == "integer"
    assert field_at(scale["statusReplicasPath"])["type"] == "integer"
    assert field_at(scale["labelSelectorPath"])["type"] == "string"


def test_the_defaults_of_the_schema_are_those_of_the_types() -> None:
    """What the API server fills in, and what the operator assumes for an older object, is the same."""
    smallest = {"model": {"uri": "s3://models/clip", "version": "1"}}
    filled = {
        name: part["default"]
        for name, part in root_schema()["properties"]["spec"]["properties"].items()
        if "default" in part
    }
    assert Spec.model_validate({**filled, **smallest}) == Spec.model_validate(smallest)


def test_an_object_of_a_newer_schema_is_still_read() -> None:
    mmm = MultimodalModel.model_validate(
        {
            "metadata": {"name": "clip", "namespace": "default", "labels": {"a": "b"}},
            "spec": {"model": {"uri": "s3://models/clip", "version": "1", "flavour": "new"}, "teleport": {}},
        }
    )
    assert mmm.spec.model.version == "1"
