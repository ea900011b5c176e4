"""How the bench of the operator counts; its figures decide what is changed, so they must not flatter."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dev.bench.operator.audit import CREATED, Request, Trail, by_kind, needless, refusals
from dev.bench.operator.document import document, extrapolation, together, write_documents
from dev.bench.operator.figures import aligned, figures, growth, requests
from dev.bench.operator.load import creation
from dev.bench.operator.measured import Idle, Measured, Restart
from dev.bench.operator.objects import NAMESPACE, PROBED, PROBES, build_children, build_objects
from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.integration.operator_process import USER

WRITE = Request(USER, "patch", "deployments", "bench/clip", 200, 10.0, 10.1, "7")
SOMEBODY = replace(WRITE, user="somebody")


def entry(verb: str = "patch", resource: str = "deployments", **fields: Any) -> Manifest:
    return {
        "stage": "ResponseComplete",
        "verb": verb,
        "user": {"username": USER},
        "objectRef": {"resource": resource, "namespace": "bench", "name": "clip"},
        "requestReceivedTimestamp": "2026-01-01T00:00:10.000000Z",
        "stageTimestamp": "2026-01-01T00:00:10.250000Z",
        "responseStatus": {"code": 200},
        **fields,
    }


STORAGE: Manifest = {"endpoint": "http://127.0.0.1:9000", "credentialsSecretRef": {"name": "s3"}}


# The audit log


def test_a_line_that_is_half_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    log, line = tmp_path / "audit.log", json.dumps(entry())
    log.write_text(line + "\n" + line[:40])
    trail = Trail(log)
    assert len(trail.catch_up()) == 1
    with log.open("a") as more:
        more.write(line[40:] + "\n")
    assert len(trail.catch_up()) == 1
    assert len(trail.requests) == 2
    trail.close()


def test_watches_leases_and_unanswered_requests_do_not_count(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    others = [
        entry("watch"),
        entry(resource="leases"),
        {**entry(), "stage": "ResponseStarted"},
        entry("get", objectRef={}),
    ]
    log.write_text("".join(json.dumps(item) + "\n" for item in [*others, entry()]))
    trail = Trail(log)
    (found,) = trail.catch_up()
    trail.close()
    assert (found.kind, found.name, found.ours, found.write) == ("patch deployments", "bench/clip", True, True)
    assert found.ended - found.began == pytest.approx(0.25)


def test_an_apply_that_created_counts_as_creation() -> None:
    made = replace(WRITE, code=CREATED)
    assert by_kind([WRITE, made, made]) == {"create deployments": 2, "patch deployments": 1}


# Writes that changed nothing


def test_the_first_of_two_writes_with_one_version_changed_something_and_the_second_did_not() -> None:
    later = replace(WRITE, began=11.0)
    assert needless([later, WRITE]) == [later]


def test_a_write_that_finds_what_somebody_else_wrote_changed_nothing() -> None:
    assert needless([SOMEBODY, replace(WRITE, began=11.0)]) == [replace(WRITE, began=11.0)]
    assert needless([WRITE, replace(SOMEBODY, began=11.0)]) == []


def test_a_status_has_its_version_from_the_whole_object() -> None:
    status = replace(WRITE, target="deployments/status", began=11.0)
    assert needless([WRITE, status]) == [status]


@pytest.mark.parametrize(
    "other", [replace(WRITE, version="8"), replace(WRITE, name="bench/other"), replace(WRITE, target="services")]
)
def test_other_versions_and_other_objects_are_no_repetition(other: Request) -> None:
    assert needless([WRITE, other]) == []


def test_answers_that_were_not_recorded_prove_nothing() -> None:
    blind = replace(WRITE, version="")
    assert needless([blind, blind]) == []


def test_refused_writes_are_the_operators_own() -> None:
    assert refusals([replace(WRITE, code=409), replace(SOMEBODY, code=409), WRITE]) == {"patch deployments 409": 1}


# What is written


def test_the_floor_writes_the_children_that_the_operator_would() -> None:
    raw = next(build_objects(1, STORAGE))
    children = build_children(raw, "sha256:" + 64 * "a")
    kinds = [child["kind"] for child in children]
    assert {"Service", "PodDisruptionBudget", "Deployment", "HorizontalPodAutoscaler"} <= set(kinds)
    assert not any("ownerReferences" in child["metadata"] for child in children)
    method, where, body = creation(children[kinds.index("Deployment")])
    assert (method, where) == ("POST", f"/apis/apps/v1/namespaces/{PROBED}/deployments")
    assert json.loads(body)["metadata"]["name"].startswith("clip-0-")


def test_twenty_objects_are_looked_at_closely() -> None:
    spaces = [raw["metadata"]["namespace"] for raw in build_objects(PROBES + 5, STORAGE)]
    assert (spaces.count(PROBED), spaces.count(NAMESPACE)) == (PROBES, 5)


# Figures


def outcome(objects: int = 1000) -> Measured:
    return Measured(
        objects=objects,
        children=4,
        floor_seconds=[9.0, 11.0],
        children_seconds=25.0,
        last_write_seconds=40.0,
        writes={"create services": objects, f"patch {names.PLURAL}/status": 2 * objects},
        reads={"get secrets": 1},
        needless={"patch services": 1},
        probes=20,
        cpu_seconds=12.0,
        memory_empty=60.0,
        memory_settled=160.0,
        memory_peak=170.0,
        edits=3,
        reactions=[0.010, 0.020, 0.090],
        edit_writes={"patch deployments": 3},
        restart=Restart(3.0, 2.5, 150.0, {}, {"list deployments": 1}),
        idle=Idle(60.0, 0.1, {}, {}),
    )


def test_figures_are_per_object_and_measured_by_their_targets() -> None:
    found = figures(outcome())
    assert found["all children / floor, N=1000"].value == pytest.approx(2.5)
    assert found["all children / floor, N=1000"].target == 2.0
    assert found["writes per object, N=1000"].value == pytest.approx(3.0)
    assert found["writes per object, N=1000"].target == 6
    assert found["CPU per object, N=1000"].value == pytest.approx(12.0)
    assert found["edit to first child write, p50, N=1000"].value == pytest.approx(20.0)
    assert found["edit to first child write, p90, N=1000"].value == pytest.approx(90.0)
    assert figures(outcome(5000))["memory, N=5000"].target == 400


def test_a_phase_without_an_end_is_told_and_leaves_the_others_their_figures() -> None:
    late = figures(replace(outcome(), restart=None, unfinished=["restart"]))
    assert late["phases that did not end in time, N=1000"].value == 1
    assert "all children, N=1000" in late
    assert len(figures(Measured(1000, unfinished=["creation"]))) == 1


def test_an_edit_that_was_not_answered_is_no_quick_answer() -> None:
    for reactions in ([], [0.010]):
        found = figures(replace(outcome(), edits=2, reactions=reactions))["edits without a child write, N=1000"]
        assert (found.value, found.target) == (2 - len(reactions), 0)


def test_phases_that_were_left_out_leave_no_figures() -> None:
    bare = replace(outcome(), restart=None, idle=None, edits=0, reactions=[])
    assert not [name for name in figures(bare) if name.startswith(("restart", "idle", "edit"))]
    assert growth([bare])[1][-3:] == ["–", "–", "–"]


def test_tables_have_a_row_for_each_size_and_each_kind_of_request() -> None:
    assert [row[0] for row in growth([outcome(100), outcome(1000)])] == ["objects", "100", "1000"]
    assert ["create", "create services", "1000", "1.00"] in requests(outcome())
    assert len({len(line) for line in aligned(growth([outcome()])).splitlines()}) == 1


def results_of(found: Measured) -> dict[str, Any]:
    return {
        "date": "2026-01-01",
        "command": "make bench-operator N=1000",
        "machine": {"processors": 2, "processor": "a processor", "system": "Linux"},
        "figures": {name: vars(figure) for name, figure in figures(found).items()},
        "growth": growth([found]),
        "requests": {str(found.objects): requests(found)},
    }


def test_what_is_measured_is_multiplied_for_fifty_thousand_and_divided_by_shards() -> None:
    text = extrapolation(results_of(outcome()))
    assert "| first creation, all children | s | 25 | 1,250 | 1,250 |" in text
    assert "| memory | MiB | 160 | 5,060 | 685 |" in text
    assert "| restart until settled | s | 3.0 | 150 | 19 |" in text


def test_the_figures_in_a_document_are_replaced_and_the_rest_is_left(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(results_of(outcome())))
    scaling = tmp_path / "scaling.md"
    scaling.write_text("before\n<!-- figures: from a bench -->\nold\n<!-- /figures -->\nafter\n")
    for _ in range(2):
        write_documents([tmp_path / "results.json"], tmp_path)
        text = scaling.read_text()
        assert text.startswith("before\n<!-- figures: from a bench -->\nMeasured on 2026-01-01")
        assert text.endswith("|\n<!-- /figures -->\nafter\n")
        assert "old" not in text


def test_several_runs_become_one_document() -> None:
    one, other = results_of(outcome(objects=5000)), results_of(outcome(objects=1000))
    found = together([one, {**other, "command": "another"}])
    assert [row[0] for row in found["growth"][1:]] == ["1000", "5000"]
    assert found["command"] == f"{one['command']}` and `another"
    assert found["requests"].keys() == {"1000", "5000"}
    assert found["figures"].keys() == one["figures"].keys() | other["figures"].keys()


def test_the_document_says_which_targets_were_missed() -> None:
    text = document(results_of(outcome()))
    assert "| all children / floor, N=1000 | 2.5 ratio | ≤ 2 | no |" in text
    assert "| restart: writes, N=1000 | 0 writes | ≤ 0 | yes |" in text
    assert "2026-01-01" in text
    assert "2 × a processor" in text
