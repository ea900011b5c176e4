"""What the operator may do is what it does: nothing is forbidden to it, and nothing is granted in vain."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

import pytest

from dev.localcluster import LocalCluster
from mmm_operator import names
from mmm_operator.rbac import OPERATOR
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import Bucket
from tests.integration.objects import Objects, eventually
from tests.integration.operator_process import Audit, Operator

pytestmark = pytest.mark.integration

Right = tuple[str, str, str]
GRANTED: set[Right] = {(grant.group, grant.resource, verb) for grant in OPERATOR for verb in grant.verbs}
CLAIM = {"type": "PersistentVolumeClaim", "claimTemplate": {"size": "1Gi"}}


def used_rights(entries: Iterator[Manifest]) -> set[Right]:
    """The rights that the API server checked; an apply of something new needs two."""
    used = set()
    for entry in entries:
        target = entry.get("objectRef", {})
        if "resource" in target:
            resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
            used.add((target.get("apiGroup", ""), resource, entry["verb"]))
            if entry["verb"] == "patch" and entry.get("responseStatus", {}).get("code") == 201:
                used.add((target.get("apiGroup", ""), resource, "create"))
    return used


@dataclass(frozen=True)
class Life:
    """The namespace of a model, and where its operator's part of the audit log begins."""

    namespace: str
    since: int


@pytest.fixture(scope="module")
def beginning(cluster: LocalCluster) -> int:
    """The end of the audit log before this module's operator starts: others met outages, and were refused then."""
    return Audit(cluster.audit_log).now()


@pytest.fixture(scope="module")
def full_life(
    beginning: int, operator: Operator, objects_of_module: Objects, make_mmm: Callable[..., Manifest], bucket: Bucket
) -> Life:
    """A model that went through everything that makes the operator write."""
    objects = objects_of_module
    for version in ("1", "2"):
        bucket.publish("rights", version)
    scaling = {"minReplicas": 2, "maxReplicas": 3}
    model = {"uri": "s3://models/rights"}
    objects.create(make_mmm(model=model, replicas=2, autoscaling=scaling, cache=CLAIM, revisionHistoryLimit=0))
    eventually(lambda: objects.make_pods_ready() == 2)
    eventually(lambda: objects.condition("Ready")["status"] == "True")
    change = {
        "replicas": 1,
        "autoscaling": None,
        "model": {"version": "2"},
        "cache": {"claimTemplate": {"size": "2Gi"}},
    }
    objects.patch(names.KIND, "clip", {"spec": change})

    def only_the_new_is_left() -> bool:
        objects.make_pods_ready()
        gone = [objects.get(kind, "clip") for kind in ("HorizontalPodAutoscaler", "PodDisruptionBudget")]
        return not any(gone) and objects.deployments().keys() == {"2"}

    eventually(only_the_new_is_left, 60)
    return Life(objects.namespace, beginning)


def test_nothing_that_the_operator_does_is_forbidden(full_life: Life, audit: Audit) -> None:
    forbidden = [
        f"{entry['verb']} {entry['requestURI']}"
        for entry in audit.requests(full_life.since)
        if entry["annotations"].get("authorization.k8s.io/decision") == "forbid"
    ]
    assert forbidden == []


def test_nothing_is_granted_that_the_operator_does_not_use(full_life: Life, audit: Audit) -> None:
    assert GRANTED - used_rights(audit.requests(full_life.since)) == set()


def test_children_are_watched_by_their_label(full_life: Life, audit: Audit) -> None:
    watches = {
        entry["objectRef"]["resource"]: entry["requestURI"]
        for entry in audit.requests(full_life.since)
        if entry["verb"] == "watch"
    }
    assert set(watches) > {"deployments", "pods", "services"}
    own = watches.pop(names.PLURAL)
    assert "labelSelector" not in own
    for resource, request in watches.items():
        assert "labelSelector=app.kubernetes.io/managed-by=mmm-operator" in unquote(request), resource


def test_secrets_are_read_by_name_only(full_life: Life, audit: Audit) -> None:
    reads = {
        (entry["verb"], entry["objectRef"].get("name"))
        for entry in audit.requests(full_life.since, full_life.namespace)
        if entry.get("objectRef", {}).get("resource") == "secrets"
    }
    assert reads == {("get", "s3")}
