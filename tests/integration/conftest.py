"""A real control plane for all integration tests: etcd, API server, controllers and scheduler, but no node."""

import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.localcluster import LocalCluster
from dev.localcluster.s3 import S3Server
from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import BUCKET, Bucket
from tests.integration.objects import Objects, eventually, new_namespace
from tests.integration.operator_process import Audit, Operator, install_account

CRD = Path(__file__).resolve().parents[2] / "crds/multimodalmodels.serving.multimodal.dev.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks back at all other tests comes last."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A control plane that knows MultimodalModels."""
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.up(node=False)
        cluster.kubectl("apply", "--server-side", "-f", str(CRD))
        eventually(lambda: established(cluster))
        yield cluster
    finally:
        cluster.down()


def established(cluster: LocalCluster) -> bool:
    """Whether the API server serves the kind; `kubectl wait` would fail as long as there are no conditions at all."""
    status = json.loads(cluster.kubectl("get", "-f", str(CRD), "-o", "json")).get("status", {})
    return any((item["type"], item["status"]) == ("Established", "True") for item in status.get("conditions") or ())


@pytest.fixture(scope="session")
def api(cluster: LocalCluster) -> Iterator[httpx.Client]:
    """The API server, spoken to as its administrator."""
    config = json.loads(cluster.kubeconfig.read_text())
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cafile=server["certificate-authority"])
    context.load_cert_chain(user["client-certificate"], user["client-key"])
    with httpx.Client(base_url=server["server"], verify=context, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """An S3 server with an empty bucket."""
    folder = tmp_path_factory.mktemp("s3")
    (folder / "server" / "data" / BUCKET).mkdir(parents=True)
    with S3Server(folder / "server") as server:
        yield Bucket(server, folder)


@pytest.fixture(scope="session")
def account(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kubeconfig of the operator's own ServiceAccount."""
    return install_account(cluster, tmp_path_factory.mktemp("account"))


@pytest.fixture(scope="module")
def operator(account: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A running operator for all tests of a module; at the end nothing in it may have gone wrong."""
    operator = Operator(account, tmp_path_factory.mktemp("operator") / "operator.log")
    operator.start()
    try:
        operator.wait_until_ready()
        yield operator
    finally:
        code = operator.end()
    assert code == 0
    assert operator.complaints() == []


@pytest.fixture
def audit(cluster: LocalCluster) -> Audit:
    """The API server's record of what the operator did."""
    return Audit(cluster.audit_log)


@pytest.fixture
def objects(api: httpx.Client, bucket: Bucket) -> Iterator[Objects]:
    """A new namespace that holds the credentials of the bucket."""
    with new_namespace(api, bucket.credentials) as objects:
        yield objects


@pytest.fixture(scope="module")
def objects_of_module(api: httpx.Client, bucket: Bucket) -> Iterator[Objects]:
    """The same for all tests of a module."""
    with new_namespace(api, bucket.credentials) as objects:
        yield objects


@pytest.fixture(scope="session")
def make_mmm(bucket: Bucket) -> Callable[..., Manifest]:
    """Builds a MultimodalModel that serves a version from the bucket."""

    def make(version: str = "1", name: str = "clip", **spec: Any) -> Manifest:
        model = {"uri": f"s3://{BUCKET}/clip", "version": version, "pollIntervalSeconds": 5}
        return {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": name},
            "spec": {
                "model": {**model, **spec.pop("model", {})},
                "storage": {**bucket.storage, **spec.pop("storage", {})},
                **spec,
            },
        }

    return make
