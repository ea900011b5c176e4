"""What a version without a manifest is called, and one with a manifest is not."""

from tests.unit.operator.core.build import make_deployment, make_snapshot, serving_pods
from tests.unit.operator.core.test_conditions import CLIP, SERVED, WITHOUT_MANIFEST, conditions, settled, status_of


def test_a_version_without_a_manifest_is_served_and_called_unverified() -> None:
    fresh = make_snapshot(CLIP, [make_deployment(CLIP, 2)], serving_pods(CLIP, 2), resolution=WITHOUT_MANIFEST)
    found = conditions(fresh)["ModelResolved"]
    assert (found.status, found.reason) == ("True", "ResolvedWithoutManifest")
    assert "nobody vouches" in found.message
    assert "mmm publish" in found.message
    model = status_of(fresh).model
    assert model.current is not None
    assert model.target is not None
    assert (model.current.unverified, model.target.unverified) == (True, True)


def test_a_version_with_a_manifest_says_nothing_of_that() -> None:
    assert conditions(settled())["ModelResolved"].reason == "Resolved"
    assert "unverified" not in str(SERVED["status"].to_json())
