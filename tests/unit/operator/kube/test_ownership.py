"""Whose a child is, when somebody took its ownerReferences away."""

import copy

import pytest

from mmm_operator import names
from mmm_operator.kube.observe import sort_out
from mmm_operator.snapshot import Manifest, Ref
from tests.unit.operator.core.build import UID, make_mmm
from tests.unit.operator.core.cluster import Cluster

CLUSTER = Cluster(make_mmm().replicas(2))
CLUSTER.settle()
CHILDREN = list(CLUSTER.children.values())


def abandoned(child: Manifest, *owners: Manifest) -> Manifest:
    return {**child, "metadata": {**child["metadata"], "ownerReferences": list(owners)}}


@pytest.mark.parametrize("child", CHILDREN, ids=lambda child: child["kind"])
def test_a_child_without_a_controller_is_ours_by_its_annotation_and_is_taken_back_with_one_write(
    child: Manifest,
) -> None:
    ours, foreign = sort_out(UID, [abandoned(child)])
    assert (list(ours), foreign) == ([Ref.of(child)], frozenset())
    cluster = copy.deepcopy(CLUSTER)
    cluster.children.update(ours)
    (step,) = cluster.reconcile().apply
    assert not step.create
    assert step.manifest["metadata"]["ownerReferences"] == child["metadata"]["ownerReferences"]
    assert cluster.reconcile().writes == 0


def test_a_child_that_somebody_else_controls_is_theirs_whatever_its_annotation_says() -> None:
    owner = {"kind": "Other", "apiVersion": "v1", "name": "other", "uid": "other", "controller": True}
    ours, foreign = sort_out(UID, [abandoned(CHILDREN[0], owner)])
    assert ours == {}
    assert foreign == {Ref.of(CHILDREN[0])}


def test_a_child_of_a_namesake_that_is_gone_is_not_ours() -> None:
    ours, _ = sort_out("another-uid", [abandoned(child) for child in CHILDREN])
    assert ours == {}


def test_an_object_that_names_no_owner_is_not_ours() -> None:
    child = copy.deepcopy(abandoned(CHILDREN[0]))
    del child["metadata"]["annotations"][names.ANNOTATION_OWNER]
    assert sort_out(UID, [child])[0] == {}
