"""A real control plane for all integration tests: etcd, API server, controllers and scheduler, but no node."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dev.localcluster import LocalCluster

CRD = Path(__file__).resolve().parents[2] / "crds/multimodalmodels.serving.multimodal.dev.yaml"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A control plane that knows MultimodalModels."""
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.up(node=False)
        cluster.kubectl("apply", "--server-side", "-f", str(CRD))
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRD))
        yield cluster
    finally:
        cluster.down()


@pytest.fixture(scope="session")
def api(cluster: LocalCluster) -> Iterator[httpx.Client]:
    """The API server, spoken to as its administrator."""
    config = json.loads(cluster.kubeconfig.read_text())
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cafile=server["certificate-authority"])
    context.load_cert_chain(user["client-certificate"], user["client-key"])
    with httpx.Client(base_url=server["server"], verify=context, timeout=30) as client:
        yield client
