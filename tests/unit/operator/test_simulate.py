"""`mmm-operator simulate`: a rollout in virtual time, from files alone."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mmm_operator import names
from mmm_operator.__main__ import main
from mmm_operator.offline.simulation import run
from mmm_operator.offline.simulation.script import Occurrence, When, parse_duration, parse_occurrence, show_duration
from mmm_operator.snapshot import Manifest
from tests.unit.operator.core.build import NAMESPACE, Draft, make_mmm

CLIP = make_mmm()


@dataclass
class Printed:
    code: int
    out: str
    errors: str

    @property
    def course(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(self.course["rows"])

    def when(self, text: str) -> list[int]:
        """The moments at which something of these words happened."""
        return [row["seconds"] for row in self.rows if any(text in said for said in row.get("what", ()))]

    def last(self) -> dict[str, tuple[int, int]]:
        """Ready and wanted pods of each version in the end."""
        return {size["version"]: (size["ready"], size["wanted"]) for size in self.rows[-1]["revisions"].values()}


Simulate = Callable[..., Printed]


@pytest.fixture
def simulate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Simulate:
    """Runs the command on an object, with these events."""

    def play(draft: Draft | str, *events: str, form: str = "json", **options: object) -> Printed:
        file = tmp_path / "clip.yaml"
        file.write_text(draft if isinstance(draft, str) else yaml.safe_dump(as_file(draft)))
        words = [word for event in events for word in ("--event", event)]
        words += [word for name, value in options.items() for word in (f"--{name}", str(value))]
        code = main(["simulate", "-f", str(file), "-o", form, *words])
        return Printed(code, *capsys.readouterr())

    return play


def as_file(draft: Draft) -> Manifest:
    meta = {"name": draft.name, "namespace": NAMESPACE}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": meta, "spec": dict(draft.spec)}


def test_a_first_start_ends_ready(simulate: Simulate) -> None:
    printed = simulate(CLIP.replicas(2), load="30s")
    assert printed.code == 0
    assert printed.last() == {"1": (2, 2)}
    assert printed.when("is ready") == [30]
    assert (printed.course["atRest"], printed.course["endedAtSeconds"], printed.course["outages"]) == (True, 30, [])


def test_an_update_happens_once_the_object_is_at_rest_and_nobody_is_without_an_answer(simulate: Simulate) -> None:
    printed = simulate(CLIP.replicas(3), "version=2")
    (began,) = printed.when("version=2")
    assert began >= 20, "before that nothing served"
    assert printed.last() == {"1": (0, 0), "2": (3, 3)}
    assert min(row["serving"] for row in printed.rows if row["seconds"] >= began) >= 3
    assert printed.course["outages"] == []


def test_an_event_has_its_time(simulate: Simulate) -> None:
    assert simulate(CLIP, "7s version=2").when("version=2") == [7]
    assert simulate(CLIP, "7s replicas=2", "+3s version=2").when("version=2") == [10]
    printed = simulate(CLIP, "replicas=2", "+3s version=2")
    assert printed.when("version=2") == [printed.when("replicas=2")[0] + 3]


def test_going_back_in_mid_flight_takes_the_pods_that_serve(simulate: Simulate) -> None:
    printed = simulate(CLIP, "version=2", "+10s version=1")
    assert (printed.code, printed.last()) == (0, {"1": (1, 1), "2": (0, 0)})
    assert printed.when("is ready") == [20], "the pod of version 1 serves on"


def test_a_pod_that_ends_holds_its_place_until_it_is_gone(simulate: Simulate) -> None:
    draft = CLIP.on_gpu(2)
    printed = simulate(draft, "30s replicas=0", "+1s replicas=1", capacity=2, stop="40s")
    assert printed.when("ends") == [30]
    assert printed.when("finds no room") == [31]
    assert printed.when("gets a node") == [0, 70]
    assert any(row["reason"] == "WaitingForOldPodTermination" for row in printed.rows)
    assert printed.course["outages"] == [{"fromSeconds": 31, "toSeconds": 90}], "for a second nobody wanted a pod"


def test_room_is_counted_in_accelerators_where_pods_need_some(simulate: Simulate) -> None:
    printed = simulate(CLIP.replicas(2).on_gpu(2), capacity=3)
    assert (printed.code, printed.last()) == (1, {"1": (1, 2)})
    assert any("Insufficient nvidia.com/gpu" in row.get("condition", "") for row in printed.rows)
    assert simulate(CLIP.replicas(2).on_gpu(2), "capacity=4", capacity=3).code == 0


@pytest.mark.parametrize(("fault", "reason"), [("bad", "ModelLoadFailed"), ("smoke", "SmokeTestFailed")])
def test_a_version_that_crashes_never_serves_and_the_old_one_always_does(
    simulate: Simulate, fault: str, reason: str
) -> None:
    printed = simulate(CLIP, f"{fault}=2", "version=2")
    assert printed.last()["1"] == (1, 1)
    assert printed.last()["2"][0] == 0
    assert printed.course["outages"] == []
    assert any(row["reason"] == reason for row in printed.rows)
    assert len(printed.when("crashes")) <= 3, "the fourth crash is no news"


def test_a_version_that_hangs_meets_its_deadline(simulate: Simulate) -> None:
    slow = CLIP.having(rollout={"progressDeadlineSeconds": 60, "autoRollback": False})
    stalled = simulate(slow, "hang=2", "version=2")
    assert stalled.last()["2"][0] == 0
    due = stalled.when("version=2")[0] + 60
    assert next(row["seconds"] for row in stalled.rows if row["reason"] == "ProgressDeadlineExceeded") == due


def test_a_version_that_was_mended_comes_up(simulate: Simulate) -> None:
    printed = simulate(CLIP, "0s bad=1", "1m good=1")
    assert (printed.code, printed.last()) == (0, {"1": (1, 1)})


def test_an_outage_is_told(simulate: Simulate) -> None:
    assert simulate(CLIP, "1m crash", load="25s").course["outages"] == [{"fromSeconds": 60, "toSeconds": 85}]
    assert "no pod answered for 25s, from 1m on" in simulate(CLIP, "1m crash", form="text", load="25s").out


def test_a_pause_stands_still_until_it_is_taken_back(simulate: Simulate) -> None:
    paused = simulate(CLIP, "pause", "version=2")
    assert paused.code == 1
    assert paused.last() == {"1": (1, 1)}
    assert paused.rows[-1]["reason"] == "Paused"
    assert simulate(CLIP, "pause", "version=2", "resume").last() == {"1": (0, 0), "2": (1, 1)}


def test_a_status_that_was_lost_is_written_again_and_nothing_else(simulate: Simulate) -> None:
    printed = simulate(CLIP, "lose-status")
    after = printed.rows[[row.get("what") for row in printed.rows].index(["lose-status"]) + 1 :]
    assert [(row["who"], row["reason"]) for row in after] == [("operator", "Ready")]
    assert "what" not in after[0]


def test_the_revision_to_promote_is_the_one_that_shall_serve(simulate: Simulate) -> None:
    steps = {"steps": [{"weight": 50}]}
    canary = CLIP.replicas(2).having(rollout={"type": "Canary", "canary": steps})
    waiting = simulate(canary, "version=2")
    assert (waiting.code, waiting.rows[-1]["reason"]) == (1, "AwaitingPromotion")
    assert waiting.last() == {"1": (1, 1), "2": (1, 1)}
    assert simulate(canary, "version=2", "promote").last() == {"1": (0, 0), "2": (2, 2)}


GATES = {"weight": 50, "pauseSeconds": 30, "minRequests": 50, "maxErrorPercent": 5, "maxP95Milliseconds": 200}


@pytest.mark.parametrize(
    ("ill", "reason"),
    [("errors=2:20", "ErrorRateTooHigh"), ("slow=2:900", "LatencyTooHigh"), ("differs=2:20", "AnswersDiffer")],
)
def test_a_canary_that_answers_badly_is_taken_back(simulate: Simulate, ill: str, reason: str) -> None:
    canary = {"steps": [GATES], "mirror": True, "minAgreementPercent": 95}
    draft = CLIP.replicas(2).having(rollout={"type": "Canary", "canary": canary})
    assert simulate(draft, "version=2").last() == {"1": (0, 0), "2": (2, 2)}
    printed = simulate(draft, ill, "version=2")
    assert printed.last() == {"1": (2, 2), "2": (0, 0)}
    assert reason in [row["reason"] for row in printed.rows]
    assert simulate(draft, ill, "good=2", "version=2").last() == {"1": (0, 0), "2": (2, 2)}


def test_a_canary_that_nobody_asks_is_held(simulate: Simulate) -> None:
    draft = CLIP.replicas(2).having(rollout={"type": "Canary", "canary": {"steps": [GATES]}})
    held = simulate(draft, "errors=2:100", "version=2", requests=0)
    assert (held.code, held.last()) == (1, {"1": (1, 1), "2": (1, 1)})


def test_requests_go_where_the_service_means(simulate: Simulate) -> None:
    blue_green = {"type": "BlueGreen", "blueGreen": {"promotion": "Manual"}}
    printed = simulate(CLIP.replicas(2).having(rollout=blue_green), "version=2", "promote")
    ready = [sum(size["ready"] for size in row["revisions"].values()) for row in printed.rows]
    assert max(ready) == 4
    assert max(row["serving"] for row in printed.rows) == 2
    assert printed.last() == {"1": (0, 0), "2": (2, 2)}


def test_running_servers_go_over_to_another_version_without_a_second_accelerator(simulate: Simulate) -> None:
    draft = CLIP.on_gpu(1).having(rollout={"type": "HotSwap"})
    printed = simulate(draft, "version=2", "smoke=3", "version=3", capacity=1)
    assert len(printed.when("serves version 2")) == len(printed.when("stays with version 2: SmokeTestFailed")) == 1
    assert printed.course["outages"] == []
    assert "RolledBack" in [row["rollout"] for row in printed.rows]
    assert printed.when("gets a node") == [0], "it is the same pod all the time"


def test_the_last_accelerator_changes_hands(simulate: Simulate) -> None:
    draft = CLIP.on_gpu(1).having(rollout={"capacityTimeoutSeconds": 30})
    printed = simulate(draft, "1m version=2", capacity=1, load="40s", stop="10s")
    assert (printed.code, printed.last()) == (0, {"1": (0, 0), "2": (1, 1)})
    assert printed.course["outages"] == [{"fromSeconds": 90, "toSeconds": 140}], "to end one pod and to load the other"


def test_any_field_can_be_changed(simulate: Simulate) -> None:
    printed = simulate(CLIP, "spec.service.port=8000", "spec.resources.requests.memory=2Gi")
    assert printed.when("port is 80 instead of 8000") == printed.when("spec.service.port=8000")
    assert len(printed.rows[-1]["revisions"]) == 2


def test_who_follows_the_newest_version_gets_it(simulate: Simulate) -> None:
    draft = CLIP.having(model={"version": None, "updatePolicy": "Auto"})
    assert simulate(draft, "version=2").last() == {"1": (0, 0), "2": (1, 1)}


def test_a_pinned_digest_follows_the_version(simulate: Simulate) -> None:
    draft = CLIP.having(model={"uri": "pvc://models/clip", "digest": "sha256:" + "0" * 64})
    assert simulate(draft, "version=2").last() == {"1": (0, 0), "2": (1, 1)}


def test_a_fetch_comes_before_the_pods(simulate: Simulate) -> None:
    draft = CLIP.having(cache={"type": "PersistentVolumeClaim", "claimName": "models"})
    printed = simulate(draft, fetch="45s")
    assert (printed.when("create Deployment"), printed.when("is ready")) == ([45], [65])


def test_the_limit_ends_what_does_not_come_to_rest(simulate: Simulate) -> None:
    printed = simulate(CLIP, limit="10s")
    assert (printed.code, printed.course["atRest"], printed.course["endedAtSeconds"]) == (1, False, 10)


def test_an_operator_that_never_stops_writing_is_found_out(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MOST_TURNS", 1)  # as if the few turns of a first start were too many
    printed = simulate(CLIP)
    assert (printed.code, printed.course["atRest"]) == (1, False)
    assert printed.rows[-1]["what"] == ["writes again and again, without end"]


def test_people_get_a_table_whose_columns_are_aligned(simulate: Simulate) -> None:
    lines = simulate(CLIP, "version=2", form="text").out.splitlines()
    head = lines[0]
    assert head.split()[:2] == ["TIME", "WHO"]
    assert head.split()[-3:] == ["ROLLOUT", "REASON", "WHAT"]
    table = lines[1 : lines.index("")]
    assert all(line[head.index("WHAT") - 1] == " " != line[head.index("WHAT")] for line in table)
    assert re.fullmatch(r"at rest after \w+: Ready", lines[-2])
    assert lines[-1] == "once a pod had answered, there was always one that did, while any was wanted"


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ("", "write [TIME] WORD[=VALUE]"),
        ("verzion=2", "verzion: there is no such event; there are version, "),
        ("version", "version=: write version=VERSION"),
        ("replicas=-1", "replicas=-1: write replicas=N"),
        ("pause=1", "pause=1: write pause alone"),
        ("errors=2", "errors=2: write errors=VERSION:PERCENT"),
        ("errors=2:101", "errors=2:101: write errors=VERSION:PERCENT"),
        ("10x version=2", "write [TIME] WORD[=VALUE]"),
        ("1s1h version=2", "1s1h: write a time"),
    ],
)
def test_an_event_that_means_nothing_is_refused(
    simulate: Simulate, capsys: pytest.CaptureFixture[str], event: str, complaint: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        simulate(CLIP, event)
    assert ended.value.code == 2
    assert complaint in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("draft", "events", "complaint"),
    [
        (CLIP, ("spec.replicaz=2",), "spec.replicaz: there is no such field, did you mean replicas?"),
        (CLIP, ("spec.replicas.x=2",), "spec.replicas"),
        (CLIP, ("spec.rollout.type=Canary",), "spec.rollout"),
        (CLIP, ("30s version=2", "20s version=1"), "write the events in the order in which they happen"),
        (yaml.safe_dump_all([as_file(make_mmm("a")), as_file(make_mmm("b"))]), (), "holds 2 MultimodalModels"),
        ("kind: Secret\nmetadata: {name: s3}\n", (), "no MultimodalModel in it"),
    ],
)
def test_what_cannot_be_simulated_is_explained(
    simulate: Simulate, draft: Draft | str, events: tuple[str, ...], complaint: str
) -> None:
    printed = simulate(draft, *events)
    assert complaint in printed.errors
    assert (printed.code, printed.out) == (2, "")


def test_events_are_read_as_they_are_written() -> None:
    assert parse_occurrence("version=2") == Occurrence(When.REST, 0, "version", "2")
    assert parse_occurrence(" 1m30s  lose-status") == Occurrence(When.START, 90, "lose-status", "")
    assert parse_occurrence("+5 spec.rollout.type=Recreate") == Occurrence(
        When.BEFORE, 5, "spec.rollout.type", "Recreate"
    )


@given(st.integers(0, 10**6))
def test_a_duration_is_read_as_it_is_shown(seconds: int) -> None:
    assert parse_duration(show_duration(seconds)) == seconds
