"""Whatever somebody does to a child, one write undoes it, and nothing more is written."""

import base64
import copy
import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mmm_operator import names
from mmm_operator.builders.built import MOST_BYTES, read_built
from mmm_operator.snapshot import Manifest, Ref
from tests.unit.operator.core.build import make_mmm
from tests.unit.operator.core.cluster import Cluster
from tests.unit.operator.core.test_drift import Path, at, leaves, other, put

# What makes an object another object, or what the API server lets nobody change.
FIXED = ("apiVersion", "kind", "name", "namespace", "uid", "creationTimestamp", "generation", "resourceVersion")
IMMUTABLE = {"Deployment": {("spec", "selector")}, "Job": {("spec", "template"), ("spec", "completions")}}


def settled() -> Cluster:
    """An old and a serving revision, with every other kind of child."""
    cache = {"type": "PersistentVolumeClaim", "claimTemplate": {"size": "1Gi"}}
    draft = make_mmm().replicas(2).autoscaled(1, 4).having(cache=cache, rollout={"minReadySeconds": 1})
    cluster = Cluster(draft)
    cluster.settle()
    cluster.version("2")
    cluster.settle()
    return cluster


CLUSTER = settled()
CHILDREN = sorted(CLUSTER.children)


def managed(desired: Manifest, live: Manifest) -> Iterator[Path]:
    """The path of every field of `live` that we set."""
    for path in leaves(desired):
        identity = path[0] not in ("metadata", "spec") or (path[0] == "metadata" and path[1] in FIXED)
        immutable = IMMUTABLE.get(desired["kind"], ())
        if not identity and path[:2] not in immutable and present(live, path):
            yield path


def present(value: Any, path: Path) -> bool:
    try:
        at(value, path)
    except (KeyError, IndexError):
        return False
    return True


def applied(ref: Ref) -> Manifest:
    """The child as the operator applies it, when it has to."""
    cluster = copy.deepcopy(CLUSTER)
    cluster.children[ref]["metadata"]["labels"] = {}
    (step,) = cluster.reconcile().apply
    return step.manifest


@pytest.mark.parametrize("ref", CHILDREN, ids=str)
def test_an_edit_of_any_field_of_any_child_is_undone_by_one_write(ref: Ref) -> None:
    fields = list(managed(applied(ref), CLUSTER.children[ref]))
    assert len(fields) > 8
    for path in fields:
        live = CLUSTER.children[ref]
        check_repaired(ref, put(live, path, other(at(live, path))), path)


@pytest.mark.parametrize("ref", CHILDREN, ids=str)
@pytest.mark.parametrize("field", ["labels", "annotations", "ownerReferences"])
def test_metadata_that_somebody_took_away_comes_back_with_one_write(ref: Ref, field: str) -> None:
    check_repaired(ref, put(CLUSTER.children[ref], ("metadata", field), None), ("metadata", field))


def check_repaired(ref: Ref, edited: Manifest, path: Path) -> None:
    cluster = replace(CLUSTER, children={**CLUSTER.children, ref: edited})
    written = cluster.reconcile()
    assert [Ref.of(step.manifest) for step in written.apply] == [ref], path
    assert written.delete == ()
    assert essence(cluster.children[ref]) == essence(CLUSTER.children[ref]), path
    assert cluster.reconcile().apply == (), path


def essence(child: Manifest) -> Manifest:
    """A child without what changes with every write, and without the record, which may say the same in other words."""
    meta = {key: value for key, value in child["metadata"].items() if key not in ("generation", "annotations")}
    records = (names.ANNOTATION_BUILT, names.ANNOTATION_TEMPLATE, names.ANNOTATION_APPLIED)
    kept = {key: value for key, value in child["metadata"]["annotations"].items() if key not in records}
    return {**child, "metadata": {**meta, "annotations": kept}}


# What a Deployment says it was built with.


def serving() -> Manifest:
    live = next(item for item in CLUSTER.deployments() if item["spec"]["replicas"])
    return copy.deepcopy(live)


def packed(content: Any) -> dict[str, str]:
    """The annotations that would prove `content`."""
    return proven(base64.b64encode(zlib.compress(json.dumps(content).encode(), 1)).decode())


def proven(text: str) -> dict[str, str]:
    proof = hashlib.sha256(text.encode()).hexdigest()[:16]
    return {names.ANNOTATION_BUILT: text, names.ANNOTATION_TEMPLATE: proof}


def test_a_deployment_says_what_it_was_built_with() -> None:
    live = serving()
    built = read_built(live)
    assert built is not None
    assert (built.min_ready_seconds, built.progress_deadline_seconds) == (1, 900)
    image = built.template["spec"]["containers"][0]["image"]
    assert image == live["spec"]["template"]["spec"]["containers"][0]["image"]


def test_the_same_content_in_other_bytes_is_left_as_it_is() -> None:
    live = serving()
    content = json.loads(zlib.decompress(base64.b64decode(live["metadata"]["annotations"][names.ANNOTATION_BUILT])))
    live["metadata"]["annotations"].update(packed(content))
    assert live["metadata"] != serving()["metadata"]
    cluster = copy.deepcopy(CLUSTER)
    cluster.children[Ref.of(live)] = live
    assert cluster.reconcile().writes == 0


@pytest.mark.parametrize(
    "annotations",
    [
        proven("not base64!"),
        proven(base64.b64encode(b"not packed").decode()),
        proven(base64.b64encode(zlib.compress(b" " * MOST_BYTES + b"{}")).decode()),
        {names.ANNOTATION_TEMPLATE: "0123456789abcdef"},
        packed([]),
        packed({"template": 1}),
        packed({"template": {"metadata": {"labels": {names.LABEL_REVISION: "ffffffff"}}}}),
    ],
    ids=["no base64", "not packed", "too much", "another hash", "a list", "no template", "of another revision"],
)
def test_what_was_edited_is_not_believed(annotations: dict[str, str]) -> None:
    live = serving()
    live["metadata"]["annotations"].update(annotations)
    assert read_built(live) is None
    check_repaired(Ref.of(live), live, ("metadata", "annotations"))


def test_an_old_deployment_whose_record_was_destroyed_is_taken_as_it_is() -> None:
    live = next(item for item in CLUSTER.deployments() if not item["spec"]["replicas"])
    cluster = copy.deepcopy(CLUSTER)
    cluster.children[Ref.of(live)] = put(live, ("metadata", "annotations", names.ANNOTATION_BUILT), None)
    assert cluster.reconcile().writes == 1
    taken = read_built(cluster.children[Ref.of(live)])
    assert taken is not None
    assert taken.template == live["spec"]["template"]
    assert cluster.reconcile().writes == 0
