"""The bucket is followed: what is published serves, what is half or broken does not, and an outage is not felt."""

import json
import os
import shutil
import time
from pathlib import Path

from dev.demo.phases import wait_ready, wait_version
from dev.demo.stage import Stage, wait_for
from dev.demo.traffic import steady_load
from dev.models import ensure_models, variants
from e2e.claims import CLAIM, shared_claim
from e2e.models import Models
from tests.secure import ACCESS_KEY, SECRET_KEY, secure_server

URI = "s3://models/followed"
POLL_SECONDS = 5
WITHOUT_MANIFEST = shutil.ignore_patterns("manifest.json")
# Five minutes, when there is time for it.
OUTAGE_SECONDS = float(os.environ.get("E2E_OUTAGE_SECONDS", "20"))


def test_auto_follows_what_is_whole_and_survives_the_bucket(stage: Stage, models: Models, tmp_path: Path) -> None:
    publish(stage, "1")
    with shared_claim(stage, models.namespace, tmp_path):
        models.follow("clip", URI, POLL_SECONDS, cache=CLAIM)
        wait_ready(stage, models.namespace, "clip", seconds=180)
        with steady_load(stage, models.namespace, "clip") as load:
            half_published_is_ignored(stage, models)
            publish(stage, "3")
            wait_version(stage, models.namespace, "clip", "3", seconds=180)
            wait_ready(stage, models.namespace, "clip")
            corrupted_is_refused(stage, models)
            pod_restarts_in_an_outage(stage, models)
        score = load.stop()
    assert score.failed == 0, score.why
    assert set(score.requests) == {"1", "3"}


def publish(stage: Stage, version: str) -> None:
    stage.publish(ensure_models() / "clip" / "2", URI, version)


def directory(stage: Stage, version: str) -> Path:
    return stage.s3.directory / "data" / "models" / "followed" / version


def half_published_is_ignored(stage: Stage, models: Models) -> None:
    shutil.copytree(directory(stage, "1"), directory(stage, "2"), ignore=WITHOUT_MANIFEST)
    wait_for("a word of it", lambda: "2" in models.condition("clip", "UpdateAvailable").get("message", ""))
    assert models.deployments("clip") == {"1": 1}


def corrupted_is_refused(stage: Stage, models: Models) -> None:
    """A version that is whole by its manifest, on a disk that has lost a bit of it."""
    source, target = directory(stage, "3"), directory(stage, "4")
    shutil.copytree(source, target, ignore=WITHOUT_MANIFEST)
    variants.corrupt(target)
    manifest = json.loads((source / "manifest.json").read_bytes())
    manifest["metadata"]["note"] = "the fourth"
    (target / "manifest.json").write_text(json.dumps(manifest))
    message = models.wait_condition("clip", "Ready", "False", "DigestMismatch")
    assert "model.safetensors" in message
    assert models.status("clip")["model"]["current"]["version"] == "3"
    shutil.rmtree(target)
    wait_ready(stage, models.namespace, "clip", seconds=180)


def pod_restarts_in_an_outage(stage: Stage, models: Models) -> None:
    began = time.monotonic()
    stage.s3.stop()
    try:
        models.patch("clip", {"replicas": 2})
        wait_ready(stage, models.namespace, "clip", seconds=180)
        (one, _) = [pod["metadata"]["name"] for pod in models.pods("clip")]
        stage.kubectl("delete", "pod", one, "-n", models.namespace, "--wait")
        wait_ready(stage, models.namespace, "clip", seconds=180)
        models.wait_condition("clip", "UpdateAvailable", "Unknown", "EndpointUnreachable")
        time.sleep(max(0.0, OUTAGE_SECONDS - (time.monotonic() - began)))
    finally:
        stage.s3.start()
    models.wait_condition("clip", "UpdateAvailable", "False", "UpToDate")


def test_a_store_with_a_private_ca_is_trusted_once_it_is_given(stage: Stage, models: Models, tmp_path: Path) -> None:
    with secure_server(tmp_path, stage.cluster.host_address, ["secure.storage"]) as secure:
        shutil.copytree(published(stage), secure.data / "models" / "clip" / "1")
        stage.cluster.expose("storage", "secure", 9443, int(secure.endpoint.rpartition(":")[2]))
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        metadata = {"name": "secure-credentials"}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys}
        stage.apply(secret, models.namespace)
        storage = {"endpoint": "https://secure.storage:9443", "credentialsSecretRef": metadata}
        models.apply("clip", "1", storage=storage)
        models.wait_condition("clip", "ModelResolved", "False", "TLSVerifyFailed")
        trust = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trust"}}
        stage.apply({**trust, "data": {"ca.crt": secure.ca.read_text()}}, models.namespace)
        models.patch("clip", {"storage": {"caBundle": {"configMapKeyRef": {"name": "trust"}}}})
        wait_ready(stage, models.namespace, "clip", seconds=180)


def published(stage: Stage) -> Path:
    """A published version on the disk of the other store."""
    if not (directory(stage, "1") / "manifest.json").exists():
        publish(stage, "1")
    return directory(stage, "1")
