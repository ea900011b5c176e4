"""The stable Service that applications call."""

from mmm_operator import names
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.builders.metadata import build_metadata
from mmm_operator.snapshot import Manifest


def build_service(mmm: MultimodalModel) -> Manifest:
    """A Service over the ready pods of all revisions: which of them run is the rollout's business."""
    service = mmm.spec.service
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": build_metadata(mmm.metadata, mmm.metadata.name, service.labels, service.annotations),
        "spec": {
            "type": "ClusterIP",
            "selector": names.pod_selector(mmm.metadata.name),
            "ports": [
                {
                    "name": names.PORT_NAME_HTTP,
                    "port": service.port,
                    "targetPort": names.PORT_NAME_HTTP,
                    "protocol": "TCP",
                }
            ],
        },
    }
