"""Models on claims and in images: mounted where the server looks, read-only, checked in place, never copied."""

import pytest

from mmm_operator import names
from mmm_operator.planner import UNSEEN_SECONDS, plan
from mmm_operator.snapshot import Manifest
from tests.unit.operator.core.build import NOW, SETTINGS, Draft, digest_of, make_mmm, make_snapshot
from tests.unit.operator.core.children import children_of, container_of, environment_of, pod_of, shared_claim
from tests.unit.operator.core.test_prefetch import together

DIGEST = digest_of("1")
PLACE = f"/models/{DIGEST.removeprefix('sha256:')}"
ON_CLAIM = make_mmm().having(model={"uri": "pvc://shared/team/clip", "digest": DIGEST})
IN_IMAGE = make_mmm().having(model={"uri": "oci://registry.example:5000/team/clip", "digest": DIGEST})


def volume_of(draft: Draft) -> Manifest:
    found: Manifest = next(v for v in pod_of(draft)["spec"]["volumes"] if v["name"] == names.VOLUME_MODELS)
    return found


def mounts_of(draft: Draft) -> list[Manifest]:
    """How fetcher and server mount the model."""
    containers = (container_of(draft, name) for name in (names.CONTAINER_FETCHER, names.CONTAINER_SERVER))
    return [next(m for m in item["volumeMounts"] if m["name"] == names.VOLUME_MODELS) for item in containers]


def test_a_version_on_a_claim() -> None:
    assert volume_of(ON_CLAIM)["persistentVolumeClaim"] == {"claimName": "shared", "readOnly": True}
    mount = {"name": "models", "mountPath": PLACE, "readOnly": True, "subPath": "team/clip/1"}
    assert mounts_of(ON_CLAIM) == [mount, mount]
    (at_the_top, _) = mounts_of(ON_CLAIM.having(model={"uri": "pvc://shared"}))
    assert at_the_top["subPath"] == "1"


def test_a_version_in_an_image() -> None:
    assert volume_of(IN_IMAGE)["image"] == {"reference": "registry.example:5000/team/clip:1"}
    mount = {"name": "models", "mountPath": PLACE, "readOnly": True}
    assert mounts_of(IN_IMAGE) == [mount, mount]
    pulled = IN_IMAGE.having(runtime={"imagePullPolicy": "Always"})
    assert volume_of(pulled)["image"]["pullPolicy"] == "Always"


@pytest.mark.parametrize("draft", [ON_CLAIM, IN_IMAGE], ids=["claim", "image"])
def test_it_is_checked_and_nothing_is_fetched(draft: Draft) -> None:
    found = environment_of(draft, names.CONTAINER_FETCHER)
    assert found["MMM_MODEL_IN_PLACE"] == "true"
    assert "MMM_SOURCE_URI" not in found
    assert found["MMM_MODEL_DIGEST"] == DIGEST
    assert {"Job", "PersistentVolumeClaim"} & children_of(draft).keys() == set()


@pytest.mark.parametrize(("mode", "one_node"), [("ReadWriteOnce", True), ("ReadOnlyMany", False)])
def test_a_claim_that_one_node_can_mount_is_used_on_one_node(mode: str, one_node: bool) -> None:
    made = plan(make_snapshot(ON_CLAIM, claim=shared_claim(mode)), SETTINGS, NOW).apply
    template = next(step.manifest["spec"]["template"] for step in made if step.manifest["kind"] == "Deployment")
    assert bool(together(template)) is one_node


def test_before_the_claim_is_there_nothing_is_built() -> None:
    found = plan(make_snapshot(ON_CLAIM), SETTINGS, NOW)
    assert "Deployment" not in {step.manifest["kind"] for step in found.apply}
    assert found.requeue_after == UNSEEN_SECONDS, "claims of users are not watched"
    assert found.status is not None
    ready = next(item for item in found.status.conditions if item.type == "Ready")
    assert (ready.reason, "no claim shared" in ready.message) == ("VolumeFailed", True)


def test_it_says_that_the_pods_check() -> None:
    status = plan(make_snapshot(IN_IMAGE), SETTINGS, NOW).status
    assert status is not None
    found = {item.type: item for item in status.conditions}
    assert (found["ModelResolved"].status, found["ModelResolved"].reason) == ("True", "Resolved")
    assert "each pod checks" in found["ModelResolved"].message
    assert {"UpdateAvailable", "ModelCached"} & found.keys() == set()


def test_another_place_is_another_revision() -> None:
    drafts = [ON_CLAIM, IN_IMAGE, make_mmm(), ON_CLAIM.having(model={"uri": "pvc://shared/other"})]
    assert len({draft.revision().id for draft in drafts}) == len(drafts)
