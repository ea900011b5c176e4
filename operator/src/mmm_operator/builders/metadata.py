"""What every child carries: name, namespace, labels and the owner that it dies with."""

from collections.abc import Mapping

from mmm_operator import names
from mmm_operator.api.v1alpha1 import ObjectMeta
from mmm_operator.snapshot import Manifest


def build_metadata(
    owner: ObjectMeta,
    name: str,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """Metadata of the child `name`; deleting `owner` deletes it, by Kubernetes' garbage collector."""
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": {**(labels or {}), **names.child_labels(owner.name)},
        "annotations": {**(annotations or {}), names.ANNOTATION_OWNER: owner.uid},
        "ownerReferences": [build_owner_reference(owner)],
    }


def build_owner_reference(owner: ObjectMeta) -> Manifest:
    """The controller reference; blockOwnerDeletion is left out, for it needs rights on finalizers."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
    }
