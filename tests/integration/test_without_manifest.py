"""Buckets that nobody published to: served once they have stood still, and called unverified."""

from collections.abc import Callable

import pytest

from mmm_operator.snapshot import Manifest
from tests.integration.bucket import BUCKET, Bucket, write_model
from tests.integration.objects import Objects, eventually
from tests.integration.operator_process import Operator
from tests.integration.test_follow import NOTICED_SECONDS, following, pinned, update, wait_until_ready
from tests.repository.chaos.servers import versity
from tests.repository.plain_store import PlainStore

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("operator")]

MakeMmm = Callable[..., Manifest]


@pytest.fixture
def plain(bucket: Bucket, objects: Objects) -> PlainStore:
    """A model whose version 1 came by plain PUTs."""
    store = PlainStore(versity(bucket.server, BUCKET), objects.namespace)
    store.fill("1", write_model(bucket.folder / f"{objects.namespace}-1", "1"))
    return store


def resolved(objects: Objects, reason: str, seconds: float = 2 * NOTICED_SECONDS) -> Manifest:
    """The condition ModelResolved, once it has this reason."""

    def look() -> Manifest | None:
        found = objects.condition("ModelResolved")
        assert found["reason"] == reason, found
        return found

    return eventually(look, seconds)


def test_a_pinned_version_is_served_after_two_looks_and_what_changes_under_it_is_told(
    objects: Objects, make_mmm: MakeMmm, plain: PlainStore
) -> None:
    objects.create(pinned(make_mmm, objects.namespace))
    waiting = eventually(lambda: resolved(objects, "IncompleteUpload"))
    assert eventually(lambda: "two listings 5 seconds apart agree" in objects.condition("ModelResolved")["message"])
    assert (waiting["status"], objects.list("Deployment")) == ("False", [])
    found = resolved(objects, "ResolvedWithoutManifest")
    assert (found["status"], "nobody vouches" in found["message"]) == ("True", True)
    wait_until_ready(objects)
    current = objects.mmm()["status"]["model"]["current"]
    assert current["unverified"] is True
    (before,) = objects.list("Deployment")
    plain.put("1/config.json", b'{"model_type": "clip", "seed": "another"}')
    changed = update(objects, "ContentChanged")
    assert current["digest"] in changed["message"]
    (after,) = objects.list("Deployment")
    assert after["spec"] == before["spec"]
    assert objects.condition("ModelResolved")["reason"] == "ResolvedWithoutManifest"


def test_a_version_that_is_not_whole_says_what_is_missing_and_heals(
    objects: Objects, make_mmm: MakeMmm, plain: PlainStore
) -> None:
    plain.put("1/model.safetensors.index.json", b'{"weight_map": {"a": "model-2.safetensors"}}')
    objects.create(pinned(make_mmm, objects.namespace))
    eventually(lambda: '"model-2.safetensors", which is missing' in objects.condition("ModelResolved")["message"])
    plain.put("1/model-2.safetensors", b"its shard")
    resolved(objects, "ResolvedWithoutManifest")


def test_auto_follows_them_until_a_version_has_a_manifest(
    objects: Objects, make_mmm: MakeMmm, plain: PlainStore, bucket: Bucket
) -> None:
    objects.create(following(make_mmm, objects.namespace))
    resolved(objects, "ResolvedWithoutManifest")
    wait_until_ready(objects)
    plain.fill("2", write_model(bucket.folder / f"{objects.namespace}-2", "2"))
    eventually(lambda: "2" in objects.deployments(), 2 * NOTICED_SECONDS)
    wait_until_ready(objects, "2")
    digest = bucket.publish(objects.namespace, "3")
    eventually(lambda: "3" in objects.deployments(), NOTICED_SECONDS)
    wait_until_ready(objects, "3")
    model = objects.mmm()["status"]["model"]
    assert (model["current"]["digest"], "unverified" in model["current"]) == (digest, False)
    assert model["previous"]["unverified"] is True
    assert resolved(objects, "Resolved")["status"] == "True"


def test_a_restarted_operator_goes_on_without_a_second_wait(
    objects: Objects, make_mmm: MakeMmm, plain: PlainStore, operator: Operator
) -> None:
    objects.create(pinned(make_mmm, objects.namespace))
    resolved(objects, "ResolvedWithoutManifest")
    wait_until_ready(objects)
    before = objects.mmm()["status"]
    assert operator.end() == 0
    operator.start()
    operator.wait_until_ready()
    objects.patch("MultimodalModel", "clip", {"spec": {"replicas": 2}})
    eventually(lambda: objects.mmm()["status"]["observedGeneration"] == objects.mmm()["metadata"]["generation"])
    found = objects.condition("ModelResolved")
    assert (found["reason"], found["lastTransitionTime"]) == (
        "ResolvedWithoutManifest",
        next(c["lastTransitionTime"] for c in before["conditions"] if c["type"] == "ModelResolved"),
    )
    assert objects.mmm()["status"]["model"]["latest"] == before["model"]["latest"]
