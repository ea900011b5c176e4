"""The API as Markdown, from the same schema that the API server checks: `docs/api.md`, `docs/conditions.md`."""

from collections.abc import Callable, Iterable, Iterator

from mmm_operator import names
from mmm_operator.api.conditions import CAUSES, ConditionType, Documented, Reason
from mmm_operator.api.crd import COLUMNS, SELECTABLE, Column, root_schema
from mmm_operator.api.schema import INT_OR_STRING, VALIDATIONS, Schema


def api_reference(sample: str) -> str:
    """Every field of a MultimodalModel, its default and its rules, after `sample`, an object to start from."""
    root = root_schema()
    sections = [
        f"# {names.KIND}\n",
        f"`{names.API_VERSION}`, namespaced, short name `{names.SHORT_NAME}`. The same text: "
        f"`kubectl explain {names.SHORT_NAME}.spec`.\n",
        f"## The smallest useful object\n\n```yaml\n{sample}```\n",
        f"## What `kubectl get {names.SHORT_NAME}` prints\n\n{_columns()}",
        _selectable(),
        *(_section(path, schema, _wanted) for path, schema in _objects("spec", root["properties"]["spec"])),
        *(_section(path, schema, _observed) for path, schema in _objects("status", root["properties"]["status"])),
        "## metadata\n" + _rules(root),
    ]
    return "\n".join(sections)


def conditions_reference() -> str:
    """Every condition type and every reason, with its sentence."""
    return "\n".join(
        [
            "# Conditions and reasons\n",
            "A condition says what is true of a MultimodalModel; its reason says in one word why, its message in a "
            "sentence. The reason of `Ready` is the root cause of what is wrong, wherever it was found: in the "
            f"repository, in a pod or in the autoscaler. `kubectl get {names.SHORT_NAME}` shows it.\n",
            f"## Condition types\n\n{_documented('type', 'True means', ConditionType)}",
            f"## Which reason wins\n\n{_order()}",
            f"## Reasons\n\n{_documented('reason', 'meaning', Reason)}",
        ]
    )


def _order() -> str:
    """How the reason of `Ready` is chosen."""
    causes = "".join(f"{n}. {what}: {_codes(reasons)}\n" for n, (what, reasons) in enumerate(CAUSES, 1))
    blockers = _codes((Reason.INVALID_SPEC, Reason.NAME_CONFLICT, Reason.REJECTED))
    return (
        f"What stands in the way of the spec comes first: {blockers}, then what the repository says of the version. If "
        f"all is as the spec asks, `Ready` is True. Otherwise it has the root cause of what is wrong with the target's "
        f"pods, the first of these:\n\n{causes}\nThen {_codes((Reason.PROGRESS_DEADLINE_EXCEEDED,))} and what is "
        "under way. The first pod by name that shows a cause lends its words to the message. A reason goes when what "
        "it names is over: pods are judged by their present state, and an event counts only while its pod is still in "
        "the state that the event explains. Events of pods are read only when nothing else explains a pod.\n"
    )


def _codes(reasons: Iterable[Reason]) -> str:
    return ", ".join(f"`{reason.value}`" for reason in reasons)


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; what would end a cell is escaped."""
    titles = list(header)
    lines = [titles, ["---"] * len(titles), *([_cell(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _documented(title: str, meaning: str, members: Iterable[Documented]) -> str:
    return table((title, meaning), ((f"`{member.value}`", member.doc) for member in members))


def _columns() -> str:
    return table(("column", "meaning"), ((_column_title(column), column.description) for column in COLUMNS))


def _column_title(column: Column) -> str:
    return column.name.upper() + (" (`-o wide`)" if column.wide else "")


def _selectable() -> str:
    fields = " and ".join(f"`{path.removeprefix('.')}`" for path in SELECTABLE)
    return f"`--field-selector` knows {fields}.\n"


def _objects(path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """`schema` and all objects below it that have fields of their own, outermost first."""
    yield path, schema
    for name, part in schema["properties"].items():
        inner, suffix = (part["items"], "[]") if part.get("type") == "array" else (part, "")
        if "properties" in inner:
            yield from _objects(f"{path}.{name}{suffix}", inner)


def _section(path: str, schema: Schema, fields: Callable[[Schema], str]) -> str:
    return f"## {path}\n\n{schema['description']}\n\n{fields(schema)}"


def _wanted(schema: Schema) -> str:
    needed = schema.get("required", ())
    rows = (
        (f"`{name}`" + (" (required)" if name in needed else ""), _type(part), _default(part), part["description"])
        for name, part in schema["properties"].items()
    )
    return table(("field", "type", "default", "meaning"), rows) + _rules(schema)


def _observed(schema: Schema) -> str:
    rows = ((f"`{name}`", _type(part), part["description"]) for name, part in schema["properties"].items())
    return table(("field", "type", "meaning"), rows)


def _rules(schema: Schema) -> str:
    """The messages of the rules of an object and of its plain fields, since those have no section."""
    found = [("", rule["message"]) for rule in schema.get(VALIDATIONS, ())]
    for name, part in schema.get("properties", {}).items():
        if "properties" not in part:
            found += [(f"`{name}`: ", rule["message"]) for rule in part.get(VALIDATIONS, ())]
    lines = "".join(f"- {field}{message}\n" for field, message in found)
    return f"\nThe API server refuses what breaks a rule, and says:\n\n{lines}" if lines else ""


def _type(schema: Schema) -> str:
    if schema.get(INT_OR_STRING):
        return "quantity"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    if "additionalProperties" in schema:
        return f"map of {_type(schema['additionalProperties'])}"
    if schema["type"] == "integer":
        return "integer" + _range(schema)
    return str(schema.get("format", schema["type"]))


def _range(schema: Schema) -> str:
    if "maximum" in schema:
        return f", {schema.get('minimum', '')} to {schema['maximum']}"
    return f", {schema['minimum']} or more" if "minimum" in schema else ""


def _default(schema: Schema) -> str:
    default = schema.get("default")
    if default is None or "properties" in schema:  # the fields of an object show their own
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, list):
        return ", ".join(f"`{_inline(item)}`" for item in default)
    return f"`{default}`"


def _inline(item: object) -> str:
    if isinstance(item, dict):
        return "{" + ", ".join(f"{key}: {value}" for key, value in item.items()) + "}"
    return str(item)
