"""The operator is killed at any moment and started again: the world ends up the same."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import Bucket
from tests.integration.objects import Objects, eventually, new_namespace
from tests.integration.operator_process import Audit, Operator

pytestmark = pytest.mark.integration

KINDS = ("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget")
# What differs between two worlds that are the same: identity, time, and the HPA's and controllers' own notes.
INCIDENTAL = {
    *("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "namespace"),
    *("lastTransitionTime", "since", "startedAt", "clusterIP", "clusterIPs", "url", "status"),
    *(
        "deployment.kubernetes.io/revision",
        names.ANNOTATION_APPLIED,
        names.ANNOTATION_OWNER,
    ),  # both cover the owner's uid
}


@pytest.fixture
def operator(account: Path, tmp_path: Path) -> Iterator[Operator]:
    """An operator that does not run yet."""
    operator = Operator(account, tmp_path / "operator.log")
    yield operator
    if operator.process is not None and operator.process.poll() is None:
        operator.end()


@pytest.fixture(scope="module", autouse=True)
def versions(bucket: Bucket) -> None:
    for version in ("1", "2"):
        bucket.publish("crash", version)


def essence(thing: Any) -> Any:
    if isinstance(thing, dict):
        return {key: essence(value) for key, value in thing.items() if key not in INCIDENTAL}
    return [essence(item) for item in thing] if isinstance(thing, list) else thing


def world(objects: Objects) -> Manifest:
    """Everything that the operator made, without what differs by nature."""
    children = {f"{kind} {item['metadata']['name']}": essence(item) for kind in KINDS for item in objects.list(kind)}
    conditions = {item["type"]: (item["status"], item["reason"]) for item in objects.mmm()["status"]["conditions"]}
    return {**children, "model": essence(objects.mmm()["status"]["model"]), "conditions": conditions}


def settle(objects: Objects, version: str) -> None:
    """Wait until this version alone serves."""

    def settled() -> bool:
        objects.make_pods_ready()
        status = objects.mmm().get("status", {})
        conditions = {item["type"]: item["status"] for item in status.get("conditions", [])}
        current = (status.get("model", {}).get("current") or {}).get("version")
        # The autoscaler's controller looks every fifteen seconds: when it has looked is not the operator's doing.
        looked = conditions.get("AutoscalingActive") != "Unknown"
        # Nor is it when the first look at the bucket is over.
        heard = "UpdateAvailable" in conditions
        return (conditions.get("Ready"), current, looked, heard) == ("True", version, True, True)

    eventually(settled, 60)


def live_through(objects: Objects, mmm: Manifest, pause: Callable[[], None]) -> Manifest:
    """Create the model, change its version half-way; the world afterwards."""
    objects.create(mmm)
    pause()
    settle(objects, "1")
    objects.patch(names.KIND, "clip", {"spec": {"model": {"version": "2"}}})
    pause()
    settle(objects, "2")
    return world(objects)


@pytest.fixture(scope="module")
def mmm(make_mmm: Callable[..., Manifest]) -> Manifest:
    scaling = {"minReplicas": 2, "maxReplicas": 3}
    return make_mmm(model={"uri": "s3://models/crash"}, replicas=2, autoscaling=scaling)


@pytest.fixture(scope="module")
def undisturbed(api: httpx.Client, bucket: Bucket, mmm: Manifest, account: Path, tmp_path_factory: Any) -> Manifest:
    """The world when nothing goes wrong."""
    operator = Operator(account, tmp_path_factory.mktemp("undisturbed") / "operator.log")
    operator.start()
    try:
        with new_namespace(api, bucket.credentials) as objects:
            return live_through(objects, mmm, lambda: None)
    finally:
        assert operator.end() == 0


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments_the_same_world_results(
    objects: Objects, mmm: Manifest, operator: Operator, undisturbed: Manifest, audit: Audit, seed: int
) -> None:
    rng = random.Random(seed)
    operator.start()

    def strike() -> None:
        for _ in range(2):
            time.sleep(rng.uniform(0.0, 0.5))  # the moment is the point of the test
            operator.end(signal.SIGKILL)
            operator.start()
            operator.wait_until_ready()

    operator.wait_until_ready()
    assert live_through(objects, mmm, strike) == undisturbed, f"seed {seed}"
    with audit.quiet_for(2, objects.namespace):
        pass
    assert operator.end() == 0
    assert operator.complaints() == []
