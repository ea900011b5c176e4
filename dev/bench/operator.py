"""The real operator process against a real API server without nodes."""

import json
import tempfile
import time
from pathlib import Path

from dev.bench.report import Figure, resident_megabytes
from dev.localcluster import LocalCluster
from dev.localcluster.s3 import S3Server
from tests.integration.bucket import BUCKET, Bucket
from tests.integration.operator_process import NAMESPACE, Audit, Operator, install_account

CRD = Path(__file__).resolve().parents[2] / "crds" / "multimodalmodels.serving.multimodal.dev.yaml"
RESYNC_SECONDS = 10


def measure(seconds: float, objects: int = 20) -> dict[str, Figure]:
    """Memory, writes at rest, and what a look at an unchanged object costs."""
    with tempfile.TemporaryDirectory() as folder, S3Server(Path(folder) / "s3") as server:
        (server.directory / "data" / BUCKET).mkdir(exist_ok=True)
        bucket, cluster = Bucket(server, Path(folder)), LocalCluster(Path(folder) / "cluster")
        try:
            cluster.up(node=False)
            return _measure(cluster, bucket, Path(folder), seconds, objects)
        finally:
            cluster.down()


def _measure(cluster: LocalCluster, bucket: Bucket, folder: Path, seconds: float, objects: int) -> dict[str, Figure]:
    cluster.kubectl("apply", "--server-side", "-f", str(CRD))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRD))
    environment = {"MMM_OPERATOR_RESYNC_SECONDS": str(RESYNC_SECONDS)}
    operator = Operator(install_account(cluster, folder), folder / "operator.log", environment)
    bucket.publish("clip", "1")
    operator.start()
    operator.wait_until_ready()
    try:
        assert operator.process is not None
        empty = resident_megabytes(operator.process.pid)
        _create(cluster, bucket, objects)
        _settle(operator)
        audit, written = Audit(cluster.audit_log), cluster.audit_log.stat().st_size
        count, spent = (operator.metric(f"mmm_operator_reconcile_seconds_{part}") for part in ("count", "sum"))
        time.sleep(max(seconds, 2 * RESYNC_SECONDS))
        looks = operator.metric("mmm_operator_reconcile_seconds_count") - count
        cost = operator.metric("mmm_operator_reconcile_seconds_sum") - spent
        writes = sum(1 for request in audit.requests(written) if request["verb"] in ("create", "patch", "delete"))
        return {
            "memory, no objects": Figure(empty, "MiB", "lower", 100),
            f"memory, {objects} objects": Figure(resident_megabytes(operator.process.pid), "MiB", "lower", 100),
            f"writes at rest, {objects} objects": Figure(writes, "writes", "lower", 0),
            "a look at an unchanged object": Figure(1000 * cost / max(1, looks), "ms", "lower", 50),
        }
    finally:
        operator.end()


def _create(cluster: LocalCluster, bucket: Bucket, objects: int) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3"}, "stringData": bucket.credentials}
    spec = {"model": {"uri": f"s3://{BUCKET}/clip", "version": "1"}, "storage": bucket.storage}
    kind = {"apiVersion": "serving.multimodal.dev/v1alpha1", "kind": "MultimodalModel", "spec": spec}
    models = [{**kind, "metadata": {"name": f"clip-{number}"}} for number in range(objects)]
    listed = {"apiVersion": "v1", "kind": "List", "items": [secret, *models]}
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=json.dumps(listed))


def _settle(operator: Operator) -> None:
    """Return once ten seconds passed without a write."""
    before = -1.0
    while (now := operator.metric("mmm_operator_writes_total")) != before or now == 0:
        before = now
        time.sleep(10)
