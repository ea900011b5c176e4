"""A version that is bad in whatever way never answers a request: the old one does, and the object names the cause."""

from functools import partial
from pathlib import Path

import pytest

from dev.demo.phases import wait_ready
from dev.demo.stage import Object, Stage, wait_for
from dev.demo.traffic import steady_load
from dev.models import variants
from e2e.fakes import URI, publish_fake
from e2e.models import REQUESTS, Models
from e2e.proofs import note
from e2e.size import long
from e2e.versions import plant, publish_good

SMALL = {"requests": {"cpu": "50m", "memory": "16Mi"}, "limits": {"memory": "24Mi"}}
UNEXPECTED = {
    "format": 1,
    "requests": [
        {
            "name": "the sky",
            "path": "/v1/embed",
            "body": {"texts": ["sky"]},
            "expect": {"/dimensions": 12345},
        }
    ],
}
# For each version: what else is asked for with it, the reason that the object must name, and a word of its message.
QUICK: dict[str, tuple[Object, str, str]] = {
    "unexpected": ({}, "SmokeTestFailed", "the sky"),
    "tasks": ({"tasks": ["TextEmbedding"]}, "UnsupportedTask", "TextEmbedding"),
}
LONG: dict[str, tuple[Object, str, str]] = {
    "crashing": ({}, "ModelLoadFailed", ""),
    "hanging": ({}, "ProgressDeadlineExceeded", ""),
    "large": ({"resources": SMALL}, "OutOfMemory", "memory"),
}
STEP = {"weight": 50, "pauseSeconds": 120, "minRequests": 20}


@pytest.fixture(scope="module")
def bucket(stage: Stage) -> Stage:
    for version in ("good", "large"):
        publish_fake(stage, version)
    publish_fake(stage, "tasks", tasks=["ImageEmbedding"])
    publish_fake(stage, "unexpected", smoke=UNEXPECTED)
    publish_fake(stage, "crashing", nonsense=True)
    publish_fake(stage, "hanging", load_seconds=3600)
    publish_fake(stage, "slow", delay_seconds=0.5)
    return stage


def failed(models: Models, version: str) -> Object:
    """What the object says of a version that failed; empty while it says nothing."""
    listed = (models.status("clip").get("model") or {}).get("failed", ())
    return next((item for item in listed if item["version"] == version), {})


@pytest.mark.parametrize(
    ("bad", "deadline"),
    [
        pytest.param(QUICK, 60, id="at once"),
        pytest.param(LONG, 20, id="in the end", marks=long("each of these is tried for half a minute")),
    ],
)
def test_bad_versions_are_taken_back_before_they_answer(
    bucket: Stage, models: Models, bad: dict[str, tuple[Object, str, str]], deadline: int
) -> None:
    good = {"model": {"uri": URI, "version": "good"}, "rollout": {"progressDeadlineSeconds": deadline}}
    models.apply("clip", "good", **good)
    wait_ready(bucket, models.namespace, "clip")
    with steady_load(bucket, models.namespace, "clip") as load:
        for version, (more, reason, words) in bad.items():
            tasks = more.get("tasks")
            change = {"model": {"version": version, "tasks": tasks}, "resources": {"limits": None, **REQUESTS}}
            models.patch("clip", {**change, **{key: value for key, value in more.items() if key != "tasks"}})
            found = wait_for(f"the end of {version}", partial(failed, models, version), 180)
            assert found["reason"] == reason, found
            assert words in found["message"], found
            assert models.status("clip")["model"]["current"]["version"] == "good"
            assert models.condition("clip", "Available")["status"] == "True"
        models.patch("clip", {"model": {"version": "good", "tasks": None}, "resources": {"limits": None, **REQUESTS}})
        wait_ready(bucket, models.namespace, "clip")
    score = load.stop()
    assert score.failed == 0, score.why
    assert set(score.requests) == {"good"}
    seen = "none of them answered; the object names the cause of each"
    note(f"bad versions: {', '.join(reason for _, reason, _ in bad.values())}", score, seen)


@long("two models with weights, and copies of requests that have to gather")
def test_a_canary_that_answers_otherwise_is_taken_back(bucket: Stage, models: Models, tmp_path: Path) -> None:
    publish_good(bucket, "good")
    plant(bucket, "worse", variants.random_weights, tmp_path)
    canary = {"steps": [STEP], "mirror": True, "minAgreementPercent": 90}
    models.apply("clip", "good", replicas=2, rollout={"type": "Canary", "canary": canary})
    wait_ready(bucket, models.namespace, "clip")
    with steady_load(bucket, models.namespace, "clip") as load:
        models.patch("clip", {"model": {"version": "worse"}})
        found = wait_for("the gate", partial(failed, models, "worse"), 240)
        assert found["reason"] == "AnswersDiffer", found
        wait_for("the end of the canary", lambda: models.deployments("clip") == {"good": 2, "worse": 0})
    score = load.stop()
    assert score.failed == 0, score.why
    seen = f"taken back after {score.requests.get('worse', 0)} answers of its own: {found['message']}"
    note("a canary with a worse model, mirrored", score, seen)


def test_a_canary_that_answers_more_slowly_is_taken_back(bucket: Stage, models: Models) -> None:
    rollout = {"type": "Canary", "canary": {"steps": [{**STEP, "maxP95Milliseconds": 250}]}}
    models.apply("clip", "good", model={"uri": URI, "version": "good"}, replicas=2, rollout=rollout)
    wait_ready(bucket, models.namespace, "clip")
    with steady_load(bucket, models.namespace, "clip") as load:
        models.patch("clip", {"model": {"version": "slow"}})
        found = wait_for("the gate", lambda: failed(models, "slow"), 180)
        assert found["reason"] == "LatencyTooHigh", found
        wait_for("the end of the canary", lambda: models.deployments("clip") == {"good": 2, "slow": 0})
    score = load.stop()
    # A canary that is too slow for its share says that it is full: that is a refusal, and the only one.
    assert all(" 429: " in why for why in score.why), score.why
    assert score.requests["slow"] < score.requests["good"]
    seen = f"taken back after {score.requests['slow']} answers of its own: {found['message']}"
    note("a canary that is too slow (what failed was told that it is full)", score, seen)
