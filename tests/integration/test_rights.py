"""What the operator may do is what it does: nothing is forbidden to it, and nothing is granted in vain.

`test_each_right` looks at the same right by right, in the mode with namespaces.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

from dev.localcluster import LocalCluster
from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import Bucket
from tests.integration.limited import EVERYTHING, LESS, OPTIONAL
from tests.integration.objects import Objects, eventually
from tests.integration.operator_process import GRANTED, OPERATORS, Audit, Operator, allowed, forbidden, used_rights

pytestmark = pytest.mark.integration


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
    objects.create(make_mmm(model={"uri": "s3://models/rights"}, **EVERYTHING))
    eventually(lambda: objects.make_pods_ready() == 2)
    eventually(lambda: objects.condition("Ready")["status"] == "True")
    objects.patch(names.KIND, "clip", {"spec": {**LESS, "model": {"version": "2"}}})

    def only_the_new_is_left() -> bool:
        objects.make_pods_ready()
        return not any(objects.get(kind, "clip") for kind in OPTIONAL) and objects.deployments().keys() == {"2"}

    eventually(only_the_new_is_left, 60)
    return Life(objects.namespace, beginning)


def test_nothing_that_the_operator_does_is_forbidden(full_life: Life, audit: Audit) -> None:
    refused = [
        f"{entry['verb']} {entry['requestURI']}" for entry in audit.requests(full_life.since) if forbidden(entry)
    ]
    assert refused == []


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


@pytest.mark.last
def test_all_tests_together_used_what_is_granted_and_asked_for_nothing_else(
    request: pytest.FixtureRequest, cluster: LocalCluster
) -> None:
    """Over the whole audit log; what no test used counts only when all modules ran."""
    entries = list(Audit(cluster.audit_log, OPERATORS).requests())
    asked, used = used_rights(entries), used_rights(filter(allowed, entries))
    assert asked - GRANTED == set()
    unused = GRANTED - used
    ran = {item.path.name for item in request.session.items}
    if ran >= {path.name for path in Path(__file__).parent.glob("test_*.py")} and not request.session.testsfailed:
        assert unused == set()
    elif unused:
        pytest.skip(f"not all modules ran; these did not use {sorted(unused)}")
