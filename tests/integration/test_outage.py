"""The API server goes away and comes back; the operator neither dies nor sleeps through it."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from dev.localcluster import LocalCluster, processes
from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import Bucket
from tests.integration.objects import Objects, eventually
from tests.integration.operator_process import Operator

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def digest(bucket: Bucket) -> str:
    return bucket.publish("outage", "1")


@pytest.fixture
def operator(account: Path, tmp_path: Path) -> Iterator[Operator]:
    """An operator that does not run yet; at the end nothing in it may have gone wrong."""
    operator = Operator(account, tmp_path / "operator.log")
    yield operator
    assert operator.end() == 0
    assert operator.complaints() == []


@pytest.fixture
def outage(cluster: LocalCluster) -> Iterator[Callable[[str], None]]:
    """Kills a program of the control plane when called; the end of the test repairs it."""

    def kill(program: str) -> None:
        recorded = processes.read(cluster.layout.run / program)
        assert recorded is not None
        os.kill(recorded.pid, signal.SIGKILL)
        eventually(lambda: not recorded.alive())

    yield kill
    cluster.up(node=False)


def test_the_operator_lives_through_an_outage_of_the_api_server(
    cluster: LocalCluster,
    operator: Operator,
    objects: Objects,
    make_mmm: Callable[..., Manifest],
    outage: Callable[[str], None],
) -> None:
    operator.start()
    operator.wait_until_ready()
    objects.create(make_mmm(model={"uri": "s3://models/outage"}))
    eventually(lambda: objects.list("Deployment"))
    assert operator.process is not None
    before = operator.process.pid
    outage("kube-apiserver")
    assert operator.status_of("/healthz") == 200
    cluster.up(node=False)
    objects.delete("Service", "clip")
    eventually(lambda: objects.get("Service", "clip"), 90)
    objects.create(make_mmm(name="late", model={"uri": "s3://models/outage"}))
    eventually(lambda: objects.get("Service", "late"), 90)
    assert operator.process.pid == before
    assert operator.status_of("/healthz") == 200


def test_an_operator_that_loses_its_kind_waits_for_it(api: httpx.Client, operator: Operator) -> None:
    crd = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{names.PLURAL}.{names.GROUP}"
    definition = api.get(crd).json()
    definition["metadata"] = {"name": definition["metadata"]["name"]}
    definition.pop("status")
    operator.start()
    operator.wait_until_ready()
    api.delete(crd).raise_for_status()
    eventually(lambda: api.get(crd).status_code == 404)
    eventually(lambda: operator.status_of("/readyz") == 503)
    assert operator.status_of("/healthz") == 200
    api.post(crd.rpartition("/")[0], json=definition).raise_for_status()
    eventually(lambda: operator.status_of("/readyz") == 200, 60)


def test_wrong_settings_end_the_operator_with_a_sentence(account: Path, tmp_path: Path) -> None:
    operator = Operator(account, tmp_path / "operator.log", {"MMM_OPERATOR_WORKERS": "many"})
    operator.start()
    assert operator.process is not None
    assert operator.process.wait(timeout=20) == 2
    assert "MMM_OPERATOR_WORKERS" in operator.log.read_text()


def test_an_operator_of_one_namespace_leaves_the_others_alone(
    objects: Objects, api: httpx.Client, operator: Operator, make_mmm: Callable[..., Manifest]
) -> None:
    default = Objects(api, "default")
    default.create(make_mmm(name="elsewhere"))
    operator.environment["MMM_OPERATOR_NAMESPACES"] = objects.namespace
    operator.start()
    operator.wait_until_ready()
    objects.create(make_mmm(model={"uri": "s3://models/outage"}))
    eventually(lambda: objects.list("Deployment"))
    assert default.get("Service", "elsewhere") is None
    default.delete(names.KIND, "elsewhere")
