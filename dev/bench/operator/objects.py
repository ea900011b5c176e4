"""What the bench makes: autoscaled MultimodalModels, and the same children written by somebody else."""

import datetime as dt
from collections.abc import Iterator

from mmm_operator import names
from mmm_operator.offline.forecast import forecast
from mmm_operator.offline.state import State
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key, Manifest
from tests.integration.bucket import BUCKET
from tests.integration.operator_process import SERVER_IMAGE

NAMESPACE = "bench"
# The answers of the API server about the objects in here are recorded too: they show writes that changed nothing.
PROBED = "bench-probed"
PROBES = 20


def build_objects(count: int, storage: Manifest) -> Iterator[Manifest]:
    """So many MultimodalModels, all of the same published version; the first twenty in the namespace that is probed."""
    for number in range(count):
        yield {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": f"clip-{number}", "namespace": PROBED if number < PROBES else NAMESPACE},
            "spec": {
                "model": {"uri": f"s3://{BUCKET}/clip", "version": "1"},
                "storage": storage,
                "autoscaling": {"minReplicas": 1, "maxReplicas": 5, "metrics": [{"type": "CPU", "target": 70}]},
            },
        }


def build_children(raw: Manifest, digest: str) -> list[Manifest]:
    """The children that the operator's first plan creates for an object, without their owner, whom nobody creates."""
    key = Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
    settings = Settings(server_image=SERVER_IMAGE)
    found = forecast(key, raw, State(), digest, settings, dt.datetime.now(dt.UTC))
    return [_orphan(step.manifest) for step in found.plan.apply]


def _orphan(manifest: Manifest) -> Manifest:
    meta = {key: part for key, part in manifest["metadata"].items() if key != "ownerReferences"}
    return {**manifest, "metadata": meta}
