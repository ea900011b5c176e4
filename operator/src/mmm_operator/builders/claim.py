"""The PersistentVolumeClaim of the model cache."""

from mmm_operator import names
from mmm_operator.api.storage import ClaimTemplate
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.builders.metadata import build_metadata
from mmm_operator.snapshot import Manifest


def build_claim(mmm: MultimodalModel, template: ClaimTemplate) -> Manifest:
    """The claim that `cache.claimTemplate` describes; it goes away with the MultimodalModel."""
    spec: Manifest = {
        "accessModes": [template.access_mode.value],
        "resources": {"requests": {"storage": str(template.size)}},
    }
    if template.storage_class_name is not None:
        spec["storageClassName"] = template.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": build_metadata(mmm.metadata, names.claim_name(mmm.metadata.name)),
        "spec": spec,
    }
