"""What a timeline is drawn and counted as; the same timeline always gives the same bytes."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from dev.bench.rollout.document import filled, lost, write_documents
from dev.bench.rollout.picture import drawn
from dev.bench.rollout.run import seconds_of
from dev.bench.rollout.timeline import Answers, Mark, Pods, Timeline, figures, from_json, longest_silence, to_json
from dev.bench.rollout.watch import counted, state_of, words
from dev.demo.traffic import Score

TIMELINE = Timeline(
    policy="Recreate",
    setting="1 replica & no more",
    old="1",
    new="2",
    replicas=1,
    pods=(
        Pods(-1.0, {"1": {"ready": 1}}),
        Pods(1.0, {"1": {"ending": 1}, "2": {"starting": 1}}),
        Pods(4.0, {"2": {"ready": 1}}),
    ),
    answers=(
        Answers(0.0, {"1": 20}, 0),
        Answers(1.0, {"1": 5}, 3),
        Answers(2.0, {}, 20),
        Answers(3.5, {}, 20),
        Answers(4.5, {"2": 20}, 0),
    ),
    marks=(Mark(0.0, "version 2 asked for"),),
)


def value(name: str) -> float:
    return figures(TIMELINE)[f"Recreate, {name}"].value


def test_figures_count_what_was_seen() -> None:
    assert value("requests") == 45
    assert value("failed") == 43
    assert value("longest silence") == 2.5
    assert value("first answer of the new version") == 4.5
    assert value("last answer of the old version") == 1.0
    assert value("fewest ready pods") == 0
    assert value("most pods") == 2


def test_without_any_answer_it_is_silent_all_the_time() -> None:
    assert longest_silence([Answers(float(second), {}, 1) for second in range(5)]) == 4.0


def test_only_where_nothing_may_be_lost_it_is_a_target() -> None:
    assert figures(TIMELINE)["Recreate, failed"].target is None
    rolling = from_json({**to_json(TIMELINE), "policy": "RollingUpdate"})
    assert figures(rolling)["RollingUpdate, failed"].target == 0


def test_a_picture_is_small_well_formed_and_always_the_same() -> None:
    picture = drawn(TIMELINE)
    assert picture == drawn(from_json(json.loads(json.dumps(to_json(TIMELINE)))))
    root = ElementTree.fromstring(picture)
    classes = {element.get("class") for element in root.iter() if element.tag.endswith("path")}
    assert classes == {"old", "new", "failed", "old ready", "old ending", "new starting", "new ready"}
    assert "prefers-color-scheme: dark" in picture
    assert len(picture) < 60_000


def test_documents_are_filled_between_their_markers(tmp_path: Path) -> None:
    chaos, bench, e2e = (tmp_path / name for name in ("chaos", "bench", "e2e"))
    for folder in (chaos, bench, e2e):
        folder.mkdir()
    (e2e / "proofs.json").write_text(json.dumps({"one GPU": {"answered": 1000, "failed": 0, "seen": "no pod ended"}}))
    (chaos / "requests.json").write_text(
        json.dumps({"rollouts": {"ended": 4, "answered": 1000, "lost": 0, "crossed": 1}})
    )
    every = {
        name: {"value": figure.value, "unit": figure.unit, "better": figure.better, "target": figure.target}
        for name, figure in figures(TIMELINE).items()
    }
    machine = {"processors": 2, "processor": "x", "system": "y"}
    report = {"machine": machine, "command": "c", "date": "d", "figures": every, "timelines": [to_json(TIMELINE)]}
    (bench / "rollout.json").write_text(json.dumps(report))
    document = tmp_path / "rollouts.md"
    empty = "<!-- figures: {} (from a run) -->\nold\n<!-- /figures -->\n"
    document.write_text(
        "# Top\n" + "".join(empty.format(name) for name in ("rollouts", "requests", "proofs", "others"))
    )
    assert write_documents(bench / "rollout.json", document) == [document, tmp_path / "rollouts" / "recreate.svg"]
    text = document.read_text()
    assert "| Recreate | 45 | 43 | 2.5 s |" in text
    assert "| rollouts | 4 | 1,000 | 0 | 1 |" in text
    assert "| one GPU | 1,000 | 0 | no pod ended |" in text
    assert text.count("old\n") == 1


def test_plans_are_summed_up() -> None:
    plan = {"ended": 2, "answered": 10, "lost": 1, "crossed": 0}
    assert lost({"one": plan, "two": plan}).endswith("| **all** | **4** | **20** | **2** | **0** |\n")
    assert filled("no marker", {}) == "no marker"


@pytest.mark.parametrize(
    ("metadata", "status", "state"),
    [
        ({}, {"phase": "Pending"}, "starting"),
        ({}, {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}, "starting"),
        ({}, {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, "ready"),
        (
            {"deletionTimestamp": "now"},
            {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            "ending",
        ),
        ({}, {"phase": "Failed"}, ""),
    ],
)
def test_states_of_pods(metadata: dict[str, str], status: dict[str, object], state: str) -> None:
    assert state_of({"metadata": metadata, "status": status}) == state


def test_pods_serve_what_they_name_unless_they_swap() -> None:
    pod = {"metadata": {"labels": {"serving.multimodal.dev/version": "6"}}, "status": {"phase": "Pending"}}
    assert counted([pod, pod], "7") == {"6": {"starting": 2}}
    assert counted([pod, pod], "7", swaps=True) == {"7": {"starting": 2}}


def test_what_deserves_a_mark() -> None:
    assert words({"strategyInEffect": "NoSurge"}) == "no room: in place"
    assert words({"strategyInEffect": "Surge", "weight": 25}) == "25 % new"
    assert words({"weight": 0}) == words({}) == ""


def test_totals_become_seconds() -> None:
    history = [
        (100.0, Score(0, (), {"1": 10}, {})),
        (101.0, Score(1, (), {"1": 15}, {})),
        (102.0, Score(1, (), {"1": 15, "2": 7}, {})),
    ]
    assert list(seconds_of(history, 100.0)) == [Answers(1.0, {"1": 5}, 1), Answers(2.0, {"2": 7}, 0)]
