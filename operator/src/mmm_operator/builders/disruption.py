"""The PodDisruptionBudget."""

from mmm_operator import names
from mmm_operator.api.v1alpha1 import MultimodalModel, Spec
from mmm_operator.builders.metadata import build_metadata
from mmm_operator.snapshot import Manifest


def needs_disruption_budget(spec: Spec) -> bool:
    """Whether more than one pod may run; a budget over one pod would only block node drains."""
    return (spec.autoscaling.max_replicas if spec.autoscaling else spec.replicas) > 1


def build_disruption_budget(mmm: MultimodalModel) -> Manifest:
    """A budget that lets evictions take one pod at a time, and always those that serve nobody."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": build_metadata(mmm.metadata, mmm.metadata.name),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": names.pod_selector(mmm.metadata.name)},
        },
    }
