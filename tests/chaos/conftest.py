"""The control plane of the integration tests, with credentials that are easy to recognise wherever they leak to."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dev.localcluster import LocalCluster
from dev.localcluster.controlplane import Tuning
from dev.localcluster.s3 import S3Server
from tests.chaos.canary import ACCESS_KEY, SECRET_KEY, leaks
from tests.chaos.generator.offer import Offer
from tests.chaos.grounds import ground, open_stage, versions
from tests.chaos.report import PROGRESS
from tests.chaos.size import FULL
from tests.chaos.trail import Trail
from tests.chaos.world import Entrance
from tests.integration.bucket import BUCKET, Bucket
from tests.integration.conftest import CRD, account, api, established, make_mmm
from tests.integration.objects import eventually
from tests.integration.operator_process import Operator

__all__ = ["account", "api", "ground", "make_mmm", "open_stage", "versions"]


def pytest_configure(config: pytest.Config) -> None:
    """A full run tells how far it is, past pytest, which would keep that until a test has failed."""
    if FULL:
        PROGRESS.terminal = os.fdopen(os.dup(2), "w")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A control plane that knows MultimodalModels, without a scheduler: there are no nodes."""
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"), Tuning(scheduler=False))
    try:
        cluster.up(node=False)
        cluster.kubectl("apply", "--server-side", "-f", str(CRD))
        eventually(lambda: established(cluster))
        yield cluster
    finally:
        cluster.down()


@pytest.fixture(scope="session")
def entrance(cluster: LocalCluster) -> Entrance:
    """The administrator's way to the API server."""
    return Entrance.of(cluster.kubeconfig)


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """An S3 server with an empty bucket, and credentials that nothing but a Secret may ever hold."""
    folder = tmp_path_factory.mktemp("s3")
    (folder / "server" / "data" / BUCKET).mkdir(parents=True)
    with S3Server(folder / "server", access_key=ACCESS_KEY, secret_key=SECRET_KEY) as server:
        yield Bucket(server, folder)


@pytest.fixture(scope="session")
def offer(bucket: Bucket) -> Offer:
    """What the specs of generated objects may name; a version is published once only."""
    return Offer.publish(bucket)


@pytest.fixture(scope="session")
def trail(cluster: LocalCluster) -> Iterator[Trail]:
    """The operator's writes."""
    with Trail(cluster.audit_log) as trail:
        yield trail


@pytest.fixture(scope="module")
def steady_operator(
    account: Path, api: httpx.Client, trail: Trail, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    """A running operator for a module; at the end nothing in it may have gone wrong, and no secret may have got out."""
    operator = Operator(account, tmp_path_factory.mktemp("operator") / "operator.log")
    operator.start()
    try:
        operator.wait_until_ready()
        yield operator
        leaked = leaks(api, operator)
    finally:
        code = operator.end()
    assert leaked == []
    assert code == 0
    assert [json.dumps(line) for line in operator.complaints()] == []
