"""A bad version never answers a request: the old one does, and the object names the cause."""

from pathlib import Path

import pytest

from dev.demo.phases import wait_ready
from dev.demo.stage import Stage
from dev.demo.traffic import steady_load
from dev.models import variants
from e2e.models import Models
from e2e.proofs import note
from e2e.versions import damage, plant, publish_good

BAD_VERSIONS = {
    "corrupt": ("DigestMismatch", "model.safetensors"),
    "pickled": ("UnsafeArtifact", "pytorch_model.bin"),
    "nobackend": ("UnsupportedModel", "NopeModel"),
    "crashing": ("ModelLoadFailed", ""),
    "missing": ("VersionNotFound", "missing"),
}


@pytest.fixture(scope="module")
def bucket(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    workspace: Path = tmp_path_factory.mktemp("versions")
    publish_good(stage, "good")
    publish_good(stage, "corrupt")
    damage(stage, "corrupt", variants.corrupt)
    plant(stage, "pickled", variants.pickled, workspace)
    plant(stage, "nobackend", variants.without_backend, workspace)
    plant(stage, "crashing", variants.crashing, workspace)
    return stage


def test_bad_versions_never_serve(bucket: Stage, models: Models) -> None:
    models.apply("clip", "good")
    wait_ready(bucket, models.namespace, "clip")
    with steady_load(bucket, models.namespace, "clip") as load:
        for version, (reason, words) in BAD_VERSIONS.items():
            models.patch("clip", {"model": {"version": version}})
            message = models.wait_condition("clip", "Ready", "False", reason)
            assert words in message
            assert models.condition("clip", "Available")["status"] == "True"
            assert models.status("clip")["model"]["current"]["version"] == "good"
        models.patch("clip", {"model": {"version": "good"}})
        wait_ready(bucket, models.namespace, "clip")
    score = load.stop()
    assert score.failed == 0, score.why
    assert set(score.requests) == {"good"}
    assert models.condition("clip", "Degraded")["status"] == "False"
    seen = "none of them answered; the object names the cause of each"
    note(f"bad versions: {', '.join(reason for reason, _ in BAD_VERSIONS.values())}", score, seen)


def test_a_stalled_rollout_says_so(bucket: Stage, models: Models) -> None:
    models.apply("clip", "good", rollout={"progressDeadlineSeconds": 15, "autoRollback": False})
    wait_ready(bucket, models.namespace, "clip")
    models.patch("clip", {"model": {"version": "crashing"}})
    message = models.wait_condition("clip", "Stalled", "True", "ModelLoadFailed")
    assert "CLIPModel" in message
    models.wait_condition("clip", "Degraded", "True", "UpdateBlocked")
    assert models.status("clip")["readySummary"] == "1/1"
    models.patch("clip", {"model": {"version": "good"}})
    wait_ready(bucket, models.namespace, "clip")
    assert models.condition("clip", "Stalled")["status"] == "False"
