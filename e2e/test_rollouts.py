"""No request is lost when pods go, whoever takes them, and a change of version never leaves too few of them."""

import json
import time
from collections.abc import Iterator

import pytest

from dev.bench.rollout.run import seconds_of
from dev.bench.rollout.timeline import longest_silence
from dev.bench.rollout.watch import Watch
from dev.demo.phases import wait_ready, wait_replicas, wait_version
from dev.demo.stage import Stage, wait_for
from dev.demo.traffic import steady_load
from dev.localcluster.cluster import ClusterError
from e2e.fakes import URI, publish_fake
from e2e.models import Models
from e2e.proofs import note
from e2e.size import long

COUNTED_SECONDS = 5.0  # as exactly as answers and pods are counted, and a connection to the old pod is given up


@pytest.fixture(scope="module")
def bucket(stage: Stage) -> Stage:
    for version in ("a", "b", "c"):
        publish_fake(stage, version)
    publish_fake(stage, "slow", load_seconds=20)
    return stage


@pytest.fixture
def gpus(stage: Stage) -> Iterator[Stage]:
    yield stage
    stage.cluster.set_gpus(0)


def serve(models: Models, version: str = "a", **spec: object) -> None:
    models.apply("clip", version, model={"uri": URI, "version": version}, **spec)
    wait_ready(models.stage, models.namespace, "clip")


def change(models: Models, version: str) -> None:
    models.patch("clip", {"model": {"version": version}})


def changed(models: Models, version: str, seconds: int = 180) -> None:
    wait_version(models.stage, models.namespace, "clip", version, seconds)
    wait_ready(models.stage, models.namespace, "clip", seconds)


def test_pods_that_are_taken_away_lose_no_request(bucket: Stage, models: Models) -> None:
    serve(models, replicas=2)
    with steady_load(bucket, models.namespace, "clip") as load:
        for take in (delete, evict):
            taken = newest(models)
            take(models, taken)
            whole_again(models, taken)
        bucket.kubectl("scale", "mmm/clip", "-n", models.namespace, "--replicas=1")
        wait_for("one pod", lambda: len(models.pods("clip")) == 1)
        bucket.kubectl("scale", "mmm/clip", "-n", models.namespace, "--replicas=2")
        wait_replicas(bucket, models.namespace, "clip", 2)
        what_the_budget_protects_survives_a_drain(bucket, models)
    score = load.stop()
    assert score.failed == 0, score.why
    assert set(score.requests) == {"a"}
    note("two pods: one deleted, one evicted, scaled to one and back, the node drained", score)


def newest(models: Models) -> str:
    pods = sorted(models.pods("clip"), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    return str(pods[-1]["metadata"]["name"])


def delete(models: Models, pod: str) -> None:
    models.stage.kubectl("delete", "pod", pod, "-n", models.namespace, "--wait=false")


def evict(models: Models, pod: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": models.namespace}}
    path = f"/api/v1/namespaces/{models.namespace}/pods/{pod}/eviction"

    def evicted() -> bool:
        try:
            models.stage.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
        except ClusterError as error:
            if "disruption budget" not in str(error):
                raise
            return False  # the budget's own controller has not counted the newest pod yet
        return True

    wait_for("the eviction", evicted, 30)


def whole_again(models: Models, taken: str) -> None:
    wait_for("the end of the pod", lambda: taken not in {pod["metadata"]["name"] for pod in models.pods("clip")})
    wait_replicas(models.stage, models.namespace, "clip", 2)


def what_the_budget_protects_survives_a_drain(stage: Stage, models: Models) -> None:
    """The only node is emptied: one pod goes, the other one stays as long as the first has nowhere to go."""
    selector = "--pod-selector=serving.multimodal.dev/model=clip,app.kubernetes.io/component=server"
    node = stage.cluster.node_name
    try:
        with pytest.raises(ClusterError, match=r"disruption budget|timeout"):
            stage.kubectl("drain", node, selector, "--delete-emptydir-data", "--timeout=10s")
        assert models.status("clip")["readyReplicas"] == 1
        assert models.condition("clip", "Available")["status"] == "True"
    finally:
        stage.kubectl("uncordon", node)
    wait_replicas(stage, models.namespace, "clip", 2)


def test_two_gpus_and_two_replicas_change_without_a_lost_request(gpus: Stage, bucket: Stage, models: Models) -> None:
    """No third GPU for a pod more: one replica after the other is replaced in place."""
    gpus.cluster.set_gpus(2)
    rollout = {"capacityTimeoutSeconds": 2, "whenNoCapacity": "ReplaceInPlace"}
    serve(models, replicas=2, accelerator={"count": 1, "fallback": "CPU"}, rollout=rollout)
    with steady_load(bucket, models.namespace, "clip") as load:
        change(models, "b")
        changed(models, "b")
        load.wait_for_version("b", 20)
    score = load.stop()
    assert score.failed == 0, score.why
    assert set(score.requests) == {"a", "b"}
    note("two GPUs, two replicas, another version", score, "in place, one pod after the other")


def test_a_lone_replica_on_the_only_gpu_is_replaced_in_place(gpus: Stage, bucket: Stage, models: Models) -> None:
    gpus.cluster.set_gpus(1)
    rollout = {"capacityTimeoutSeconds": 2, "whenNoCapacity": "ReplaceInPlace"}
    serve(models, accelerator={"count": 1, "fallback": "CPU"}, rollout=rollout)
    with steady_load(bucket, models.namespace, "clip") as load, Watch(bucket, models.namespace, "clip") as watch:
        change(models, "b")
        changed(models, "b")
        load.wait_for_version("b", 20)
    score = load.stop()
    assert models.deployments("clip") == {"a": 0, "b": 1}
    gone = max(pods.at for pods in watch.pods if "a" in pods.versions)
    back = min(pods.at for pods in watch.pods if pods.versions.get("b", {}).get("ready"))
    silence = longest_silence(list(seconds_of(load.history, 0.0)))
    assert silence <= back - gone + COUNTED_SECONDS, "it was silent for longer than the new pod took to load"
    seen = f"silent for {silence:.0f} s; from the old pod's end to the new one's first answer {back - gone:.0f} s"
    note("one GPU, one replica, another version in place", score, seen)


def test_a_change_of_mind_in_mid_flight_serves_what_was_asked_for_last(bucket: Stage, models: Models) -> None:
    serve(models)
    with steady_load(bucket, models.namespace, "clip") as load:
        change(models, "slow")
        wait_for("a pod of the slow version", lambda: len(models.pods("clip")) == 2)
        change(models, "a")
        changed(models, "a")
        change(models, "slow")
        wait_for("a pod of the slow version", lambda: models.deployments("clip").get("slow"))
        change(models, "c")
        changed(models, "c")
        load.wait_for_version("c", 20)
    score = load.stop()
    assert score.failed == 0, score.why
    assert set(score.requests) == {"a", "c"}
    wait_for("the end of the slow version", lambda: not models.deployments("clip").get("slow"))
    note("another wish in mid-flight: A → B → A and A → B → C", score, "B never answered")


@long("five pods take their time on two processors")
def test_five_replicas_of_an_autoscaler_change_and_hardly_one_is_missing(bucket: Stage, models: Models) -> None:
    """The object asks for one; the real autoscaler, which has no figures to go by, holds it at its least."""
    models.apply("clip", "a", model={"uri": URI, "version": "a"}, autoscaling={"minReplicas": 5, "maxReplicas": 6})
    wait_replicas(bucket, models.namespace, "clip", 5)
    with steady_load(bucket, models.namespace, "clip") as load, Watch(bucket, models.namespace, "clip") as watch:
        change(models, "b")
        changed(models, "b")
    score = load.stop()
    assert score.failed == 0, score.why
    fewest = min(pods.count("ready") for pods in watch.pods)
    assert fewest >= 5 - 1
    assert bucket.get("mmm", "clip", models.namespace)["spec"]["replicas"] == 5  # type: ignore[index]
    note("an autoscaler holds five replicas, another version", score, f"never fewer than {fewest} ready")


@long("the pod drains for a minute")
def test_a_lone_pod_that_is_evicted_serves_until_its_successor_does(bucket: Stage, models: Models) -> None:
    bucket.install_chart("server.drainDelaySeconds=60")
    try:
        serve(models)
        with steady_load(bucket, models.namespace, "clip") as load:
            taken = newest(models)
            evict(models, taken)
            wait_for("its successor", lambda: len(models.pods("clip")) == 2)
            wait_for("the end of the pod", lambda: len(models.pods("clip")) == 1, 120)
            time.sleep(2)
        score = load.stop()
    finally:
        bucket.install_chart()
    assert score.failed == 0, score.why
    note("the only pod is evicted, with a drain delay of 60 s", score, "it serves until its successor does")
