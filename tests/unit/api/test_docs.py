"""The generated documentation."""

import re

from mmm_operator.api.conditions import ConditionType, Reason
from mmm_operator.api.crd import root_schema
from mmm_operator.api.docs import api_reference, conditions_reference, table


def test_every_condition_type_and_reason_has_its_sentence() -> None:
    text = conditions_reference()
    for member in [*ConditionType, *Reason]:
        assert re.fullmatch(r"[A-Z][A-Za-z]*", member.value)
        assert member.doc.endswith(".")
        assert f"| `{member.value}` | {member.doc} |" in text


def test_every_field_and_every_rule_of_the_spec_is_documented() -> None:
    text = api_reference("")
    for name, schema in root_schema()["properties"]["spec"]["properties"].items():
        assert f"| `{name}`" in text
        assert schema["description"] in text
    assert "raise maxReplicas, or lower minReplicas" in text
    assert "metadata.name must have at most 40 characters" in text


def test_the_sample_stands_in_front_of_the_fields() -> None:
    text = api_reference("kind: MultimodalModel\n")
    assert text.index("```yaml\nkind: MultimodalModel\n```") < text.index("## spec")


def test_types_limits_and_defaults_are_shown() -> None:
    text = api_reference("")
    assert "| `replicas` | integer, 0 to 1000 | `1` |" in text
    assert "| `uri` (required) | string |  |" in text
    assert "| `fallback` | `Fail`, `CPU` | `Fail` |" in text
    assert "| `requests` | map of quantity |  |" in text
    assert "| `metrics` | list of object | `{type: CPU, target: 70}` |" in text


def test_a_cell_of_a_table_stays_in_its_cell() -> None:
    assert table(["a"], [["one|two\nthree"]]) == "| a |\n| --- |\n| one\\|two three |\n"
