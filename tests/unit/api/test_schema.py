"""The conversion from pydantic's JSON schema to a structural one."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from mmm_operator.api.base import LIST_ATOMIC, LIST_SET, ApiModel, Quantity, cel, instead
from mmm_operator.api.schema import Schema, structural_schema


class Color(StrEnum):
    """A color."""

    RED = "Red"
    BLUE = "Blue"


class Inner(ApiModel):
    """The inside."""

    size: int = 3
    name: str | None = None
    tags: tuple[str, ...] = Field(default=(), json_schema_extra=LIST_SET)


def field(annotation: Any, **settings: Any) -> Schema:
    """The schema of one field."""
    model = type("Model", (ApiModel,), {"__annotations__": {"field": annotation}, "field": Field(**settings)})
    schema: Schema = structural_schema(model)["properties"]["field"]
    return schema


def test_references_are_inlined_and_titles_dropped() -> None:
    class Outer(ApiModel):
        """The outside."""

        inner: Inner

    assert structural_schema(Outer) == {
        "description": "The outside.",
        "type": "object",
        "required": ["inner"],
        "properties": {
            "inner": {
                "description": "The inside.",
                "type": "object",
                "properties": {
                    "size": {"type": "integer", "default": 3},
                    "name": {"type": "string"},
                    "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                },
            }
        },
    }


def test_the_description_of_the_field_wins_over_the_one_of_its_type() -> None:
    assert field(Inner, description="Beside the reference.")["description"] == "Beside the reference."


def test_an_optional_field_is_neither_required_nor_nullable_and_has_no_default() -> None:
    assert field(int | None, default=None) == {"type": "integer"}
    assert field(Color | None, default=None)["enum"] == ["Red", "Blue"]
    assert field(Inner | None, default=None)["type"] == "object"


def test_enums_and_literals_list_their_values() -> None:
    assert field(Color, default=Color.RED) == {
        "description": "A color.",
        "type": "string",
        "enum": ["Red", "Blue"],
        "default": "Red",
    }
    assert field(Literal["One"])["enum"] == ["One"]
    assert field(Literal["One", "Two"])["enum"] == ["One", "Two"]


def test_a_quantity_is_int_or_string_without_a_type() -> None:
    schema = field(Quantity)
    assert schema["x-kubernetes-int-or-string"] is True
    assert schema["maxLength"] == 32
    assert not {"type", "anyOf"} & set(schema)
    assert field(Quantity | None, default=None)["x-kubernetes-int-or-string"] is True


def test_exclusive_limits_are_flags_beside_the_limit() -> None:
    assert field(int, gt=0, lt=9) == {
        "type": "integer",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 9,
        "exclusiveMaximum": True,
    }


def test_the_default_of_an_object_is_kept_without_what_is_empty() -> None:
    assert field(Inner, default=Inner(size=4))["default"] == {"size": 4}


def test_the_default_of_an_object_is_kept_even_if_nothing_is_left_of_it() -> None:
    class Empty(ApiModel):
        """Nothing set."""

        name: str | None = None

    assert field(Empty, default=Empty())["default"] == {}


def test_empty_lists_maps_and_strings_are_no_defaults() -> None:
    assert "default" not in field(tuple[str, ...], default=(), json_schema_extra=LIST_ATOMIC)
    assert "default" not in field(dict[str, str], default={})
    assert "default" not in field(str, default="")
    assert field(bool, default=False)["default"] is False
    assert field(int, default=0)["default"] == 0


def test_a_status_has_no_defaults_at_all() -> None:
    assert "default" not in str(structural_schema(Inner, defaults=False))


def test_maps_say_what_they_hold() -> None:
    assert field(dict[str, Quantity])["additionalProperties"]["x-kubernetes-int-or-string"] is True


def test_rules_pass_through_and_those_of_the_type_come_before_those_of_the_field() -> None:
    class Ruled(ApiModel):
        """With a rule."""

        model_config = ConfigDict(json_schema_extra=cel(("self.a", "write a")))
        a: bool = True

    schema = field(Ruled, json_schema_extra=cel(("!self.a", "write no a")))
    assert [rule["message"] for rule in schema["x-kubernetes-validations"]] == ["write a", "write no a"]


def test_a_pattern_with_a_message_becomes_a_rule_that_says_it() -> None:
    schema = field(str, pattern="^[a-z]+$", json_schema_extra=instead("write small letters"))
    assert schema == {
        "type": "string",
        "x-kubernetes-validations": [{"rule": "self.matches(r'^[a-z]+$')", "message": "write small letters"}],
    }
    assert field(str, pattern="^[a-z]+$") == {"type": "string", "pattern": "^[a-z]+$"}


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (int | str, "Model.field: a structural schema has no unions"),
        (Inner | Color, "Model.field: a structural schema has no unions"),
        (int | str | None, "Model.field: a structural schema has no unions"),
        (tuple[str, ...], "Model.field: say how the list merges"),
        (Annotated[tuple[int, str], Field(json_schema_extra=LIST_ATOMIC)], "Model.field: every item of a list"),
        (dict[str, Any], "Model.field: say what the map holds"),
        (Any, "Model.field: has no single type"),
        (dict[str, int | str], r"Model.field.\*: a structural schema has no unions"),
    ],
)
def test_what_has_no_counterpart_is_refused_with_its_path(annotation: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        field(annotation)


def test_a_type_that_contains_itself_is_refused() -> None:
    with pytest.raises(TypeError, match="Tree contains itself"):
        structural_schema(Tree)


class Tree(BaseModel):
    """Recursive."""

    left: "Tree | None" = None


def test_an_unknown_extension_is_refused_instead_of_being_lost() -> None:
    with pytest.raises(TypeError, match="no x-kubernetes-validation"):
        field(str, json_schema_extra={"x-kubernetes-validation": []})


def test_an_opaque_object_keeps_what_it_does_not_know() -> None:
    schema = field(dict[str, Any], json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})
    assert schema == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
