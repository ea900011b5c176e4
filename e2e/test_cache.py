"""A claim of the operator's: one Job brings each version, before any pod that serves is touched; old ones make room."""

import re
from pathlib import Path

from dev.demo.phases import wait_ready, wait_version
from dev.demo.stage import Object, Stage, wait_for
from dev.demo.traffic import steady_load
from dev.models import ensure_models
from e2e.claims import volume_for
from e2e.models import Models

URI = "s3://models/cached"
TEMPLATE = {"size": "1Gi", "storageClassName": "e2e", "accessMode": "ReadWriteOnce"}
CACHE = {"type": "PersistentVolumeClaim", "claimTemplate": TEMPLATE, "retainVersions": 2}


def test_a_job_brings_each_version_before_any_pod_is_touched(stage: Stage, models: Models, tmp_path: Path) -> None:
    for version in ("1", "2", "3"):
        stage.publish(ensure_models() / "clip" / "2", URI, version, note=f"release {version}")
    with volume_for(stage, models.namespace, "clip-models", tmp_path) as volume:
        models.apply("clip", "1", model={"uri": URI, "version": "1"}, cache=CACHE)
        wait_ready(stage, models.namespace, "clip", seconds=180)
        the_job_came_first(models)
        pods_read_what_it_brought(models)
        with steady_load(stage, models.namespace, "clip") as load:
            what_serves_is_not_touched_while_nothing_can_be_fetched(stage, models)
            old_versions_make_room(stage, models, volume)
        score = load.stop()
        assert score.failed == 0, score.why
        the_claim_goes_with_the_object(stage, models)


def the_job_came_first(models: Models) -> None:
    (fetcher,), (pod,) = models.fetchers("clip"), models.pods("clip")
    (container,) = fetcher["status"]["containerStatuses"]
    ended = container["state"]["terminated"]
    assert ended["exitCode"] == 0
    assert ended["finishedAt"] <= pod["metadata"]["creationTimestamp"]
    cached = models.condition("clip", "ModelCached")
    assert (cached["status"], cached["reason"]) == ("True", "Cached")
    assert "ReadWriteOnce" in cached["message"]


def pods_read_what_it_brought(models: Models) -> None:
    (pod,) = models.pods("clip")
    (server,) = (item for item in pod["spec"]["containers"] if item["name"] == "server")
    (mount,) = (item for item in server["volumeMounts"] if item["mountPath"] == "/models")
    assert mount["readOnly"] is True
    (fetcher,) = models.fetchers("clip")
    assert fetcher["spec"]["nodeName"] == pod["spec"]["nodeName"]


def what_serves_is_not_touched_while_nothing_can_be_fetched(stage: Stage, models: Models) -> None:
    """No node is good enough for the next version: neither for its pods nor for the one that fetches it."""
    (before,) = models.pods("clip")
    models.patch("clip", {"model": {"version": "2"}, "podTemplate": NOWHERE})
    models.wait_condition("clip", "Ready", "False", "NodeSelectorMismatch")
    assert models.deployments("clip") == {"1": 1}
    assert [pod["metadata"]["uid"] for pod in models.pods("clip")] == [before["metadata"]["uid"]]
    assert models.status("clip")["rollout"]["summary"] == "Fetching"
    models.patch("clip", {"podTemplate": None})
    wait_version(stage, models.namespace, "clip", "2", seconds=180)
    wait_ready(stage, models.namespace, "clip", seconds=180)
    assert len(models.jobs("clip")) == 1


NOWHERE: Object = {"spec": {"nodeSelector": {"kubernetes.io/hostname": "nowhere"}}}


def old_versions_make_room(stage: Stage, models: Models, volume: Path) -> None:
    assert len(versions_on(volume)) == 2
    models.patch("clip", {"model": {"version": "3"}})
    wait_version(stage, models.namespace, "clip", "3", seconds=180)
    wait_ready(stage, models.namespace, "clip", seconds=180)
    current, previous = (models.status("clip")["model"][which]["digest"] for which in ("current", "previous"))
    assert versions_on(volume) == {current.removeprefix("sha256:"), previous.removeprefix("sha256:")}


def versions_on(volume: Path) -> set[str]:
    return {path.name for path in volume.iterdir() if re.fullmatch("[0-9a-f]{64}", path.name)}


def the_claim_goes_with_the_object(stage: Stage, models: Models) -> None:
    assert stage.get("pvc", "clip-models", models.namespace)
    stage.kubectl("delete", "mmm", "clip", "-n", models.namespace, "--wait")
    wait_for(
        "no claim, no Job", lambda: not stage.get("pvc", "clip-models", models.namespace) and not models.jobs("clip")
    )
