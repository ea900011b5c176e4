"""One GPU, one replica: the running server goes over to another version, and nobody waits for it."""

from collections.abc import Iterator
from functools import partial

import pytest

from dev.demo.phases import wait_ready, wait_version
from dev.demo.stage import Stage, wait_for
from dev.demo.traffic import steady_load
from e2e.fakes import URI, publish_fake
from e2e.models import Models
from e2e.proofs import note
from e2e.test_rollouts_bad import UNEXPECTED, failed

HOT_SWAP = {"rollout": {"type": "HotSwap"}, "accelerator": {"count": 1, "fallback": "CPU"}}


@pytest.fixture
def bucket(stage: Stage) -> Iterator[Stage]:
    for version in ("a", "b"):
        publish_fake(stage, version)
    publish_fake(stage, "unexpected", smoke=UNEXPECTED)
    stage.cluster.set_gpus(1)
    yield stage
    stage.cluster.set_gpus(0)


def identity(models: Models) -> list[tuple[str, int]]:
    """Which pods there are, and how often their containers were started."""
    return [
        (pod["metadata"]["uid"], sum(each["restartCount"] for each in pod["status"]["containerStatuses"]))
        for pod in models.pods("clip")
    ]


def test_the_only_pod_changes_its_version_without_a_lost_request(bucket: Stage, models: Models) -> None:
    models.apply("clip", "a", model={"uri": URI, "version": "a"}, **HOT_SWAP)
    wait_ready(bucket, models.namespace, "clip")
    before = identity(models)
    with steady_load(bucket, models.namespace, "clip") as load:
        models.patch("clip", {"model": {"version": "b"}})
        wait_version(bucket, models.namespace, "clip", "b")
        wait_ready(bucket, models.namespace, "clip")
        load.wait_for_version("b", 20)
        models.patch("clip", {"model": {"version": "unexpected"}})
        found = wait_for("the end of the swap", partial(failed, models, "unexpected"), 120)
        assert found["reason"] == "SmokeTestFailed", found
        assert models.status("clip")["model"]["current"]["version"] == "b"
        models.patch("clip", {"model": {"version": "a"}})
        wait_version(bucket, models.namespace, "clip", "a")
    score = load.stop()
    assert score.failed == 0, score.why
    assert set(score.requests) == {"a", "b"}
    assert identity(models) == before
    note(
        "one GPU, one replica, HotSwap there and back, and a bad version between",
        score,
        "the same container all the time",
    )
