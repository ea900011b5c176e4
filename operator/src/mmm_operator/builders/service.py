"""The stable Service that applications call."""

from mmm_operator import names
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.builders.metadata import build_metadata
from mmm_operator.snapshot import Manifest


def build_service(mmm: MultimodalModel, only: str = "") -> Manifest:
    """A Service over the ready pods of all revisions, or of the one that alone shall get traffic."""
    service, name = mmm.spec.service, mmm.metadata.name
    selector = names.revision_selector(name, only) if only else names.pod_selector(name)
    metadata = build_metadata(mmm.metadata, name, service.labels, service.annotations)
    return _build(metadata, selector, service.port)


def build_preview(mmm: MultimodalModel, revision: str) -> Manifest:
    """A Service over the ready pods of one revision, which gets no traffic of the stable one."""
    name = mmm.metadata.name
    metadata = build_metadata(mmm.metadata, names.preview_name(name, revision))
    return _build(metadata, names.revision_selector(name, revision), 80)


def _build(metadata: Manifest, selector: dict[str, str], port: int) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": "ClusterIP",
            "selector": selector,
            "ports": [
                {
                    "name": names.PORT_NAME_HTTP,
                    "port": port,
                    "targetPort": names.PORT_NAME_HTTP,
                    "protocol": "TCP",
                }
            ],
        },
    }
