"""An operator follows the buckets: new versions, changed ones, half ones, and stores behind a CA of their own."""

from collections.abc import Callable, Iterator

import pytest

from mmm_operator import names
from mmm_operator.snapshot import Manifest
from mmm_repository import MANIFEST_NAME
from tests.integration.bucket import BUCKET, Bucket, write_model
from tests.integration.objects import Objects, eventually
from tests.integration.operator_process import Audit
from tests.secure import ACCESS_KEY, SECRET_KEY, SecureServer, secure_server

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("operator")]

MakeMmm = Callable[..., Manifest]
POLL_SECONDS = 5
NOTICED_SECONDS = POLL_SECONDS + 15.0


@pytest.fixture
def model(bucket: Bucket, objects: Objects) -> str:
    """The name of a model whose repository nobody else uses; its version 1 is there."""
    bucket.publish(objects.namespace, "1")
    return objects.namespace


def following(make_mmm: MakeMmm, model: str) -> Manifest:
    """A MultimodalModel that serves the newest version."""
    wanted = make_mmm(model={"uri": f"s3://{BUCKET}/{model}", "updatePolicy": "Auto"})
    del wanted["spec"]["model"]["version"]
    return wanted


def pinned(make_mmm: MakeMmm, model: str) -> Manifest:
    return make_mmm(model={"uri": f"s3://{BUCKET}/{model}"})


def wait_until_ready(objects: Objects, version: str = "1") -> None:
    def ready() -> bool:
        objects.make_pods_ready()
        current = objects.mmm().get("status", {}).get("model", {}).get("current") or {}
        return bool(objects.condition("Ready")["status"] == "True" and current.get("version") == version)

    eventually(ready)


def update(objects: Objects, reason: str, seconds: float = NOTICED_SECONDS) -> Manifest:
    """The condition UpdateAvailable, once it has this reason."""

    def look() -> Manifest | None:
        found = objects.condition("UpdateAvailable")
        assert found["reason"] == reason, found
        return found

    return eventually(look, seconds)


def manifest_key(model: str, version: str) -> str:
    return f"{model}/{version}/{MANIFEST_NAME}"


def test_auto_serves_what_is_published_and_says_what_that_is(
    objects: Objects, make_mmm: MakeMmm, model: str, bucket: Bucket
) -> None:
    objects.create(following(make_mmm, model))
    wait_until_ready(objects)
    assert update(objects, "UpToDate")["status"] == "False"
    digest = bucket.publish(model, "2")
    eventually(lambda: "2" in objects.deployments(), NOTICED_SECONDS)
    wait_until_ready(objects, "2")
    status = objects.mmm()["status"]["model"]
    assert (status["current"]["digest"], status["latest"]) == (digest, {"version": "2", "digest": digest})
    assert status["previous"]["version"] == "1"


def test_auto_passes_over_a_half_published_version_and_an_older_one(
    objects: Objects, make_mmm: MakeMmm, model: str, bucket: Bucket, audit: Audit
) -> None:
    bucket.publish(model, "5")
    objects.create(following(make_mmm, model))
    wait_until_ready(objects, "5")
    bucket.publish(model, "4")
    bucket.put(f"{model}/6/model.safetensors", b"half of it")
    assert "6" in eventually(lambda: update(objects, "UpToDate")["message"], NOTICED_SECONDS)
    with audit.quiet_for(POLL_SECONDS + 2, objects.namespace):
        pass
    assert list(objects.deployments()) == ["5"]


def test_auto_refuses_a_manifest_that_is_none_and_goes_on_serving(
    objects: Objects, make_mmm: MakeMmm, model: str, bucket: Bucket
) -> None:
    objects.create(following(make_mmm, model))
    wait_until_ready(objects)
    bucket.put(manifest_key(model, "2"), b'{"format": 1}')
    eventually(lambda: objects.condition("ModelResolved")["reason"] == "InvalidManifest", NOTICED_SECONDS)
    assert objects.condition("Available")["status"] == "True"
    assert list(objects.deployments()) == ["1"]
    bucket.publish(model, "3")
    wait_until_ready(objects, "3")


def test_auto_never_goes_back_when_versions_are_removed(
    objects: Objects, make_mmm: MakeMmm, model: str, bucket: Bucket
) -> None:
    bucket.publish(model, "2")
    objects.create(following(make_mmm, model))
    wait_until_ready(objects, "2")
    bucket.remove(manifest_key(model, "2"))
    eventually(lambda: objects.mmm()["status"]["model"]["latest"]["version"] == "1", NOTICED_SECONDS)
    assert list(objects.deployments()) == ["2"]
    assert objects.condition("Ready")["status"] == "True"


def test_manual_reports_a_newer_version_and_changed_bytes_and_touches_nothing(
    objects: Objects, make_mmm: MakeMmm, model: str, bucket: Bucket
) -> None:
    objects.create(pinned(make_mmm, model))
    wait_until_ready(objects)
    (before,) = objects.list("Deployment")
    assert update(objects, "UpToDate")["status"] == "False"
    bucket.publish(model, "2")
    found = update(objects, "NewVersion")
    assert (found["status"], "version 2 is there" in found["message"]) == ("True", True)
    bucket.publish(f"{model}-other", "1b")
    bucket.replace(manifest_key(model, "1"), bucket.read(manifest_key(f"{model}-other", "1b")))
    assert update(objects, "ContentChanged")["status"] == "True"
    (after,) = objects.list("Deployment")
    assert after["spec"] == before["spec"]
    assert objects.condition("Ready")["status"] == "True"


def test_the_policy_can_be_changed_both_ways_without_a_new_pod(objects: Objects, make_mmm: MakeMmm, model: str) -> None:
    objects.create(pinned(make_mmm, model))
    wait_until_ready(objects)
    (before,) = objects.list("Deployment")
    objects.patch(names.KIND, "clip", {"spec": {"model": {"version": None, "updatePolicy": "Auto"}}})
    wait_until_settled(objects)
    objects.patch(names.KIND, "clip", {"spec": {"model": {"version": "1", "updatePolicy": None}}})
    wait_until_settled(objects)
    (after,) = objects.list("Deployment")
    assert after["metadata"]["name"] == before["metadata"]["name"]
    assert after["spec"] == before["spec"]


def wait_until_settled(objects: Objects) -> None:
    def settled() -> bool:
        mmm = objects.mmm()
        spoken = mmm["status"]["observedGeneration"] == mmm["metadata"]["generation"]
        return bool(spoken and objects.condition("Ready")["status"] == "True")

    eventually(settled)


# Stores behind a CA of their own


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    folder = tmp_path_factory.mktemp("secure")
    with secure_server(folder) as server:
        Bucket.publish_at(server.storage(ca_file=server.ca), write_model(folder / "model", "1"), "clip", "1")
        yield server


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_a_private_ca_is_trusted_once_it_is_given(
    objects: Objects, make_mmm: MakeMmm, secure: SecureServer, kind: str
) -> None:
    field = "stringData" if kind == "Secret" else "data"
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    objects.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": keys})
    wanted = make_mmm()
    wanted["spec"]["storage"] = {"endpoint": secure.endpoint, "credentialsSecretRef": {"name": "keys"}}
    objects.create(wanted)
    eventually(lambda: objects.condition("ModelResolved")["reason"] == "TLSVerifyFailed")
    reference = {"configMapKeyRef" if kind == "ConfigMap" else "secretKeyRef": {"name": "trust"}}
    objects.patch(names.KIND, "clip", {"spec": {"storage": {"caBundle": reference}}})
    eventually(lambda: "There is no" in objects.condition("ModelResolved")["message"])
    trust = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "trust"}, field: {"ca.crt": secure.ca.read_text()}}
    objects.create(trust)
    eventually(lambda: objects.condition("ModelResolved")["status"] == "True")
    (deployment,) = eventually(lambda: objects.list("Deployment"))
    pod = deployment["spec"]["template"]["spec"]
    assert {"name": "MMM_S3_CA_FILE", "value": "/etc/multimodal/ca/ca.crt"} in pod["initContainers"][0]["env"]
    assert all(mount["name"] != "store-ca" for mount in pod["containers"][0]["volumeMounts"])
