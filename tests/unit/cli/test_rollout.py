"""What `mmm rollout` makes of an object, with no cluster in sight."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from mmm_cli.app import app
from mmm_cli.failures import Failure
from mmm_cli.kube import Conflict, Unreachable, refusal
from mmm_cli.rollout.change import pause, promote, undo
from mmm_cli.rollout.commands import model_of
from mmm_cli.rollout.view import facts_of, is_over, news_of, rows_of
from mmm_operator.api.v1alpha1 import MultimodalModel

ONE, TWO, THREE = "1" * 8, "2" * 8, "3" * 8
AT = "2026-01-01T00:00:00Z"


def state(version: str, revision: str) -> dict[str, str]:
    digest = f"sha256:{version * 64}"
    return {"version": version, "digest": digest, "shortDigest": version * 12, "revision": revision, "since": AT}


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": AT}


def make(version: str = "2", status: dict[str, Any] | None = None, generation: int = 1, **spec: Any) -> MultimodalModel:
    """An object that goes from version 1 to version 2, unless told otherwise."""
    model = {"uri": "s3://models/clip", "version": version, **spec.pop("model", {})}
    met = {
        "observedGeneration": 1,
        "readySummary": "2/3",
        "conditions": [condition("Ready", "False", "RollingOut", "1 of 3 new pods are available")],
        "model": {"current": state("1", ONE), "target": state("2", TWO)},
        "rollout": {"summary": "1/3", "message": "1 of 3 new pods are available"},
        **(status or {}),
    }
    meta = {"name": "clip", "namespace": "shop", "generation": generation}
    wanted = {key: part for key, part in model.items() if part is not None}
    return model_of({"metadata": meta, "spec": {"model": wanted, **spec}, "status": met})


SERVES: dict[str, Any] = {
    "conditions": [condition("Ready", "True", "Ready", "3 of 3 pods serve")],
    "model": {"current": state("2", TWO), "target": state("2", TWO), "previous": state("1", ONE)},
    "rollout": {},
}


def test_what_serves_and_what_shall_are_told() -> None:
    assert facts_of(make()) == {
        "state": "RollingOut: 1 of 3 new pods are available",
        "serves": f"version 1 (111111111111), revision {ONE}, since {AT}",
        "target": f"version 2 (222222222222), revision {TWO}, since {AT}",
        "pods": "2/3 ready",
        "rollout": "RollingUpdate, 1/3",
    }


def test_how_far_a_canary_is_and_what_it_waits_for_is_told() -> None:
    rollout = {
        **{"type": "Canary", "step": 2, "weight": 33, "summary": "Canary 33%", "strategyInEffect": "NoSurge"},
        **{"message": "the step is watched for 40 s more", "mirror": {"compared": 90, "differing": 2}},
    }
    steps = {"steps": [{"weight": 10}, {"weight": 30}]}
    facts = facts_of(make(status={"rollout": rollout}, rollout={"type": "Canary", "canary": steps, "paused": True}))
    assert facts["rollout"] == "Canary, step 2 of 2, 33 % of the pods are new, Canary 33%, NoSurge, paused"
    assert facts["mirror"] == "90 answers compared, 2 differ"
    assert facts["waits for"] == "the step is watched for 40 s more"


def test_every_version_that_failed_is_told() -> None:
    failed = [
        {**part, "reason": "SmokeTestFailed", "message": "a cat is no dog", "at": AT}
        for part in (state("3", THREE), state("2", TWO))
    ]
    facts = facts_of(make("1", {"model": {"current": state("1", ONE), "failed": failed}}))
    assert facts["failed"] == f"version 3, revision {THREE}, at {AT}: SmokeTestFailed: a cat is no dog"
    assert facts["failed 2"].startswith("version 2")
    assert "target" not in facts


def test_a_status_of_an_older_spec_proves_nothing() -> None:
    assert is_over(make(status=SERVES)) is True
    late = make(status=SERVES, generation=2)
    assert is_over(late) is None
    assert facts_of(late)["state"] == "the operator has not looked at the latest change yet"


@pytest.mark.parametrize(
    ("conditions", "over"),
    [
        ([], None),
        ([condition("Ready", "False", "RollingOut")], None),
        ([condition("Ready", "True", "Ready")], True),
        ([condition("Ready", "False", "ModelLoadFailed"), condition("Stalled", "False", "MakingProgress")], None),
        ([condition("Ready", "False", "RollingOut"), condition("Stalled", "True", "ProgressDeadlineExceeded")], False),
        ([condition("Ready", "True", "Ready"), condition("Degraded", "True", "RolledBack")], False),
    ],
)
def test_a_rollout_is_over_when_it_serves_or_has_failed(conditions: list[dict[str, Any]], over: bool | None) -> None:
    assert is_over(make(status={"conditions": conditions})) is over


def test_those_who_watch_read_one_line() -> None:
    assert news_of(make()) == "1/3  RollingOut: 1 of 3 new pods are available"
    assert news_of(make(status=SERVES)) == "2/3  Ready: 3 of 3 pods serve"


REVISIONS = [
    {"revision": TWO, "version": "2", "shortDigest": "2" * 12, "state": "Target", "replicas": 3, "ready": 1},
    {"revision": ONE, "version": "1", "shortDigest": "1" * 12, "state": "Serving", "replicas": 2, "ready": 2},
]
KNOWN: dict[str, Any] = {"revisions": [{**item, "createdAt": AT} for item in REVISIONS]}


def test_revisions_are_rows() -> None:
    assert rows_of(make(status=KNOWN))[0] == (TWO, "2", "2" * 12, "Target", "1/3", AT)


@pytest.mark.parametrize(
    ("mmm", "options", "version"),
    [
        (make(), {}, "1"),  # in mid-flight: what serves
        (make(status=SERVES), {}, "1"),  # afterwards: what served before
        (make("3", SERVES), {}, "2"),  # nothing has come of version 3 yet
        (make(status=KNOWN), {"revision": ONE}, "1"),
        (make(), {"version": "7"}, "7"),
    ],
)
def test_undo_goes_back_to_an_earlier_version(mmm: MultimodalModel, options: dict[str, str], version: str) -> None:
    change = undo(mmm, **options)
    assert change.spec == {"model": {"version": version}}
    assert change.said == f"goes back from version {mmm.spec.model.version} to version {version}"


def test_a_pinned_digest_goes_back_with_its_version() -> None:
    pinned: dict[str, Any] = {"model": {"digest": f"sha256:{'2' * 64}"}}
    for options in ({}, {"revision": ONE}, {"version": "1"}):
        change = undo(make(status=KNOWN, **pinned), **options)
        assert change.spec == {"model": {"version": "1", "digest": f"sha256:{'1' * 64}"}}
    with pytest.raises(Failure, match=r"DigestPinned: .* the digest of version 7 is not known here"):
        undo(make(**pinned), version="7")


@pytest.mark.parametrize(
    ("mmm", "options", "complaint"),
    [
        (
            make(model={"version": None, "updatePolicy": "Auto"}, status=SERVES),
            {"version": "1"},
            'FollowsNewest: .*write updatePolicy: Manual and version: "1" into spec.model',
        ),
        (make(status={"model": {"current": state("2", TWO)}}), {}, "NothingBefore: .*--to-version"),
        (
            make(status={"model": {**SERVES["model"], "target": state("2", THREE)}}),  # other resources, for instance
            {},
            f"SameVersion: revision {TWO}, which serves, .*apply the file that was used then",
        ),
        (make(status=SERVES, generation=2), {}, "NotYet: "),  # other resources, just now
        (make(status=KNOWN), {"revision": THREE}, f"NoSuchRevision: .*there are: {TWO}, {ONE}"),
        (make(status=KNOWN), {"revision": TWO}, "SameVersion: .*apply the file that was used then"),
    ],
)
def test_undo_says_why_it_cannot(mmm: MultimodalModel, options: dict[str, str], complaint: str) -> None:
    with pytest.raises(Failure, match=complaint):
        undo(mmm, **options)


def test_what_is_so_already_is_not_written() -> None:
    assert undo(make(), version="2").spec == {}
    assert pause(make(), False).spec == {}
    assert pause(make(rollout={"paused": True}), True).spec == {}
    assert promote(make(status=SERVES)).spec == {}
    assert promote(make(rollout={"promote": TWO})).spec == {}


def test_pause_sets_the_field_and_resume_takes_it_back() -> None:
    assert pause(make(), True).spec == {"rollout": {"paused": True}}
    assert pause(make(rollout={"paused": True}), False).spec == {"rollout": {"paused": None}}


def test_the_revision_that_shall_serve_is_promoted() -> None:
    assert promote(make()).spec == {"rollout": {"promote": TWO}}
    with pytest.raises(Failure, match="NotYet"):
        promote(make(generation=2))
    with pytest.raises(Failure, match="NothingToPromote"):
        promote(make(status={"model": {}}))


@pytest.mark.parametrize(("reason", "promotes"), [("LatencyTooHigh", True), ("SmokeTestFailed", False)])
def test_only_what_was_measured_can_be_overruled(reason: str, promotes: bool) -> None:
    status = make().status.model_dump(mode="json", by_alias=True, exclude_none=True)
    target = status["model"]["target"]
    known = {name: target[name] for name in ("version", "digest", "revision")}
    status["model"]["failed"] = [{**known, "reason": reason, "message": "as it is", "at": AT}]
    if promotes:
        assert promote(make(status=status)).spec == {"rollout": {"promote": TWO}}
        return
    with pytest.raises(Failure, match=r"version 2 has failed and cannot be promoted: SmokeTestFailed: as it is"):
        promote(make(status=status))


def test_an_object_that_nobody_understands_is_named() -> None:
    with pytest.raises(Failure, match=r"spec\.model is not as this mmm knows it: update mmm"):
        model_of({"metadata": {"name": "clip", "namespace": "shop"}, "spec": {"model": {"uri": "s3://models/clip"}}})


def said(message: str, **details: str) -> bytes:
    return json.dumps({"kind": "Status", "message": message, "details": details}).encode()


@pytest.mark.parametrize(
    ("status", "body", "reason", "message"),
    [
        (404, said("the server could not find the requested resource"), "NotInstalled", "install the operator"),
        (404, said("multimodalmodels … not found", name="clip"), "NotFound", "there is no MultimodalModel shop/clip"),
        (401, said("Unauthorized"), "Unauthorized", "log in again"),
        (403, said("User cannot get", name="clip"), "Forbidden", "User cannot get"),
        (409, said("has been modified", name="clip"), "Conflict", "run it again"),
        (422, said("spec.model: write either"), "Refused", "spec.model: write either"),
        (503, b"<html>bad gateway</html>", "NoAnswer", "the API server answers 503"),
        (418, b"[1]", "Refused", "the API server answers 418"),
    ],
)
def test_an_answer_that_is_no_success_is_explained(status: int, body: bytes, reason: str, message: str) -> None:
    found = refusal(status, body, "shop/clip")
    assert found.reason == reason
    assert message in found.message


def test_a_conflict_and_a_server_that_is_away_are_worth_another_try() -> None:
    assert isinstance(refusal(409, b"", "shop/clip"), Conflict)
    assert isinstance(refusal(500, b"", "shop/clip"), Unreachable)


@pytest.mark.parametrize("command", ["status", "history", "undo", "promote", "pause", "resume"])
def test_without_a_cluster_every_command_says_so(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/does/not/exist")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    result = CliRunner().invoke(app, ["rollout", command, "clip"])
    assert result.exit_code == 1
    assert "NoCluster: no cluster to talk to: set KUBECONFIG" in " ".join(result.stderr.split())


def test_two_ways_back_are_wrong_usage() -> None:
    result = CliRunner().invoke(app, ["rollout", "undo", "clip", "--to-version", "1", "--to-revision", ONE])
    assert result.exit_code == 2
