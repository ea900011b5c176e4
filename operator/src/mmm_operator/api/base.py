"""What every API type shares: camelCase on the wire, frozen in memory, lenient to newer fields."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """A part of the API: camelCase aliases, immutable, unknown fields ignored.

    Unknown fields are ignored because an object may have been stored under a newer schema; the API
    server itself prunes and, with `kubectl`, rejects what the schema does not know.
    """

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore", use_enum_values=False
    )

    def to_json(self) -> dict[str, Any]:
        """The object as the API server stores it: camelCase, absent fields absent."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def cel(*rules: tuple[str, str]) -> dict[str, Any]:
    """CEL rules for a type or field, as (rule, message); the message says what to write instead."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


INSTEAD = "x-instead"


def instead(message: str) -> dict[str, Any]:
    """The message for a value that does not match the field's pattern: what to write instead."""
    return {INSTEAD: message}


def list_map(*keys: str) -> dict[str, Any]:
    """Schema extension: the list is a map by `keys`, so that server-side apply merges by item."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


LIST_SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}
LIST_ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}

# A Kubernetes quantity: "500m", "2Gi", 4. Written as int-or-string, as core/v1 does; kept as text, so that 1 and "1"
# are the same to whoever compares.
Quantity = Annotated[
    int | str,
    AfterValidator(str),
    Field(
        json_schema_extra={"x-kubernetes-int-or-string": True, "maxLength": 32}
        | cel(
            (
                "isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))",
                "write a quantity above zero, for instance 500m, 2 or 4Gi",
            ),
        )
    ),
]
