"""What holds for every field of the API, so that it reads like the rest of Kubernetes."""

import re
from collections.abc import Iterator

from mmm_operator.api.crd import root_schema
from mmm_operator.api.schema import INT_OR_STRING, LIST_TYPE, VALIDATIONS, Schema

CAMEL_CASE = re.compile(r"^[A-Z][A-Za-z0-9]*$")
FIELD_NAME = re.compile(r"^[a-z][A-Za-z0-9]*$")
# torch's own words: anybody who sets a dtype knows them, and would look twice at BFloat16.
TORCH_DTYPES = {"auto", "float32", "bfloat16", "float16"}
TIME_WORDS = re.compile(r"(timeout|deadline|interval|delay|duration|period|grace)", re.IGNORECASE)
MEASURED_IN = ("Seconds", "Milliseconds")


def walk(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every schema below `schema`, with its path; `[]` is an item of a list, `*` a value of a map."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from walk(part, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}.*")


ROOT = root_schema()["properties"]
EVERYTHING = [*walk(ROOT["spec"], "spec"), *walk(ROOT["status"], "status")]
FIELDS = [(path, schema) for path, schema in EVERYTHING if not path.endswith(("[]", "*"))]


def name_of(path: str) -> str:
    return path.rpartition(".")[2].removesuffix("[]")


def test_the_walk_sees_the_whole_api() -> None:
    paths = {path for path, _ in EVERYTHING}
    assert {"spec.model.uri", "spec.runtime.env[].name", "spec.resources.limits.*"} <= paths
    assert "status.conditions[].lastTransitionTime" in paths


def test_every_field_is_described_in_sentences() -> None:
    assert not [path for path, schema in FIELDS if not schema.get("description", "").endswith(".")]


def test_names_are_camel_case_and_never_phase() -> None:
    assert not [path for path, _ in FIELDS if not FIELD_NAME.match(name_of(path)) or name_of(path) == "phase"]


def test_every_string_list_and_map_has_a_maximum() -> None:
    def bound(schema: Schema) -> str | None:
        if schema.get(INT_OR_STRING):
            return "maxLength"
        if schema["type"] == "array":
            return "maxItems"
        if schema["type"] == "object" and "additionalProperties" in schema:
            return "maxProperties"
        # An enum bounds itself.
        return "maxLength" if schema["type"] == "string" and "enum" not in schema else None

    assert not [path for path, schema in EVERYTHING if (limit := bound(schema)) and limit not in schema]


def test_every_integer_of_the_spec_has_both_limits() -> None:
    integers = [(path, schema) for path, schema in walk(ROOT["spec"], "spec") if schema.get("type") == "integer"]
    assert integers
    assert not [path for path, schema in integers if not {"minimum", "maximum"} <= set(schema)]


def test_there_are_no_floats() -> None:
    # They do not survive a round trip through every client, and 0.1 + 0.2 is no number to compare.
    assert not [path for path, schema in EVERYTHING if schema.get("type") == "number"]


def test_nothing_is_nullable() -> None:
    assert not [path for path, schema in EVERYTHING if "nullable" in schema or schema.get("default", 0) is None]


def test_every_list_says_how_it_merges() -> None:
    lists = [(path, schema) for path, schema in EVERYTHING if schema.get("type") == "array"]
    assert not [path for path, schema in lists if schema.get(LIST_TYPE) not in ("map", "set", "atomic")]


def test_the_keys_of_a_list_are_there_in_every_item() -> None:
    for path, schema in EVERYTHING:
        for key in schema.get("x-kubernetes-list-map-keys", ()):
            items = schema["items"]
            assert key in items.get("required", ()) or "default" in items["properties"][key], path


def test_enums_are_camel_case() -> None:
    for path, schema in EVERYTHING:
        if set(schema.get("enum", ())) != TORCH_DTYPES:
            assert all(CAMEL_CASE.match(value) for value in schema.get("enum", ())), path


def test_durations_are_integers_with_their_unit() -> None:
    spec = [(path, schema) for path, schema in FIELDS if path.startswith("spec.")]
    timed = [(path, schema) for path, schema in spec if TIME_WORDS.search(name_of(path))]
    assert timed
    assert not [path for path, _ in timed if not path.endswith(MEASURED_IN)]
    assert all(schema["type"] == "integer" for path, schema in FIELDS if path.endswith(MEASURED_IN))


def test_references_to_other_objects_end_in_ref() -> None:
    """A reference is an object that has a name and describes nothing of its own."""
    for path, schema in FIELDS:
        if path.startswith("spec.") and "name" in schema.get("properties", {}):
            assert path.endswith("Ref"), path


def test_nothing_of_the_status_is_required_but_what_makes_sense_of_it() -> None:
    assert "required" not in ROOT["status"]
    for path, schema in walk(ROOT["status"], "status"):
        assert "default" not in schema, path


MESSAGES = [
    (path, rule["message"]) for path, schema in walk(root_schema(), "object") for rule in schema.get(VALIDATIONS, ())
]
SAYS_WHAT_TO_DO = re.compile(r"\b(write|add|remove|raise|lower|ask|use|keep|needs|need)\b")


def test_every_rule_says_what_to_write_instead() -> None:
    assert not [f"{path}: {message}" for path, message in MESSAGES if not SAYS_WHAT_TO_DO.search(message)]
