"""`mmm validate` and the functions behind it; tests/integration/test_validate.py asks the real API server the same."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from mmm_cli.app import app
from mmm_cli.rules import FUNCTIONS, holds
from mmm_cli.schema import CHECKS, TYPES, completed, mistakes, parts
from mmm_operator.api.crd import root_schema
from mmm_operator.api.schema import INT_OR_STRING, PRESERVE, VALIDATIONS, Schema
from tests.integration.test_crd import ACCEPTED, REFUSED, make_mmm
from tests.unit.api.smuggled import ALLOWED, NAMES, NO_NAMES, VALUES

SAMPLES = Path(__file__).resolve().parents[3] / "manifests/samples"
SCHEMA = root_schema()
BROKEN = """\
apiVersion: serving.multimodal.dev/v1alpha1
kind: MultimodalModel
metadata:
  name: clip
spec:
  model:
    uri: s3://models/clip/
    version: 2
  replcas: 3
  podTemplate:
    spec:
      volumes:
        - name: disk
          nfs: {server: a}
---
apiVersion: v1
kind: Secret
metadata: {name: another kind}
---
apiVersion: serving.multimodal.dev/v1alpha1
kind: MultimodalModel
metadata: {name: fine}
spec:
  model: {uri: "s3://models/clip", version: "2"}
"""

# What no accepted case of the API server's tests has: rules stand at these fields too.
FULL: dict[str, Any] = {
    "model": {
        "uri": "s3://models/clip",
        "version": "1",
        "digest": "sha256:" + "0" * 64,
        "servedName": "acme/clip",
    },
    "storage": {"region": "eu-central-1", "credentialsSecretRef": {"name": "s3"}},
    "runtime": {"env": [{"name": "OMP_NUM_THREADS", "value": "4"}]},
    "service": {"labels": {"team": "search"}},
    "podTemplate": {
        "spec": {
            "initContainers": [{"name": "warm", "image": "x", "securityContext": {"privileged": False}}],
            "containers": [{"name": "logs", "image": "x"}],
        }
    },
}


def validate(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["validate", *map(str, arguments)], input=stdin)


def validated(tmp_path: Path, document: Any) -> list[dict[str, Any]]:
    file = tmp_path / "object.yaml"
    file.write_text(yaml.safe_dump(document))
    [report] = json.loads(validate(file, "-o", "json").stdout)
    assert report["valid"] is not bool(report["mistakes"])
    return list(report["mistakes"])


def schemas(schema: Schema) -> list[Schema]:
    below = [*schema.get("properties", {}).values()]
    below += [schema[key] for key in ("items", "additionalProperties") if key in schema]
    return [schema, *(found for part in below for found in schemas(part))]


def test_mistakes_are_shown_with_their_lines() -> None:
    result = validate("-", stdin=BROKEN)
    assert result.exit_code == 1
    lines = [line.split(": ", 2) for line in result.stdout.splitlines()]
    assert [(place, field) for place, field, _ in lines] == [
        ("<stdin>:7", "spec.model.uri"),
        ("<stdin>:8", "spec.model.version"),
        ("<stdin>:9", "spec.replcas"),
        ("<stdin>:11", "spec.podTemplate.spec"),
        ("<stdin>:20", "fine"),
    ]
    texts = [text for *_, text in lines]
    assert texts[0].startswith("write s3://bucket/prefix")
    assert texts[1] == 'is a number, write it in quotes: "2"'
    assert texts[2] == "there is no such field, did you mean replicas?"
    assert "nfs is not restricted" in texts[3], "what only the operator looks at"
    assert texts[4] == "valid"


def test_what_is_right_is_exit_code_0() -> None:
    result = validate(SAMPLES)
    assert result.exit_code == 0, result.stdout
    assert all(line.endswith(": valid") for line in result.stdout.splitlines())


def test_programs_get_documents(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BROKEN)
    reports = yaml.safe_load(validate(tmp_path, "-o", "yaml").stdout)
    assert [(report["name"], report["line"], report["valid"]) for report in reports] == [
        ("clip", 1, False),
        ("fine", 20, True),
    ]
    first = reports[0]["mistakes"][0]
    assert (first["line"], first["field"]) == (7, "spec.model.uri")


@pytest.mark.parametrize(
    ("text", "message"),
    {"a: [": "no YAML", "kind: Secret": "no MultimodalModel in it", "- 1": "no Kubernetes object"}.items(),
)
def test_a_file_without_an_object_is_a_failure(text: str, message: str) -> None:
    result = validate("-", stdin=text)
    assert result.exit_code == 1
    assert message in result.stderr


def test_a_file_that_is_not_there_is_a_failure() -> None:
    result = validate("no/such/file.yaml")
    assert (result.exit_code, result.stderr) == (1, "no/such/file.yaml: No such file or directory\n")


@pytest.mark.parametrize(("spec", "message"), REFUSED.values(), ids=REFUSED)
def test_what_the_api_server_refuses_is_refused_offline(tmp_path: Path, spec: dict[str, Any], message: str) -> None:
    found = validated(tmp_path, make_mmm(**spec))
    assert found
    rules = [rule["message"] for schema in schemas(SCHEMA) for rule in schema.get(VALIDATIONS, ())]
    if any(message in rule for rule in rules):
        assert any(message in mistake["message"] for mistake in found), "with the words of the rule"


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=ACCEPTED)
def test_what_the_api_server_accepts_is_accepted_offline(tmp_path: Path, spec: dict[str, Any]) -> None:
    assert validated(tmp_path, make_mmm(**spec)) == []


@pytest.mark.parametrize("name", ["clip.v2", "2clip", "c" * 41, None])
def test_a_bad_name_is_refused(tmp_path: Path, name: str | None) -> None:
    [mistake] = validated(tmp_path, make_mmm(name))  # type: ignore[arg-type]
    assert mistake["field"] in ("metadata.name", "MultimodalModel")


def test_nothing_is_smuggled_past_the_rules() -> None:
    env = SCHEMA["properties"]["spec"]["properties"]["runtime"]["properties"]["env"]["items"]["properties"]
    assert not [name for name in (*NAMES, *NO_NAMES) if not list(mistakes(env["name"], name))]
    assert not [value for value in VALUES if not list(mistakes(env["value"], value))]
    assert not [name for name in ALLOWED if list(mistakes(env["name"], name))]


def test_the_schema_uses_nothing_that_is_not_checked() -> None:
    harmless = {"description", "default", "format", "x-kubernetes-list-map-keys", PRESERVE}
    structure = {"type", "properties", "additionalProperties", "items", "required", INT_OR_STRING, VALIDATIONS}
    spec = schemas({"properties": {key: part for key, part in SCHEMA["properties"].items() if key != "status"}})
    used = {keyword for schema in spec for keyword in schema}
    assert used <= {*harmless, *structure, *CHECKS, "exclusiveMinimum", "exclusiveMaximum"}
    assert {schema["type"] for schema in spec if "type" in schema} <= set(TYPES)


def test_no_rule_is_one_that_this_evaluator_cannot_evaluate() -> None:
    """Such a rule would always count as broken; here each is seen to hold."""
    held = {
        rule["rule"]
        for spec in (*ACCEPTED.values(), FULL)
        for _, schema, value in parts(SCHEMA, completed(SCHEMA, make_mmm(**spec)))
        for rule in schema.get(VALIDATIONS, ())
        if holds(rule["rule"], value)
    }
    every = {rule["rule"] for schema in schemas(SCHEMA) for rule in schema.get(VALIDATIONS, ())}
    assert {rule for rule in every - held if "oldSelf" not in rule} == set()


@pytest.mark.parametrize(
    ("text", "valid"),
    [("10.0.0.0/8", True), ("2001:db8::/32", True), ("10.0.0.1/8", True), ("10.0.0.0", False), ("a/8", False)],
)
def test_ranges_of_addresses(text: str, valid: bool) -> None:
    assert FUNCTIONS["isCIDR"](text) is valid


def test_defaults_come_before_the_rules() -> None:
    spec = completed(SCHEMA, make_mmm(accelerator={}))["spec"]
    assert spec["accelerator"] == {"resourceName": "nvidia.com/gpu", "count": 1, "fallback": "Fail"}
    assert spec["replicas"] == 1
