"""How a change reaches traffic: `spec.rollout`."""

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from mmm_operator.api import rules
from mmm_operator.api.base import LIST_ATOMIC, ApiModel


class RolloutType(StrEnum):
    """How the new revision takes over from the old one."""

    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"
    BLUE_GREEN = "BlueGreen"
    CANARY = "Canary"
    HOT_SWAP = "HotSwap"


class WhenNoCapacity(StrEnum):
    """What to do when there is no room for a pod more."""

    REPLACE_IN_PLACE = "ReplaceInPlace"
    WAIT = "Wait"
    FAIL = "Fail"


class Promotion(StrEnum):
    """Who says that the new revision may have all the traffic."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class CanaryStep(ApiModel):
    """One share of the traffic, and what must hold before the next one."""

    weight: int = Field(
        ge=1,
        le=99,
        description="Percent of the pods that shall be new, at least one pod, and of several not all; the status says"
        " what it is.",
    )
    pause_seconds: int | None = Field(
        default=None,
        ge=0,
        le=604800,
        description="How long the step is watched. Absent: until `promote` names the revision.",
    )
    min_requests: int = Field(
        default=0,
        ge=0,
        le=100_000_000,
        description="Fewer answers of new pods than these prove nothing: the step holds.",
    )
    max_error_percent: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="Roll back when new pods fail more requests than this (answers of 5xx), and more than old ones do;"
        " by no fewer answers than `minRequests`, or 20 without it.",
    )
    max_p95_milliseconds: int | None = Field(
        default=None,
        ge=1,
        le=3_600_000,
        description="Roll back when new pods' 95th percentile takes longer than this, and than that of old ones.",
    )


class Canary(ApiModel):
    """Steps in which the new revision gets more of the traffic."""

    model_config = ConfigDict(json_schema_extra=rules.CANARY)

    steps: tuple[CanaryStep, ...] = Field(
        min_length=1, max_length=16, description="The steps, with growing weights.", json_schema_extra=LIST_ATOMIC
    )
    mirror: bool = Field(
        default=False,
        description="Old pods send copies of their requests to new ones and compare the answers; nobody gets those.",
    )
    min_agreement_percent: int | None = Field(
        default=None, ge=0, le=100, description="Roll back when fewer of the mirrored answers than this agree."
    )

    @model_validator(mode="after")
    def _grows(self) -> Self:
        weights = [step.weight for step in self.steps]
        if weights != sorted(set(weights)):
            raise ValueError("the weights of the steps must grow")
        return self


class BlueGreen(ApiModel):
    """All new pods beside all old ones, and then the traffic at once."""

    scale_down_delay_seconds: int = Field(
        default=30, ge=0, le=86400, description="How long the old pods stay after the switch, for going back at once."
    )
    promotion: Promotion = Field(
        default=Promotion.AUTOMATIC,
        description="Automatic: switch once all new pods are available. Manual: when `promote` names the revision.",
    )


class Rollout(ApiModel):
    """How a change reaches traffic."""

    model_config = ConfigDict(json_schema_extra=rules.ROLLOUT)

    type: RolloutType = Field(
        default=RolloutType.ROLLING_UPDATE,
        description="RollingUpdate: one pod more, old ones go as new ones answer. Canary: in steps that are watched."
        " BlueGreen: all new pods beside the old ones, then the traffic at once. Recreate: old pods end first."
        " HotSwap: the running servers load the new version beside the old one, without new pods.",
    )
    max_unavailable: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="How many pods may be missing while there is no room for one more; while there is, none is.",
    )
    when_no_capacity: WhenNoCapacity = Field(
        default=WhenNoCapacity.REPLACE_IN_PLACE,
        description="When no node has room for a new pod: ReplaceInPlace takes an old one away first; Wait keeps"
        " the old ones and asks on; Fail rolls back.",
    )
    capacity_timeout_seconds: int = Field(
        default=120,
        ge=0,
        le=86400,
        description="How long a new pod may be without a node before that: time for a node autoscaler.",
    )
    auto_rollback: bool = Field(
        default=True, description="Go back to the revision that served when the new one fails. False: stop, and say so."
    )
    min_ready_seconds: int = Field(
        default=0, ge=0, le=3600, description="A new pod counts once it has been ready for this long."
    )
    progress_deadline_seconds: int = Field(
        default=900, ge=10, le=86400, description="Without progress for this long the rollout has failed."
    )
    paused: bool = Field(
        default=False,
        description="Stand still between two revisions; what serves is healed and follows `replicas` all the same.",
    )
    promote: str | None = Field(
        default=None,
        max_length=16,
        pattern=r"^[a-f0-9]{8}$",
        description="The revision (status.model.target.revision) that may go on without waiting.",
        json_schema_extra=rules.PROMOTE,
    )
    canary: Canary | None = Field(default=None, description="The steps of type Canary.")
    blue_green: BlueGreen = Field(default=BlueGreen(), description="Details of type BlueGreen.")

    @model_validator(mode="after")
    def _has_steps(self) -> Self:
        if (self.type is RolloutType.CANARY) != (self.canary is not None):
            raise ValueError("type: Canary and canary.steps need each other")
        return self


def tells(policy: Rollout) -> bool:
    """Whether running pods may have to be told something."""
    return policy.type is RolloutType.HOT_SWAP or (policy.canary is not None and policy.canary.mirror)
