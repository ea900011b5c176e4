"""From the MultimodalModel to running Deployments and back: what the operator makes, mends and leaves alone."""

from collections.abc import Callable

import pytest

from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import Bucket
from tests.integration.objects import Objects, eventually, limit
from tests.integration.operator_process import SERVER_IMAGE, Audit, Operator, describe

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("operator")]

MakeMmm = Callable[..., Manifest]


@pytest.fixture(scope="module")
def digests(bucket: Bucket) -> dict[str, str]:
    """Two versions of one model."""
    return {version: bucket.publish("lifecycle", version) for version in ("1", "2")}


@pytest.fixture
def serve(objects: Objects, make_mmm: MakeMmm, digests: dict[str, str]) -> Callable[..., Manifest]:
    """Creates a MultimodalModel and waits until it is Ready."""

    def create_and_wait(version: str = "1", **spec: object) -> Manifest:
        created = objects.create(make_mmm(version, model={"uri": "s3://models/lifecycle"}, **spec))
        wait_until_ready(objects)
        return created

    return create_and_wait


def wait_until_ready(objects: Objects) -> None:
    def ready() -> bool:
        objects.make_pods_ready()
        found = objects.condition("Ready")
        assert found["status"] == "True", found
        objects.condition("UpdateAvailable")  # the first look at the bucket may come some seconds later
        return bool(found["observedGeneration"] == objects.mmm()["metadata"]["generation"])

    eventually(ready)


def owner_of(child: Manifest) -> Manifest:
    (owner,) = child["metadata"]["ownerReferences"]
    return {key: owner[key] for key in ("kind", "name", "uid", "controller")}


def test_a_model_becomes_its_children(objects: Objects, serve: MakeMmm, digests: dict[str, str]) -> None:
    created = serve(replicas=2, autoscaling={"minReplicas": 2, "maxReplicas": 4})
    deployment = objects.deployments()["1"]
    kinds = ("Service", "HorizontalPodAutoscaler", "PodDisruptionBudget")
    children = [deployment, *(objects.need(kind, "clip") for kind in kinds)]
    us = {"kind": names.KIND, "name": "clip", "uid": created["metadata"]["uid"], "controller": True}
    assert [owner_of(child) for child in children] == [us] * 4
    server = deployment["spec"]["template"]["spec"]["containers"][0]
    assert server["image"] == SERVER_IMAGE
    assert {"name": "MMM_MODEL_DIGEST", "value": digests["1"]} in server["env"]
    status = objects.mmm()["status"]
    assert status["model"]["current"]["digest"] == digests["1"]
    assert status["readySummary"] == "2/2"
    assert status["selector"] == names.selector_text(names.pod_selector("clip"))


def test_the_operator_writes_neither_finalizers_nor_annotations_on_the_model(objects: Objects, serve: MakeMmm) -> None:
    serve()
    meta = objects.mmm()["metadata"]
    assert "finalizers" not in meta
    assert "annotations" not in meta
    ours = {entry["manager"]: entry.get("subresource") for entry in meta["managedFields"]}
    assert ours.get(names.STATUS_FIELD_MANAGER) == "status"
    assert names.FIELD_MANAGER not in ours


def test_a_settled_model_costs_no_writes(objects: Objects, serve: MakeMmm, audit: Audit) -> None:
    serve(replicas=2)
    with audit.quiet_for(5, objects.namespace):
        pass


def test_a_changed_child_is_mended_with_one_write(objects: Objects, serve: MakeMmm, audit: Audit) -> None:
    serve()
    name = objects.deployments()["1"]["metadata"]["name"]
    with audit.quiet_for(2, objects.namespace):
        since = audit.now()
        objects.patch("Deployment", name, {"spec": {"progressDeadlineSeconds": 77}})

        def mended() -> bool:
            return bool(objects.need("Deployment", name)["spec"]["progressDeadlineSeconds"] != 77)

        eventually(mended)
        eventually(lambda: audit.writes(since, objects.namespace))  # it is recorded a moment after it is done
    assert audit.writes(since, objects.namespace) == [f"patch deployments {name}"]


def test_a_deleted_child_comes_back(objects: Objects, serve: MakeMmm) -> None:
    serve()
    before = objects.need("Service", "clip")
    objects.delete("Service", "clip")
    after = eventually(lambda: objects.get("Service", "clip"))
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


def test_what_others_add_to_a_child_stays(objects: Objects, serve: MakeMmm, audit: Audit) -> None:
    serve()
    with audit.quiet_for(2, objects.namespace):
        objects.patch("Service", "clip", {"metadata": {"annotations": {"team.example/owner": "vision"}}})
    service = objects.need("Service", "clip")
    assert service["metadata"]["annotations"]["team.example/owner"] == "vision"


def test_a_service_of_somebody_else_is_left_untouched(
    objects: Objects, make_mmm: MakeMmm, digests: dict[str, str], audit: Audit
) -> None:
    spec = {"ports": [{"port": 1234}], "selector": {"app": "other"}}
    theirs = objects.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "clip"}, "spec": spec})
    objects.create(make_mmm(model={"uri": "s3://models/lifecycle"}))
    accepted = eventually(lambda: objects.condition("Accepted"))
    assert (accepted["status"], accepted["reason"]) == ("False", "NameConflict")
    assert "Service clip" in accepted["message"]
    assert objects.get("Service", "clip") == theirs
    attempts = [entry for entry in audit.requests(0, objects.namespace) if describe(entry) == "patch services clip"]
    assert [entry["responseStatus"]["code"] for entry in attempts] == [409]
    objects.delete("Service", "clip")
    eventually(lambda: objects.condition("Accepted")["status"] == "True")
    eventually(lambda: (objects.get("Service", "clip") or {}).get("metadata", {}).get("ownerReferences"))


def test_children_of_a_deleted_model_are_collected(objects: Objects, serve: MakeMmm) -> None:
    serve(replicas=2, autoscaling={"maxReplicas": 3})
    objects.delete(names.KIND, "clip")
    kinds = (names.KIND, "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Pod")
    eventually(lambda: not any(objects.list(kind) for kind in kinds))


def test_a_new_version_gets_a_deployment_of_its_own(objects: Objects, serve: MakeMmm, digests: dict[str, str]) -> None:
    serve(replicas=2)
    objects.patch(names.KIND, "clip", {"spec": {"model": {"version": "2"}}})
    new = eventually(lambda: objects.deployments().get("2"))
    assert objects.deployments()["1"]["spec"]["replicas"] == 2, "the old revision keeps serving"
    assert objects.condition("Available")["status"] == "True"
    wait_until_ready(objects)
    eventually(lambda: objects.deployments()["1"]["spec"]["replicas"] == 0)
    assert objects.deployments()["2"]["metadata"]["uid"] == new["metadata"]["uid"]
    assert objects.mmm()["status"]["model"]["current"]["digest"] == digests["2"]
    assert objects.mmm()["status"]["model"]["previous"]["digest"] == digests["1"]


def test_the_scale_subresource_changes_the_number_of_pods(objects: Objects, serve: MakeMmm) -> None:
    serve()
    scale = objects.patch(names.KIND, "clip", {"spec": {"replicas": 3}}, "scale")
    assert scale["status"]["selector"] == names.selector_text(names.pod_selector("clip"))
    wait_until_ready(objects)
    assert len(objects.list("Pod", names.pod_selector("clip"))) == 3
    objects.patch(names.KIND, "clip", {"spec": {"replicas": 0}}, "scale")
    eventually(lambda: not objects.list("Pod"))
    eventually(lambda: objects.condition("Ready")["reason"] == "ScaledToZero")


def test_a_child_that_quota_forbids_is_reported_and_comes_when_it_may(
    objects: Objects, make_mmm: MakeMmm, digests: dict[str, str]
) -> None:
    quota = limit(objects, "ResourceQuota", "none", {"hard": {"count/deployments.apps": "0"}})
    objects.create(make_mmm(model={"uri": "s3://models/lifecycle"}))

    def rejected() -> bool:
        found = objects.condition("Accepted")
        return found["reason"] == "Rejected" and "exceeded quota" in found["message"]

    eventually(rejected)
    objects.api.delete(quota).raise_for_status()
    wait_until_ready(objects)
    eventually(lambda: objects.condition("Accepted")["status"] == "True")


def test_the_operator_is_small(operator: Operator) -> None:
    assert operator.metric("process_resident_memory_bytes") < 128 * 2**20
