"""Types of rollout against a real API server: what the Service selects, what pods are told, what a canary may have."""

import json
from collections.abc import Callable

import pytest

from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import Bucket
from tests.integration.objects import Objects, eventually

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("operator")]

MakeMmm = Callable[..., Manifest]


def begin(objects: Objects, make_mmm: MakeMmm, bucket: Bucket, model: str, **spec: object) -> None:
    """Version 1 of a model serves with two pods."""
    for version in ("1", "2"):
        bucket.publish(model, version)
    objects.create(make_mmm(model={"uri": f"s3://models/{model}", "version": "1"}, replicas=2, **spec))
    eventually(lambda: objects.make_pods_ready() == 2)
    eventually(lambda: objects.condition("Ready")["status"] == "True")


def ask_for(objects: Objects, version: str) -> None:
    objects.patch(names.KIND, "clip", {"spec": {"model": {"version": version}}})


def rollout(objects: Objects) -> Manifest:
    found: Manifest = objects.mmm()["status"]["rollout"]
    return found


def version_selected(objects: Objects) -> str:
    """The version that the Service is for."""
    revision = objects.need("Service", "clip")["spec"]["selector"].get(names.LABEL_REVISION)
    found = {
        item["metadata"]["labels"][names.LABEL_REVISION]: version for version, item in objects.deployments().items()
    }
    return found.get(revision, "")


def test_blue_green_switches_the_service_when_all_new_pods_answer(
    objects: Objects, make_mmm: MakeMmm, bucket: Bucket
) -> None:
    policy = {"type": "BlueGreen", "blueGreen": {"promotion": "Manual", "scaleDownDelaySeconds": 0}}
    begin(objects, make_mmm, bucket, "green", rollout=policy)
    assert version_selected(objects) == "1"
    ask_for(objects, "2")
    eventually(lambda: objects.make_pods_ready() == 4)
    eventually(lambda: objects.condition("Progressing")["reason"] == "AwaitingPromotion")
    target = objects.mmm()["status"]["model"]["target"]["revision"]
    assert version_selected(objects) == "1"
    assert objects.need("Service", f"clip-{target}")["spec"]["selector"][names.LABEL_REVISION] == target
    objects.patch(names.KIND, "clip", {"spec": {"rollout": {"promote": target}}})
    eventually(lambda: version_selected(objects) == "2")
    eventually(lambda: objects.condition("Ready")["status"] == "True")
    assert objects.get("Service", f"clip-{target}") is None
    assert [(item["version"], item["state"]) for item in objects.mmm()["status"]["revisions"]] == [
        ("2", "Serving"),
        ("1", "Kept"),
    ]


def test_a_canary_has_its_share_until_it_is_promoted(objects: Objects, make_mmm: MakeMmm, bucket: Bucket) -> None:
    policy = {"type": "Canary", "canary": {"steps": [{"weight": 50}], "mirror": True}}
    begin(objects, make_mmm, bucket, "canary", rollout=policy)
    ask_for(objects, "2")

    def shared() -> bool:
        objects.make_pods_ready()
        sizes = {version: item["spec"]["replicas"] for version, item in objects.deployments().items()}
        weight: object = rollout(objects).get("weight")
        return sizes == {"1": 1, "2": 1} and weight == 50

    eventually(shared)
    target = objects.mmm()["status"]["model"]["target"]["revision"]
    eventually(lambda: rollout(objects)["summary"] == "canary 50 %")
    told = json.loads(objects.need("ConfigMap", "clip-rollout")["data"]["mirror.json"])
    assert told == {"url": f"http://clip-{target}.{objects.namespace}.svc"}
    objects.patch(names.KIND, "clip", {"spec": {"rollout": {"promote": target}}})

    def taken_over() -> bool:
        objects.make_pods_ready()
        return bool(objects.condition("Ready")["status"] == "True")

    eventually(taken_over)
    assert not objects.need("ConfigMap", "clip-rollout").get("data")


def test_a_swap_tells_running_pods_and_replaces_none(objects: Objects, make_mmm: MakeMmm, bucket: Bucket) -> None:
    begin(objects, make_mmm, bucket, "swap", rollout={"type": "HotSwap"})
    before = {pod["metadata"]["uid"] for pod in objects.list("Pod")}

    def words() -> set[str]:
        return {pod["metadata"]["annotations"].get(names.ANNOTATION_TOLD, "") for pod in objects.list("Pod")}

    told_before = words()
    ask_for(objects, "2")

    def wanted() -> str:
        return str(json.loads(objects.need("ConfigMap", "clip-rollout")["data"]["wanted.json"])["version"])

    eventually(lambda: wanted() == "2")
    eventually(lambda: len(words()) == 1 and not words() & told_before)
    # No server is there to go over, and nobody says that it has.
    eventually(lambda: rollout(objects)["summary"] == "0/2")
    assert objects.mmm()["status"]["model"]["current"]["version"] == "1"
    ask_for(objects, "1")
    eventually(lambda: wanted() == "1")
    eventually(lambda: objects.condition("Ready")["status"] == "True")
    assert {pod["metadata"]["uid"] for pod in objects.list("Pod")} == before
