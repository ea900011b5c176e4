"""A new operator over a settled world: other defaults, other builders, and not one pod that restarts."""

import copy
from dataclasses import replace

import pytest

from mmm_operator.api.status import Status
from mmm_operator.builders.built import read_built
from mmm_operator.builders.deployment import rebuild_deployment
from mmm_operator.drift import with_applied_hash
from mmm_operator.plan import Plan
from mmm_operator.planner import plan
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Manifest, revision_id
from tests.unit.operator.core.build import IMAGE, SETTINGS, make_mmm
from tests.unit.operator.core.cluster import Cluster
from tests.unit.operator.core.stored import as_stored

UPGRADES = {
    "another server image": SETTINGS.model_copy(update={"server_image": "registry/server:2.0"}),
    "another drain delay": SETTINGS.model_copy(update={"drain_delay_seconds": 30}),
    "another grace period": SETTINGS.model_copy(update={"grace_seconds": 300}),
    "another pull policy": SETTINGS.model_copy(update={"image_pull_policy": "Always"}),
}


def settled() -> Cluster:
    """Two revisions, of which the second serves with two pods."""
    cluster = Cluster(make_mmm().having(resources={"requests": {"cpu": "1000m"}}).replicas(2))
    cluster.settle()
    cluster.version("2")
    cluster.settle()
    return cluster


def templates(cluster: Cluster) -> dict[str, Manifest]:
    return {revision_id(item): copy.deepcopy(item["spec"]["template"]) for item in cluster.deployments()}


def deployments_of(decided: Plan) -> list[Manifest]:
    return [step.manifest for step in decided.apply if step.manifest["kind"] == "Deployment"]


@pytest.mark.parametrize("settings", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("status_lost", [False, True], ids=["", "status lost"])
def test_an_upgrade_restarts_no_pod(settings: Settings, status_lost: bool) -> None:
    cluster = settled()
    before, pods = templates(cluster), [pod.name for pod in cluster.pods]
    cluster.settings = settings
    if status_lost:
        cluster.lose_status()
    cluster.settle()
    assert templates(cluster) == before
    assert [pod.name for pod in cluster.pods] == pods


@pytest.mark.parametrize("settings", UPGRADES.values(), ids=UPGRADES)
def test_an_upgrade_writes_once_at_most(settings: Settings) -> None:
    cluster = settled()
    cluster.settings = settings
    first = cluster.reconcile()
    assert len(first.apply) <= 1
    assert first.status is None
    assert cluster.reconcile().writes == 0


def as_built_by_an_older_operator(cluster: Cluster) -> Manifest:
    """The Deployment that serves, as if built with a field that this operator does not set any more."""
    ref, live = next((ref, item) for ref, item in cluster.children.items() if item["spec"].get("replicas"))
    built = read_built(live)
    assert built is not None
    template = {**built.template, "spec": {**built.template["spec"], "shareProcessNamespace": True}}
    old = replace(built, template=template, record={})
    manifest = rebuild_deployment(cluster.draft.meta(), live, 2)
    assert manifest is not None
    manifest["metadata"]["annotations"].update(old.annotations())
    manifest["spec"]["template"] = template
    cluster.children[ref] = as_stored(with_applied_hash(manifest), live)
    return cluster.children[ref]


def test_a_template_that_another_operator_built_is_kept() -> None:
    cluster = settled()
    kept = copy.deepcopy(as_built_by_an_older_operator(cluster)["spec"]["template"])
    assert cluster.reconcile().writes == 0
    cluster.settle()
    assert kept in templates(cluster).values()


def test_a_template_that_another_operator_built_is_kept_when_it_serves_no_more() -> None:
    cluster = settled()
    kept = copy.deepcopy(as_built_by_an_older_operator(cluster)["spec"]["template"])
    cluster.version("3")
    cluster.settle()
    assert kept in templates(cluster).values()


def test_an_edited_template_that_another_operator_built_is_restored_with_one_write() -> None:
    cluster = settled()
    live = as_built_by_an_older_operator(cluster)
    before = templates(cluster)
    live["spec"]["template"]["spec"]["shareProcessNamespace"] = False
    assert len(deployments_of(cluster.reconcile())) == 1
    assert templates(cluster) == before
    assert cluster.reconcile().writes == 0


def test_a_template_that_somebody_edited_is_restored() -> None:
    cluster = settled()
    before = templates(cluster)
    live = next(item for item in cluster.deployments() if item["spec"]["replicas"])
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "registry/theirs:1"
    cluster.reconcile()
    assert templates(cluster) == before


def test_a_new_version_gets_the_new_image() -> None:
    cluster = settled()
    cluster.settings = UPGRADES["another server image"]
    cluster.settle()
    assert Status.model_validate(cluster.status).resolved is not None
    cluster.version("3")
    cluster.settle()
    images = {t["spec"]["containers"][0]["image"] for t in templates(cluster).values()}
    assert images == {IMAGE, "registry/server:2.0"}
    assert cluster.sizes() == {cluster.draft.revision("registry/server:2.0").id: 2}


def test_going_back_takes_the_old_image_and_so_the_kept_deployment() -> None:
    cluster = settled()
    cluster.settings = UPGRADES["another server image"]
    cluster.version("1")
    cluster.settle()
    assert len(cluster.deployments()) == 2
    assert cluster.sizes() == {cluster.draft.revision(IMAGE).id: 2}


def test_an_image_in_the_spec_is_obeyed() -> None:
    cluster = settled()
    cluster.draft = cluster.draft.having(runtime={"image": "registry/own:1"}).at_generation(9)
    cluster.settle()
    (running,) = cluster.sizes()
    assert templates(cluster)[running]["spec"]["containers"][0]["image"] == "registry/own:1"


def test_growing_and_shrinking_restarts_no_pod() -> None:
    cluster = settled()
    before = templates(cluster)
    for replicas in (4, 1, 0, 2):
        cluster.replicas(replicas)
        cluster.settle()
        assert templates(cluster) == before


def test_a_revision_that_comes_back_keeps_its_template() -> None:
    """A Deployment that was only resized carries the API server's defaults; building it anew must not restart it."""
    cluster = settled()
    before = templates(cluster)
    cluster.version("1")
    cluster.settle()
    assert templates(cluster) == before
    assert plan(cluster.snapshot(), cluster.settings, cluster.now).writes == 0
    assert deployments_of(cluster.reconcile()) == []
