"""`mmm-operator plan`: what would be done and why, from files alone."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmm_operator import names
from mmm_operator.__main__ import main
from mmm_operator.snapshot import Manifest
from tests.unit.operator.core.build import IMAGE, NAMESPACE, UID, Draft, digest_of, make_mmm
from tests.unit.operator.core.cluster import Cluster

DIGEST = digest_of("1")
GOOD = f"""\
apiVersion: {names.API_VERSION}
kind: MultimodalModel
metadata:
  name: clip
spec:
  model:
    uri: s3://models/clip
    version: "1"
"""


@dataclass
class Printed:
    code: int
    out: str
    errors: str

    @property
    def lines(self) -> list[str]:
        """The lines without what aligns them."""
        return [" ".join(line.split()) for line in self.out.splitlines()]


Plan = Callable[..., Printed]


@pytest.fixture
def plan(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Runs the command in a folder with these files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMM_OPERATOR_SERVER_IMAGE", IMAGE)

    def run(*arguments: str, **files: str | Manifest) -> Printed:
        for name, content in files.items():
            text = content if isinstance(content, str) else yaml.safe_dump(content)
            (tmp_path / f"{name}.yaml").write_text(text)
        code = main(["plan", *arguments])
        out, errors = capsys.readouterr()
        return Printed(code, out, errors)

    return run


def as_file(draft: Draft) -> Manifest:
    """What a person keeps in git."""
    meta = {"name": draft.name, "namespace": NAMESPACE}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": meta, "spec": dict(draft.spec)}


def as_dump(cluster: Cluster) -> Manifest:
    """What `kubectl get mmm,deploy,… -o yaml` prints of it."""
    model = as_file(cluster.draft)
    model["metadata"] |= {"uid": UID, "generation": cluster.draft.generation}
    pods = [pod.manifest() for pod in cluster.pods]
    for pod in pods:
        pod |= {"apiVersion": "v1", "kind": "Pod", "metadata": {**pod["metadata"], "namespace": NAMESPACE}}
    return {"kind": "List", "items": [{**model, "status": cluster.status}, *cluster.children.values(), *pods]}


def settled(draft: Draft) -> Cluster:
    cluster = Cluster(draft)
    cluster.settle()
    return cluster


CLIP = make_mmm().replicas(2)


def test_a_new_object_gets_its_children_in_order_and_its_first_status(plan: Plan) -> None:
    printed = plan("-f", "clip.yaml", "--digest", DIGEST, clip=as_file(CLIP))
    wanted = ["create Service clip", "create PodDisruptionBudget clip", f"create Deployment clip-{CLIP.revision().id}"]
    assert [line for line in printed.lines if line.startswith("create")] == wanted
    assert "status Ready=False Starting: 0 of 2 pods are available" in printed.lines
    assert not any(line.startswith("event") for line in printed.lines), "that it begins is no news"
    assert printed.code == 1


def test_nothing_is_to_do_in_a_settled_cluster(plan: Plan) -> None:
    # The digest comes from the status: nobody has to look it up.
    printed = plan("-f", "clip.yaml", "--state", "state.yaml", clip=as_file(CLIP), state=as_dump(settled(CLIP)))
    assert printed.lines[0] == f"{NAMESPACE}/clip: nothing to do"
    assert printed.code == 0


def test_an_update_names_the_first_difference(plan: Plan) -> None:
    file = as_file(CLIP.having(service={"port": 8000}))
    printed = plan("-f", "clip.yaml", "--state", "state.yaml", clip=file, state=as_dump(settled(CLIP)))
    (update,) = (line for line in printed.lines if line.startswith("update"))
    assert "port is 80 instead of 8000" in update
    assert printed.code == 1


def test_drift_in_the_cluster_is_found_without_a_change_of_the_file(plan: Plan) -> None:
    cluster = settled(CLIP)
    cluster.deployments()[0]["spec"]["replicas"] = 7
    printed = plan("-f", "clip.yaml", "--state", "state.yaml", clip=as_file(CLIP), state=as_dump(cluster))
    assert any("spec.replicas is 7 instead of 2" in line for line in printed.lines)


def test_what_is_not_needed_any_more_would_be_deleted(plan: Plan) -> None:
    file = as_file(CLIP.replicas(1))
    printed = plan("-f", "clip.yaml", "--state", "state.yaml", clip=file, state=as_dump(settled(CLIP)))
    assert "delete PodDisruptionBudget clip: one pod needs no budget" in printed.lines


def test_without_a_digest_the_plan_ends_where_the_repository_would_be_asked(plan: Plan) -> None:
    printed = plan("-f", "clip.yaml", clip=as_file(CLIP))
    assert not any("Deployment" in line for line in printed.lines)
    assert any(line.startswith("note version 1 of s3://models/clip would be resolved first") for line in printed.lines)
    assert "again in 60 s, if nothing happens before" in printed.lines


def test_a_new_version_needs_its_own_digest(plan: Plan) -> None:
    files: dict[str, Any] = {"clip": as_file(CLIP.version("2")), "state": as_dump(settled(CLIP))}
    assert "--digest" in plan("-f", "clip.yaml", "--state", "state.yaml", **files).out
    printed = plan("-f", "clip.yaml", "--state", "state.yaml", "--digest", digest_of("2"), **files)
    assert f"create Deployment clip-{CLIP.version('2').revision().id}" in printed.lines
    assert not any(line.startswith("delete") for line in printed.lines)


def test_a_pin_in_the_spec_counts_as_the_digest_and_contradicts_another_one(plan: Plan) -> None:
    file = as_file(CLIP.having(model={"digest": DIGEST}))
    assert f"clip-{CLIP.having(model={'digest': DIGEST}).revision().id}" in plan("-f", "clip.yaml", clip=file).out
    assert "DigestMismatch" in plan("-f", "clip.yaml", "--digest", digest_of("2"), clip=file).out


def test_an_object_of_somebody_else_is_reported_and_left_alone(plan: Plan) -> None:
    other = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "clip", "namespace": NAMESPACE}}
    printed = plan("-f", "clip.yaml", "--state", "state.yaml", clip=as_file(CLIP), state=other)
    assert "NameConflict" in printed.out
    assert "create Service clip" not in printed.lines


def test_the_state_alone_tells_what_this_operator_would_change(plan: Plan) -> None:
    cluster = settled(CLIP)
    assert plan("--state", "state.yaml", state=as_dump(cluster)).code == 0
    del cluster.deployments()[0]["metadata"]["labels"][names.LABEL_VERSION]
    printed = plan("--state", "state.yaml", state=as_dump(cluster))
    assert (printed.code, printed.lines[0]) == (1, f"{NAMESPACE}/clip: 1 write")


def test_another_default_image_restarts_nothing_that_runs(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMM_OPERATOR_SERVER_IMAGE", "registry/server:2.0")
    printed = plan("-f", "clip.yaml", "--state", "state.yaml", clip=as_file(CLIP), state=as_dump(settled(CLIP)))
    assert printed.code == 0


def test_without_the_operators_image_the_plan_says_so(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMM_OPERATOR_SERVER_IMAGE")
    printed = plan("-f", "clip.yaml", "--digest", DIGEST, "-o", "yaml", clip=as_file(CLIP))
    assert "MMM_OPERATOR_SERVER_IMAGE is not set" in printed.errors
    assert "unknown" in printed.out


def test_other_wrong_settings_are_not_hidden_by_that(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMM_OPERATOR_SERVER_IMAGE")
    monkeypatch.setenv("MMM_OPERATOR_WORKERS", "many")
    printed = plan("-f", "clip.yaml", clip=as_file(CLIP))
    assert printed.code == 2
    assert "MMM_OPERATOR_WORKERS" in printed.errors


def test_a_size_that_the_file_leaves_open_stays_as_it_is(plan: Plan) -> None:
    file = as_file(make_mmm())
    printed = plan("-f", "clip.yaml", "--state", "state.yaml", clip=file, state=as_dump(settled(CLIP)))
    assert printed.code == 0
    assert "note replicas stays 2, as in the cluster: the file does not say" in printed.lines


def test_children_without_their_object_still_belong_to_it(plan: Plan) -> None:
    dump = as_dump(settled(CLIP))
    dump["items"] = [item for item in dump["items"] if item["kind"] != names.KIND]
    printed = plan("-f", "clip.yaml", "--state", "state.yaml", "--digest", DIGEST, clip=as_file(CLIP), state=dump)
    assert "NameConflict" not in printed.out
    assert not [line for line in printed.lines if line.startswith(("create", "update", "delete"))]


def test_events_of_the_dump_explain_a_pod_that_says_nothing_itself(plan: Plan) -> None:
    cluster = settled(CLIP)
    pod = cluster.pods[0]
    pod.turn("starting", "2026-01-01T00:00:00Z")
    cluster.update_statuses()
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "type": "Warning",
        "metadata": {"name": "e", "namespace": NAMESPACE, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "involvedObject": {"kind": "Pod", "uid": f"uid-{pod.name}"},
        "reason": "FailedMount",
        "message": 'MountVolume.SetUp failed for volume "models"',
    }
    dump = as_dump(cluster)
    for item in dump["items"]:
        if item["kind"] == "Pod" and item["metadata"]["name"] == pod.name:
            unready = {"type": "PodReadyToStartContainers", "status": "False"}
            item["status"] = {"phase": "Pending", "conditions": [unready]}
    dump["items"].append(event)
    printed = plan("-f", "clip.yaml", "--state", "state.yaml", clip=as_file(CLIP), state=dump)
    assert 'MountVolume.SetUp failed for volume "models"' in printed.out


def test_an_object_on_its_way_out_is_left_to_the_garbage_collector(plan: Plan) -> None:
    dump = as_dump(Cluster(CLIP))
    dump["items"][0]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    printed = plan("--state", "state.yaml", state=dump)
    assert (printed.code, printed.lines[0]) == (0, f"{NAMESPACE}/clip: nothing to do")
    assert "garbage collector" in printed.out


@pytest.mark.parametrize("output", ["yaml", "json"])
def test_for_programs_the_whole_manifests_are_there(plan: Plan, output: str) -> None:
    printed = plan("-f", "clip.yaml", "--digest", DIGEST, "-o", output, clip=as_file(CLIP))
    (found,) = yaml.safe_load(printed.out) if output == "yaml" else json.loads(printed.out)
    assert [step["manifest"]["kind"] for step in found["apply"]] == ["Service", "PodDisruptionBudget", "Deployment"]
    assert {step["action"] for step in found["apply"]} == {"create"}
    assert found["status"]["readySummary"] == "0/2"
    assert found["because"].startswith("create Service clip; ")


def test_documents_lists_directories_and_standard_input_hold_objects(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "two.yaml").write_text(GOOD + "---\n# nothing\n---\n" + GOOD.replace("clip\n", "blip\n", 1))
    listed = {"kind": "List", "items": [as_file(make_mmm("chip"))]}
    (tmp_path / "models" / "listed.json").write_text(json.dumps(listed))
    (tmp_path / "models" / "README.md").write_text("no object")
    monkeypatch.setattr("sys.stdin", io.StringIO(GOOD.replace("clip\n", "ship\n", 1)))
    printed = plan("-f", "models", "-f", "-", "-n", "shelf")
    headings = [line.split(":")[0] for line in printed.lines if line.endswith(" writes")]
    assert headings == [f"{NAMESPACE}/chip", "shelf/clip", "shelf/blip", "shelf/ship"]


def test_an_api_servers_list_says_once_what_its_items_are(plan: Plan) -> None:
    dump = as_dump(settled(CLIP))
    pods = [item for item in dump["items"] if item["kind"] == "Pod"]
    rest = [item for item in dump["items"] if item["kind"] != "Pod"]
    items = [{key: part for key, part in pod.items() if key not in ("apiVersion", "kind")} for pod in pods]
    listed = yaml.safe_dump_all([{**dump, "items": rest}, {"kind": "PodList", "apiVersion": "v1", "items": items}])
    assert plan("-f", "clip.yaml", "--state", "state.yaml", clip=as_file(CLIP), state=listed).code == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD.replace("uri:", "url:"), "clip.yaml:7: spec.model.url: there is no such field, did you mean uri?"),
        (GOOD.replace("uri:", "url:"), "clip.yaml:6: spec.model.uri: Field required"),
        (GOOD.replace("s3://models/clip", "/models"), "clip.yaml:7: spec.model.uri: write s3://bucket/prefix"),
        (GOOD + "  replicas: -1\n", "clip.yaml:9: spec.replicas: Input should be greater than or equal to 0"),
        (GOOD + "  runtime:\n    env:\n    - name: 1 2\n", "clip.yaml:11: spec.runtime.env[0].name: "),
        (GOOD.replace("v1alpha1", "v2"), "clip.yaml:1: apiVersion: is serving.multimodal.dev/v2, write"),
        (GOOD.replace("  name: clip\n", "  labels: {}\n"), "clip.yaml:3: metadata.name: is missing"),
        (GOOD + "---\n" + GOOD, "clip.yaml:13: metadata.name: default/clip is there twice"),
        (GOOD + "   replicas: 1\n", "clip.yaml:9: no YAML: "),
        ("a text\n", "clip.yaml:1: no Kubernetes object"),
        ("kind: Secret\nmetadata: {name: s3}\n", "clip.yaml: no MultimodalModel in it"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_line(plan: Plan, text: str, complaint: str) -> None:
    printed = plan("-f", "clip.yaml", clip=text)
    assert complaint in printed.errors
    assert (printed.code, printed.out) == (2, "")


def test_every_mistake_in_every_document_is_named_at_once(plan: Plan) -> None:
    wrong = GOOD.replace("uri:", "url:")
    printed = plan("-f", "clip.yaml", clip=wrong + "---\n" + wrong.replace("clip\n", "blip\n", 1))
    assert [line.split(":")[1] for line in printed.errors.splitlines()] == ["6", "7", "15", "16"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "say what to plan"),
        (["-f", "absent.yaml"], "absent.yaml: No such file or directory"),
        (["-f", "empty"], "empty: holds no .yaml, .yml, .json files"),
        (["--state", "clip.yaml"], "the state holds no MultimodalModel"),
    ],
)
def test_wrong_usage_is_explained(plan: Plan, tmp_path: Path, arguments: list[str], complaint: str) -> None:
    (tmp_path / "empty").mkdir()
    printed = plan(*arguments, clip={"kind": "Secret", "metadata": {"name": "s3"}})
    assert complaint in printed.errors
    assert printed.code == 2


def test_half_a_digest_is_refused(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        plan("-f", "clip.yaml", "--digest", "sha256:abc", clip=as_file(CLIP))
    assert ended.value.code == 2
    assert "64 lower-case hex digits" in capsys.readouterr().err


def test_a_date_without_quotes_is_a_text(plan: Plan) -> None:
    dump = yaml.safe_dump(as_dump(settled(CLIP))).replace("'2026-", "2026-").replace("Z'", "Z")
    assert "creationTimestamp: 2026-" in dump
    assert plan("-f", "clip.yaml", "--state", "state.yaml", clip=as_file(CLIP), state=dump).code == 0
