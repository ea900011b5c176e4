"""The HorizontalPodAutoscaler."""

from mmm_operator import names
from mmm_operator.api.scaling import Autoscaling, Metric, ScalingBehavior
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.builders.metadata import build_metadata
from mmm_operator.snapshot import Manifest


def build_autoscaler(mmm: MultimodalModel, autoscaling: Autoscaling) -> Manifest:
    """An HPA on the MultimodalModel itself.

    It writes `spec.replicas` through /scale, so the object stays the only truth and a rollout, which
    swaps Deployments, never resets the size.
    """
    spec: Manifest = {
        "scaleTargetRef": {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": mmm.metadata.name},
        "minReplicas": autoscaling.min_replicas,
        "maxReplicas": autoscaling.max_replicas,
        "metrics": [_build_metric(metric) for metric in autoscaling.metrics],
    }
    if autoscaling.behavior is not None and (behavior := _build_behavior(autoscaling.behavior)):
        spec["behavior"] = behavior
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": build_metadata(mmm.metadata, mmm.metadata.name),
        "spec": spec,
    }


def _build_behavior(behavior: ScalingBehavior) -> Manifest:
    """What is said of each direction; of an empty list of steps nothing, for Kubernetes refuses one."""
    directions = {"scaleUp": behavior.scale_up, "scaleDown": behavior.scale_down}
    said = {
        key: rules.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        for key, rules in directions.items()
        if rules
    }
    return {key: rules for key, rules in said.items() if rules}


def _build_metric(metric: Metric) -> Manifest:
    target = {"type": "Utilization", "averageUtilization": metric.target}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}
