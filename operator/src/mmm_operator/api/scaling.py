"""When a HorizontalPodAutoscaler changes the number of pods, and how fast."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from mmm_operator.api import rules
from mmm_operator.api.base import LIST_ATOMIC, ApiModel, list_map


class MetricType(StrEnum):
    """What the autoscaler looks at."""

    CPU = "CPU"


class Metric(ApiModel):
    """One thing that the autoscaler looks at."""

    type: MetricType = Field(default=MetricType.CPU, description="CPU: average use, in percent of the request.")
    target: int = Field(default=70, ge=1, le=10000, description="Value that the autoscaler aims for.")


class StepType(StrEnum):
    """What the size of a step counts."""

    PODS = "Pods"
    PERCENT = "Percent"


class StepChoice(StrEnum):
    """Which of several allowed steps is taken."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


class ScalingStep(ApiModel):
    """How far the autoscaler may go within a time."""

    type: StepType = Field(description="Whether `value` counts pods or percent of the pods that run.")
    value: int = Field(ge=1, le=10000, description="Most pods, or percent, to add or take away.")
    period_seconds: int = Field(ge=1, le=1800, description="The time for which that holds.")


class ScalingRules(ApiModel):
    """How the autoscaler moves in one direction."""

    stabilization_window_seconds: int | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="The mildest wish of this long counts. Default: 0 upwards, 300 downwards.",
    )
    select_policy: StepChoice | None = Field(
        default=None, description="Which of `policies` decides; Disabled: no change in this direction. Default: Max."
    )
    policies: tuple[ScalingStep, ...] = Field(
        default=(),
        max_length=8,
        description="Steps that are allowed. Default: Kubernetes' own.",
        json_schema_extra=LIST_ATOMIC,
    )


class ScalingBehavior(ApiModel):
    """How fast the autoscaler moves."""

    scale_up: ScalingRules | None = Field(default=None, description="How it adds pods.")
    scale_down: ScalingRules | None = Field(default=None, description="How it takes pods away.")


class Autoscaling(ApiModel):
    """Let a HorizontalPodAutoscaler write `spec.replicas`."""

    model_config = ConfigDict(json_schema_extra=rules.AUTOSCALING)

    min_replicas: int = Field(default=1, ge=1, le=1000, description="Never fewer pods than this.")
    max_replicas: int = Field(ge=1, le=1000, description="Never more pods than this.")
    metrics: tuple[Metric, ...] = Field(
        default=(Metric(),),
        min_length=1,
        max_length=8,
        description="What to look at.",
        json_schema_extra=list_map("type"),
    )
    behavior: ScalingBehavior | None = Field(
        default=None, description="How fast it moves. Default: Kubernetes' own behaviour."
    )
