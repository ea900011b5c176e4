"""What can be wrong around a model, each told in one reason and one sentence on the object."""

from pathlib import Path
from typing import Any

import pytest

from dev.demo.stage import Stage
from dev.localcluster.images import Image
from e2e.models import STORAGE, Models
from e2e.versions import publish_good

WRONG_KEYS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "not-the-secret"}
EMPTY_IMAGE = "localhost/without-program:1"
ON_GPU = {"accelerator": {"count": 1}}

FAILURES: dict[str, tuple[dict[str, Any], str, str]] = {
    "wrong-credentials": (
        {"storage": {**STORAGE, "credentialsSecretRef": {"name": "wrong"}}},
        "AccessDenied",
        "access key id",
    ),
    "missing-secret": (
        {"storage": {**STORAGE, "credentialsSecretRef": {"name": "nowhere"}}},
        "CredentialsNotFound",
        "nowhere",
    ),
    "empty-bucket": ({"model": {"uri": "s3://models/nothing", "version": "1"}}, "ModelNotFound", "nothing"),
    "missing-bucket": (
        {"model": {"uri": "s3://no-such-bucket/clip", "version": "1"}},
        "ModelNotFound",
        "no-such-bucket",
    ),
    "dead-endpoint": ({"storage": {**STORAGE, "endpoint": "http://127.0.0.1:9"}}, "EndpointUnreachable", ""),
    "missing-image": (
        {"runtime": {"image": "localhost/no/such:image", "imagePullPolicy": "Never"}},
        "ImagePullFailed",
        "localhost/no/such:image",
    ),
    "image-without-program": (
        {"runtime": {"image": EMPTY_IMAGE, "imagePullPolicy": "Never"}},
        "ContainerFailed",
        "cannot start",
    ),
    "missing-gpu": (ON_GPU, "InsufficientAccelerator", "nvidia.com/gpu"),
    "too-much-memory": (
        {"resources": {"requests": {"cpu": "50m", "memory": "4Ti"}}},
        "InsufficientMemory",
        "Insufficient memory",
    ),
    "small-memory-limit": (
        {"resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}},
        "OutOfMemory",
        "resources.limits.memory",
    ),
}


def test_failures_are_named(stage: Stage, models: Models, tmp_path: Path) -> None:
    publish_good(stage, "good")
    stage.cluster.load_image(Image(EMPTY_IMAGE, {}, ["/there/is/no/such/program"]).save(tmp_path / "empty.tar"))
    stage.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wrong"}, "stringData": WRONG_KEYS},
        models.namespace,
    )
    for name, (spec, _, _) in FAILURES.items():
        models.apply(name, "good", **spec)
    for name, (_, reason, words) in FAILURES.items():
        message = models.wait_condition(name, "Ready", "False", reason)
        assert words in message, f"{name}: {message}"
        assert models.condition(name, "Available")["status"] == "False"
    assert not any("not-the-secret" in str(models.status(name)) for name in FAILURES)


@pytest.mark.parametrize("fallback", ["Fail", "CPU"])
def test_an_accelerator_that_the_pod_cannot_see(stage: Stage, models: Models, fallback: str) -> None:
    publish_good(stage, "good")
    stage.cluster.set_gpus(1)
    try:
        models.apply("clip", "good", accelerator={"count": 1, "fallback": fallback})
        if fallback == "Fail":
            models.wait_condition("clip", "Ready", "False", "AcceleratorUnavailable")
        else:
            models.wait_condition("clip", "Ready", "True", "Ready")
            models.wait_condition("clip", "Degraded", "True", "AcceleratorFallback")
    finally:
        stage.kubectl("delete", "mmm", "clip", "-n", models.namespace, "--ignore-not-found", "--wait")
        stage.cluster.set_gpus(0)
