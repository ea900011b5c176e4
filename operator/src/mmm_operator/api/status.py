"""What runs, as the operator reports it: `status` of a MultimodalModel. Bounded in size."""

from pydantic import Field

from mmm_operator.api.base import LIST_ATOMIC, ApiModel, list_map
from mmm_operator.api.conditions import Condition

MAX_FAILURES = 5
# More than revisionHistoryLimit can keep, and those that serve or shall.
MAX_REVISIONS = 24


class ModelState(ApiModel):
    """One model version, as it runs or shall run."""

    version: str = Field(max_length=63, description="Version in the repository.")
    digest: str = Field(max_length=71, description="sha256 of the version's manifest.")
    short_digest: str = Field(max_length=12, description="The first twelve hex digits of the digest.")
    revision: str = Field(max_length=16, description="Hash of everything that its pods run.")
    since: str = Field(max_length=32, json_schema_extra={"format": "date-time"}, description="Since when.")
    uri: str = Field(default="", max_length=1024, description="Repository in which the version was found.")
    endpoint: str = Field(default="", max_length=512, description="Object store in which it was found; empty: AWS.")
    unverified: bool | None = Field(
        default=None, description="True where it has no manifest: the digest is that of a listing, and nobody vouches."
    )


class LatestVersion(ApiModel):
    """The newest version in the repository."""

    version: str = Field(max_length=128, description="Version in the repository.")
    digest: str = Field(max_length=71, description="sha256 of the version's manifest.")


class FailedModel(ApiModel):
    """A revision that was tried and taken back; it is not tried again until another one is asked for."""

    version: str = Field(max_length=63, description="Version in the repository.")
    digest: str = Field(max_length=71, description="sha256 of the version's manifest.")
    revision: str = Field(max_length=16, description="Hash of everything that its pods run.")
    reason: str = Field(max_length=128, description="One CamelCase word that says why.")
    message: str = Field(default="", max_length=512, description="A sentence for people.")
    at: str = Field(max_length=32, json_schema_extra={"format": "date-time"}, description="When it was given up.")


class ModelStatus(ApiModel):
    """Which versions run."""

    current: ModelState | None = Field(default=None, description="The version that answers requests.")
    target: ModelState | None = Field(default=None, description="The version that shall answer requests.")
    previous: ModelState | None = Field(default=None, description="The version that answered before.")
    latest: LatestVersion | None = Field(
        default=None, description="The newest version that was seen whole in the repository, whether it serves or not."
    )
    failed: tuple[FailedModel, ...] = Field(
        default=(),
        max_length=MAX_FAILURES,
        description="Revisions that were tried and taken back, newest first.",
        json_schema_extra=LIST_ATOMIC,
    )


class MirrorStatus(ApiModel):
    """How the answers to mirrored requests compare."""

    compared: int = Field(ge=0, description="Answers of old and new pods that were compared.")
    differing: int = Field(ge=0, description="Those that differed.")


class RevisionStatus(ApiModel):
    """One revision whose Deployment is kept."""

    revision: str = Field(max_length=16, description="Hash of everything that its pods run.")
    version: str = Field(max_length=63, description="Version in the repository.")
    short_digest: str = Field(max_length=12, description="The first twelve hex digits of the digest.")
    state: str = Field(max_length=16, description="Serving, Target, Failed or Kept.")
    replicas: int = Field(ge=0, description="Pods wanted of it.")
    ready: int = Field(ge=0, description="Its pods that answer requests.")
    created_at: str = Field(
        max_length=32, json_schema_extra={"format": "date-time"}, description="When it was there first."
    )


class RolloutStatus(ApiModel):
    """How far a change is."""

    summary: str = Field(default="", max_length=64, description="For the ROLLOUT column, for instance 1/3.")
    message: str = Field(default="", max_length=1024, description="What happens now and why.")
    type: str = Field(default="", max_length=32, description="The type that was asked for.")
    strategy_in_effect: str = Field(
        default="",
        max_length=32,
        description="Surge: one pod more than wanted. NoSurge: there was no room for it, so old pods go first.",
    )
    step: int = Field(default=0, ge=0, description="The step of a canary, from 1.")
    step_started_at: str | None = Field(
        default=None,
        max_length=32,
        json_schema_extra={"format": "date-time"},
        description="Since when the step has all its pods.",
    )
    steps: str = Field(
        default="",
        max_length=16,
        description="Hash of the steps that `step` counts in: once they are edited, the step begins anew.",
    )
    passed: bool = Field(default=False, description="Whether a canary has passed all its steps, or was promoted.")
    weight: int | None = Field(
        default=None, ge=0, le=100, description="Percent of the pods that answer that are new; only of a canary."
    )
    mirror: MirrorStatus | None = Field(default=None, description="What mirrored requests have shown in this step.")
    updated: int = Field(default=0, ge=0, description="Ready pods of the target revision.")
    total: int = Field(default=0, ge=0, description="Pods wanted.")
    started_at: str | None = Field(
        default=None,
        max_length=32,
        json_schema_extra={"format": "date-time"},
        description="When the change began.",
    )
    last_progress_at: str | None = Field(
        default=None,
        max_length=32,
        json_schema_extra={"format": "date-time"},
        description="When the target came further last; absent while no clock runs, as in a pause.",
    )


class FetchStatus(ApiModel):
    """How far the model is on its way from the repository; of several pods that fetch, the one with the most to do."""

    downloaded_bytes: int = Field(ge=0, description="Bytes that have arrived.")
    total_bytes: int = Field(ge=0, description="Bytes of the version.")


class Acceleration(ApiModel):
    """Where the model computes."""

    device: str = Field(max_length=32, description="cpu or cuda.")
    name: str = Field(default="", max_length=128, description="Product name of the device.")
    dtype: str = Field(default="", max_length=32, description="Number format in effect.")
    memory_bytes: int | None = Field(default=None, ge=0, description="Memory of the device.")


class Resolved(ApiModel):
    """Defaults that were filled in, remembered so that a new operator restarts no pod."""

    server_image: str = Field(max_length=1024, description="Server image in effect where the spec names none.")


class LastFailure(ApiModel):
    """The end of a container, or of a whole pod, that was not as it should be."""

    pod: str = Field(max_length=253, description="Name of the pod; it may be gone by now.")
    container: str = Field(default="", max_length=63, description="Name of the container; empty for the whole pod.")
    reason: str = Field(max_length=128, description="One CamelCase word that says why.")
    message: str = Field(default="", max_length=256, description="A sentence for people.")
    at: str = Field(max_length=32, json_schema_extra={"format": "date-time"}, description="When it ended.")


class Status(ApiModel):
    """What runs. Nothing in it changes while nothing happens."""

    observed_generation: int = Field(default=0, ge=0, description="Generation that this status speaks of.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=32,
        description="What is true of the object.",
        json_schema_extra=list_map("type"),
    )
    replicas: int = Field(default=0, ge=0, description="Pods that exist, of all revisions.")
    ready_replicas: int = Field(default=0, ge=0, description="Pods that answer requests, of all revisions.")
    available_replicas: int = Field(default=0, ge=0, description="Pods ready for `minReadySeconds`, of all revisions.")
    updated_replicas: int = Field(default=0, ge=0, description="Pods of the target revision.")
    selector: str = Field(default="", max_length=1024, description="Label selector of the pods, for autoscalers.")
    url: str = Field(default="", max_length=512, description="Where applications reach the model.")
    ready_summary: str = Field(
        default="", max_length=32, description="Pods that answer requests and pods wanted, for the READY column."
    )
    model: ModelStatus = Field(default=ModelStatus(), description="Which versions run.")
    rollout: RolloutStatus = Field(default=RolloutStatus(), description="How far a change is.")
    revisions: tuple[RevisionStatus, ...] = Field(
        default=(),
        max_length=MAX_REVISIONS,
        description="The revisions that are there: the one that serves, then the target, then the newest; those at 0"
        " pods are kept for going back.",
        json_schema_extra=LIST_ATOMIC,
    )
    fetch: FetchStatus | None = Field(default=None, description="The fetch that is under way, if one is.")
    acceleration: Acceleration | None = Field(default=None, description="Where the model computes.")
    load_seconds: int | None = Field(default=None, ge=0, description="How long the last pod took to load the model.")
    resolved: Resolved | None = Field(default=None, description="Defaults that were filled in.")
    last_failures: tuple[LastFailure, ...] = Field(
        default=(),
        max_length=MAX_FAILURES,
        description="The newest failures of containers, newest first; those of one kind are told once an hour.",
        json_schema_extra=LIST_ATOMIC,
    )
