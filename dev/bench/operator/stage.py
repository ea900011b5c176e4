"""The world that is measured: a control plane of its own, an S3 server with one published version, the operator."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dev.bench.operator.audit import Trail
from dev.bench.operator.load import Connection, creation, write_all
from dev.bench.operator.objects import NAMESPACE, PROBED
from dev.localcluster import LocalCluster, processes
from dev.localcluster.controlplane import Tuning
from dev.localcluster.s3 import S3Server
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import BUCKET, Bucket
from tests.integration.conftest import established
from tests.integration.objects import eventually
from tests.integration.operator_process import Operator, install_account

CRD = Path(__file__).resolve().parents[3] / "crds" / "multimodalmodels.serving.multimodal.dev.yaml"
# The controllers share the cores with what is measured, but must not be what is waited for.
FLAGS = {
    "kube-controller-manager": (
        "--kube-api-qps=100",
        "--kube-api-burst=200",
        "--horizontal-pod-autoscaler-sync-period=15s",
    ),
    "kube-scheduler": ("--kube-api-qps=100", "--kube-api-burst=200"),
    "kube-apiserver": ("--audit-log-maxsize=4000",),
}
READY_SECONDS = 120.0
PROBE_RULE = {
    "level": "RequestResponse",
    "namespaces": [PROBED],
    "verbs": ["create", "update", "patch"],
    "resources": [
        {"group": group}
        for group in ("", "apps", "autoscaling", "policy", "networking.k8s.io", "serving.multimodal.dev")
    ],
    "omitManagedFields": True,
}


@dataclass
class Stage:
    """Where a phase of the bench takes place."""

    cluster: LocalCluster
    bucket: Bucket
    digest: str
    folder: Path
    trail: Trail

    @property
    def kubeconfig(self) -> Path:
        """The administrator's: who writes the load."""
        return self.cluster.kubeconfig

    @contextmanager
    def operator(self) -> Iterator[Operator]:
        """A running operator with the rights of the chart and its usual settings."""
        operator = Operator(install_account(self.cluster, self.folder), self.folder / "operator.log")
        operator.start()
        try:
            wait_for("readiness", READY_SECONDS, lambda: operator.status_of("/readyz") == 200)
            yield operator
        finally:
            operator.end()


@contextmanager
def open_stage(scheduler: bool = False) -> Iterator[Stage]:
    """A fresh stage, its namespaces with the credentials of the bucket; nothing is left of it afterwards."""
    tuning = Tuning(scheduler=scheduler, flags=FLAGS, audit_rules=(PROBE_RULE,))
    with tempfile.TemporaryDirectory(prefix="bench-") as name, S3Server(Path(name) / "s3") as server:
        folder = Path(name)
        (server.directory / "data" / BUCKET).mkdir(exist_ok=True)
        bucket, cluster = Bucket(server, folder), LocalCluster(folder / "cluster", tuning)
        try:
            digest = bucket.publish("clip", "1")
            cluster.up(node=False)
            _prepare(cluster, bucket)
            trail = Trail(cluster.audit_log)
            yield Stage(cluster, bucket, digest, folder, trail)
            trail.close()
        finally:
            cluster.down()


def _prepare(cluster: LocalCluster, bucket: Bucket) -> None:
    cluster.kubectl("apply", "--server-side", "-f", str(CRD))
    eventually(lambda: established(cluster))
    # The autoscaler learns of new kinds every 30 s only; started anew it knows ours, as it does in any grown cluster.
    processes.stop(cluster.layout.run / "kube-controller-manager")
    cluster.up(node=False)
    connection = Connection(cluster.kubeconfig)
    for namespace in (NAMESPACE, PROBED):
        _post(
            connection, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        )
    connection.close()
    secrets = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s3", "namespace": namespace},
            "stringData": bucket.credentials,
        }
        for namespace in (NAMESPACE, PROBED)
    ]
    write_all(cluster.kubeconfig, [creation(secret) for secret in secrets])


def _post(connection: Connection, where: str, manifest: Manifest) -> None:
    connection.call("POST", where, json.dumps(manifest).encode())


class Patience(RuntimeError):
    """What was waited for did not come in time; the bench is bounded."""


def wait_for(what: str, seconds: float, look: Callable[[], bool], state: Callable[[], str] = str) -> None:
    """Returns when `look` is true, asked twice a second; says every ten seconds how far it is.

    Raises Patience after so many seconds.
    """
    began = told = time.monotonic()
    while not look():
        now = time.monotonic()
        if now - began > seconds:
            raise Patience(f"{what}: not within {seconds:g} s ({state()})")
        if now - told > 10:
            told = now
            print(f"    {what}: {now - began:.0f} s, {state()}", flush=True)
        time.sleep(0.5)
