"""A cluster without node: there when asked for, repaired when damaged, gone when told to go."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.localcluster import LocalCluster, processes
from dev.localcluster.deadline import Deadline
from dev.localcluster.layout import node_address
from dev.tools.pins import REPOSITORY

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A running cluster without node."""
    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"))
    cluster.up(node=False)
    yield cluster
    cluster.down()


def pids(cluster: LocalCluster) -> dict[str, int | None]:
    return {part.name: part.pid for part in cluster.status()}


def kill(cluster: LocalCluster, name: str) -> None:
    recorded = processes.read(cluster.layout.run / name)
    assert recorded is not None
    os.kill(recorded.pid, signal.SIGKILL)
    assert Deadline.met(lambda: not recorded.alive(), 10)


def works(cluster: LocalCluster) -> bool:
    return cluster.kubectl("get", "namespace", "default", "-o=name").strip() == "namespace/default"


def test_second_up_changes_nothing(cluster: LocalCluster) -> None:
    before = pids(cluster)
    cluster.up(node=False)
    assert pids(cluster) == before
    assert cluster.healthy()


@pytest.mark.parametrize("name", ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"])
def test_up_repairs_a_cluster_that_lost_a_program_and_keeps_its_objects(cluster: LocalCluster, name: str) -> None:
    cluster.kubectl("create", "configmap", f"before-{name}")
    kill(cluster, name)
    assert not cluster.healthy()
    cluster.up(node=False)
    assert cluster.healthy()
    assert cluster.kubectl("get", "configmap", f"before-{name}", "-o=name").strip() == f"configmap/before-{name}"


def test_up_repairs_a_cluster_whose_api_server_hangs(cluster: LocalCluster) -> None:
    recorded = processes.read(cluster.layout.run / "kube-apiserver")
    assert recorded is not None
    os.kill(recorded.pid, signal.SIGSTOP)
    assert not cluster.healthy()
    cluster.up(node=False)
    assert works(cluster)


def test_audit_log_says_who_did_what(cluster: LocalCluster) -> None:
    cluster.kubectl("create", "configmap", "audited")

    def seen() -> bool:
        whole = cluster.audit_log.read_text().rpartition("\n")[0]  # the last line may be being written
        lines = [json.loads(line) for line in whole.splitlines()]
        return any(
            line["verb"] == "create"
            and line["user"].get("username") == "kubernetes-admin"
            and line["objectRef"].get("name") == "audited"
            and line["annotations"]["authorization.k8s.io/decision"] == "allow"
            for line in lines
            if "objectRef" in line
        )

    assert Deadline.met(seen, 10)


def test_pod_security_is_enforced(cluster: LocalCluster) -> None:
    cluster.kubectl("create", "namespace", "strict")
    cluster.kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
    # Until the namespace has its service account, that is what pods are refused for.
    account = ("get", "serviceaccount", "default", "--namespace=strict", "--ignore-not-found")
    assert Deadline.met(lambda: "default" in cluster.kubectl(*account), 10)
    with pytest.raises(Exception, match="violates PodSecurity"):
        cluster.kubectl("run", "root", "--image=localhost/any:1", "--namespace=strict")


def end_in_the_middle(cluster: LocalCluster, progress: str) -> None:
    """An `up` that is killed as soon as it has come so far."""
    command = [sys.executable, "-m", "dev.localcluster", "up", "--no-node", "--state", str(cluster.state)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as up:
        assert Deadline.met((cluster.state / progress).exists, 60)
        up.kill()


def test_a_second_cluster_comes_up_after_killed_ups_beside_the_first_and_goes_alone(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    other = LocalCluster(tmp_path / "other")
    try:
        for progress in ("run/etcd", "run/kube-controller-manager"):
            end_in_the_middle(other, progress)
        other.up(node=False)
        assert works(other)
        other.kubectl("create", "namespace", "only-here")
        assert "only-here" not in cluster.kubectl("get", "namespaces", "-o=name")
        recorded = processes.living(other.layout.run)
    finally:
        other.down()
    assert len(recorded) == 4
    assert not any(process.alive() for process in recorded.values())
    assert not other.state.exists()
    assert cluster.healthy()


def test_a_cluster_that_cannot_be_repaired_is_made_anew_and_says_why(
    cluster: LocalCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.kubectl("create", "configmap", "lost")
    kill(cluster, "etcd")
    (cluster.state / "etcd/member/snap/db").write_bytes(b"no database")
    cluster.up(node=False)
    assert works(cluster)
    assert capsys.readouterr().err.count("could not be repaired: etcd did not come up") == 2
    assert "lost" not in cluster.kubectl("get", "configmaps", "-o=name")


def test_cluster_of_an_earlier_boot_is_made_anew(cluster: LocalCluster) -> None:
    cluster.kubectl("create", "namespace", "old")
    (cluster.state / "boot").write_text("00000000-0000-0000-0000-000000000000")
    cluster.up(node=False)
    assert "old" not in cluster.kubectl("get", "namespaces", "-o=name")


def test_down_of_nothing_is_nothing(tmp_path: Path) -> None:
    LocalCluster(tmp_path / "never").down()
    assert not (tmp_path / "never").exists()


def test_node_address_is_no_loopback() -> None:
    assert not node_address().startswith("127.")
