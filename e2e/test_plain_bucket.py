"""A bucket that was filled without `mmm publish` serves once it has stood still, and is called unverified."""

from obstore.store import S3Store

from dev.demo.phases import wait_ready
from dev.demo.stage import Stage
from dev.demo.traffic import steady_load
from dev.models import ensure_models
from e2e.models import Models

POLL_SECONDS = 5


def test_a_bucket_without_manifests_serves_and_says_what_it_is(stage: Stage, models: Models) -> None:
    bucket = fill(stage, "1")
    models.apply("clip", "", model={"uri": "s3://models/plain", "version": "1", "pollIntervalSeconds": POLL_SECONDS})
    message = models.wait_condition("clip", "ModelResolved", "True", "ResolvedWithoutManifest")
    assert "unverified" in message
    wait_ready(stage, models.namespace, "clip", seconds=180)
    assert models.status("clip")["model"]["current"]["unverified"] is True
    with steady_load(stage, models.namespace, "clip") as load:
        bucket.put("plain/1/README.md", b"added behind everybody's back")
        models.wait_condition("clip", "UpdateAvailable", "True", "ContentChanged")
    score = load.stop()
    assert (score.failed, set(score.requests)) == (0, {"1"}), score.why


def fill(stage: Stage, version: str) -> S3Store:
    """The trained CLIP in a bucket, as any program would put it there."""
    bucket = S3Store(
        "models",
        endpoint=stage.s3.endpoint,
        region="us-east-1",
        access_key_id=stage.s3.access_key,
        secret_access_key=stage.s3.secret_key,
        client_options={"allow_http": True},
    )
    for path in (ensure_models() / "clip" / "2").iterdir():
        bucket.put(f"plain/{version}/{path.name}", path.read_bytes())
    return bucket
