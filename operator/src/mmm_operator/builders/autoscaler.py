"""The HorizontalPodAutoscaler."""

from mmm_operator import names
from mmm_operator.api.v1alpha1 import Autoscaling, Metric, MultimodalModel
from mmm_operator.builders.metadata import build_metadata
from mmm_operator.snapshot import Manifest


def build_autoscaler(mmm: MultimodalModel, autoscaling: Autoscaling) -> Manifest:
    """An HPA on the MultimodalModel itself.

    It writes `spec.replicas` through /scale, so the object stays the only truth and a rollout, which
    swaps Deployments, never resets the size.
    """
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": build_metadata(mmm.metadata, mmm.metadata.name),
        "spec": {
            "scaleTargetRef": {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": mmm.metadata.name},
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": [_build_metric(metric) for metric in autoscaling.metrics],
        },
    }


def _build_metric(metric: Metric) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": metric.target}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}
