"""Scarce accelerators, a killed operator, a claim as cache, and the end of an object."""

import threading
from pathlib import Path

from dev.demo.phases import wait_ready, wait_replicas, wait_version
from dev.demo.stage import OPERATOR_NAMESPACE, Stage, wait_for
from dev.demo.traffic import steady_load
from e2e.claims import CLAIM, shared_claim
from e2e.models import Models
from e2e.proofs import note
from e2e.versions import publish_good

SHARED_GPU = {"accelerator": {"count": 1, "fallback": "CPU"}}


def test_a_second_pod_waits_for_the_only_gpu(stage: Stage, models: Models) -> None:
    publish_good(stage, "good")
    stage.cluster.set_gpus(1)
    try:
        models.apply("clip", "good", replicas=2, **SHARED_GPU)
        wait_replicas(stage, models.namespace, "clip", 1)
        message = models.wait_condition("clip", "CapacityAvailable", "False", "InsufficientAccelerator")
        assert "nvidia.com/gpu" in message
        assert models.condition("clip", "Available")["status"] == "True"
        assert models.condition("clip", "Ready")["reason"] == "InsufficientAccelerator"
        stage.cluster.set_gpus(2)
        wait_ready(stage, models.namespace, "clip")
        assert models.condition("clip", "CapacityAvailable")["status"] == "True"
    finally:
        stage.kubectl("delete", "mmm", "clip", "-n", models.namespace, "--wait")
        stage.cluster.set_gpus(0)


def test_killing_the_operator_changes_nothing_about_the_end(stage: Stage, models: Models) -> None:
    publish_good(stage, "good")
    publish_good(stage, "better")
    with _operator_killed_again_and_again(stage):
        models.apply("clip", "good", replicas=2)
        wait_ready(stage, models.namespace, "clip", seconds=300)
        with steady_load(stage, models.namespace, "clip") as load:
            models.patch("clip", {"model": {"version": "better"}})
            wait_version(stage, models.namespace, "clip", "better", seconds=300)
    wait_ready(stage, models.namespace, "clip")
    score = load.stop()
    assert score.failed == 0, score.why
    assert models.deployments("clip") == {"good": 0, "better": 2}
    note("two replicas, another version, the operator killed again and again", score)
    assert len(stage.get_list("service", "-n", models.namespace)) == 1
    mmm = stage.get("mmm", "clip", models.namespace) or {}
    assert "finalizers" not in mmm["metadata"]
    assert "annotations" not in mmm["metadata"]


def test_an_operator_upgrade_restarts_no_pod(stage: Stage, models: Models) -> None:
    publish_good(stage, "good")
    models.apply("clip", "good")
    wait_ready(stage, models.namespace, "clip")
    before = [pod["metadata"]["uid"] for pod in models.pods("clip")]
    try:
        stage.install_chart("server.drainDelaySeconds=9", "server.image.tag=another")
        generation = stage.get_list("mmm", "-n", models.namespace)[0]["metadata"]["generation"]
        models.patch("clip", {"service": {"port": 8000}})
        wait_for(
            "the new operator's work",
            lambda: (
                models.status("clip").get("observedGeneration", 0) > generation
                and models.status("clip")["url"][-4:] == "8000"
            ),
        )
        assert [pod["metadata"]["uid"] for pod in models.pods("clip")] == before
        note("an upgrade of the operator with another server image", None, "the same pods as before")
    finally:
        stage.install_chart()


def test_a_claim_keeps_the_model_for_the_next_pod(stage: Stage, models: Models, tmp_path: Path) -> None:
    publish_good(stage, "good")
    with shared_claim(stage, models.namespace, tmp_path) as volume:
        _two_pods_share(models, volume)


def _two_pods_share(models: Models, volume: Path) -> None:
    stage = models.stage
    models.apply("clip", "good", replicas=2, cache=CLAIM)
    wait_ready(stage, models.namespace, "clip")
    digest = models.status("clip")["model"]["current"]["digest"].removeprefix("sha256:")
    assert (volume / digest / "model.safetensors").is_file()
    assert not list(volume.glob(".partial*"))


def test_deleting_the_object_takes_everything_with_it(stage: Stage, models: Models) -> None:
    publish_good(stage, "good")
    models.apply("clip", "good", replicas=2, autoscaling={"minReplicas": 2, "maxReplicas": 3})
    wait_ready(stage, models.namespace, "clip")
    models.wait_condition("clip", "AutoscalingActive", "False", "MetricsUnavailable")
    stage.kubectl("delete", "mmm", "clip", "-n", models.namespace, "--wait", "--timeout=20s")
    kinds = "deployments,replicasets,pods,services,horizontalpodautoscalers,poddisruptionbudgets,endpointslices"
    wait_for("an empty namespace", lambda: not stage.get_list(kinds, "-n", models.namespace))


class _operator_killed_again_and_again:  # noqa: N801  reads as a context
    """Delete the operator's pod without grace every few seconds."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._kill)
        self.kills = 0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self.kills > 1

    def _kill(self) -> None:
        while not self._stop.wait(4):
            force = ("--force", "--grace-period=0", "--wait=false")
            self._stage.kubectl("delete", "pods", "--all", "-n", OPERATOR_NAMESPACE, *force)
            self.kills += 1
