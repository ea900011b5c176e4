"""Condition types and reasons, each with the sentence that `docs/conditions.md` prints."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Literal

from pydantic import Field

from mmm_operator.api.base import ApiModel

ConditionStatus = Literal["True", "False", "Unknown"]


class Documented(StrEnum):
    """An enum whose members carry a sentence of documentation."""

    doc: str

    def __new__(cls, value: str, doc: str) -> "Documented":
        """Make a member that equals `value` and explains itself by `doc`."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member


class ConditionType(Documented):
    """What can be said about a MultimodalModel; see `docs/conditions.md`."""

    READY = (
        "Ready",
        "The wanted revision serves at the wanted size and nothing is under way; "
        "what `kubectl wait --for=condition=Ready` waits for.",
    )
    AVAILABLE = ("Available", "Some revision answers requests; stays True through a rollout.")
    PROGRESSING = ("Progressing", "A rollout or a change of size is under way.")
    STALLED = ("Stalled", "No progress within `rollout.progressDeadlineSeconds`; a human is needed.")
    ACCEPTED = ("Accepted", "The spec is valid and nothing stands in the way of applying it.")
    MODEL_RESOLVED = ("ModelResolved", "The model version exists in the repository and its digest is known.")
    CAPACITY_AVAILABLE = ("CapacityAvailable", "Every pod of the model has found a node.")
    AUTOSCALING_ACTIVE = (
        "AutoscalingActive",
        "The HorizontalPodAutoscaler reads its metrics and can act; absent without `spec.autoscaling`.",
    )
    DEGRADED = ("Degraded", "The model serves, but not as asked for.")


class Reason(Documented):
    """The machine word beside a condition; one enum for all of them."""

    # Ready, Available, Progressing, Stalled
    READY = ("Ready", "Everything is as the spec asks.")
    ROLLING_OUT = ("RollingOut", "A new revision is being brought up beside the old one.")
    SCALING = ("Scaling", "The number of pods is changing.")
    STARTING = ("Starting", "Pods exist, but none has loaded the model yet.")
    SCALED_TO_ZERO = ("ScaledToZero", "`replicas` is 0: nothing runs because nothing is wanted.")
    SERVING = ("Serving", "At least one pod answers requests.")
    NO_READY_REPLICAS = ("NoReadyReplicas", "No pod answers requests.")
    SETTLED = ("Settled", "Nothing is under way.")
    PROGRESS_DEADLINE_EXCEEDED = (
        "ProgressDeadlineExceeded",
        "The new revision made no progress within `rollout.progressDeadlineSeconds`.",
    )
    # Accepted
    ACCEPTED = ("Accepted", "The spec is valid.")
    INVALID_SPEC = (
        "InvalidSpec",
        "The stored object does not fit this operator's API; the message names the field.",
    )
    NAME_CONFLICT = (
        "NameConflict",
        "A needed name is taken by an object that this MultimodalModel does not control; it is left untouched.",
    )
    REJECTED = (
        "Rejected",
        "The API server refused an object that the operator wants to write, for instance by quota.",
    )
    # ModelResolved, and the fetcher's own failures
    RESOLVED = ("Resolved", "Version and digest are known.")
    RESOLVING = ("Resolving", "The repository has not been asked yet.")
    MODEL_NOT_FOUND = ("ModelNotFound", "The bucket does not exist or holds nothing under `model.uri`.")
    VERSION_NOT_FOUND = ("VersionNotFound", "The repository has no such version.")
    INCOMPLETE_UPLOAD = (
        "IncompleteUpload",
        "The version has objects but no manifest: its upload has not finished.",
    )
    ACCESS_DENIED = ("AccessDenied", "The storage refused the credentials.")
    CREDENTIALS_NOT_FOUND = (
        "CredentialsNotFound",
        "The Secret or the key of `credentialsSecretRef` does not exist.",
    )
    ENDPOINT_UNREACHABLE = ("EndpointUnreachable", "The storage does not answer.")
    TLS_VERIFY_FAILED = ("TLSVerifyFailed", "The storage's certificate cannot be verified.")
    DIGEST_MISMATCH = ("DigestMismatch", "The bytes are not the ones that the digest names.")
    INVALID_MANIFEST = ("InvalidManifest", "The version's manifest is malformed or names forbidden paths.")
    UNSAFE_ARTIFACT = ("UnsafeArtifact", "The version holds files that could run code, or broken weights.")
    NO_SPACE = ("NoSpace", "The model does not fit on the volume.")
    MODEL_TOO_LARGE = ("ModelTooLarge", "The model is larger than the allowed size.")
    # The server's own failures
    UNSUPPORTED_MODEL = ("UnsupportedModel", "No backend serves this architecture.")
    UNSUPPORTED_TASK = ("UnsupportedTask", "`model.tasks` names a task that this model cannot do.")
    MODEL_LOAD_FAILED = ("ModelLoadFailed", "The server could not load the model.")
    WARM_UP_FAILED = ("WarmUpFailed", "The model loaded, but its first inference failed.")
    ACCELERATOR_UNAVAILABLE = (
        "AcceleratorUnavailable",
        "An accelerator is asked for, but the pod sees none.",
    )
    INTERNAL_ERROR = ("InternalError", "The server or fetcher failed; its log says more.")
    # Pods
    INSUFFICIENT_ACCELERATOR = ("InsufficientAccelerator", "No node has enough free accelerators.")
    INSUFFICIENT_MEMORY = ("InsufficientMemory", "No node has enough free memory.")
    INSUFFICIENT_CPU = ("InsufficientCPU", "No node has enough free CPU.")
    UNSCHEDULABLE = ("Unschedulable", "The scheduler finds no node; the message is the scheduler's.")
    SCHEDULED = ("Scheduled", "Every pod has a node.")
    IMAGE_PULL_FAILED = ("ImagePullFailed", "The server image cannot be pulled.")
    OUT_OF_MEMORY = ("OutOfMemory", "A container was killed because it used more memory than its limit.")
    CONTAINER_FAILED = ("ContainerFailed", "A container exits by itself; the message has its exit code.")
    CONTAINER_CONFIG_ERROR = (
        "ContainerConfigError",
        "A container cannot be created, for instance for a missing Secret.",
    )
    POD_FAILED = (
        "PodFailed",
        "A node gave up on a pod, for instance by eviction; the message is the node's.",
    )
    # Autoscaling
    AUTOSCALER_ACTIVE = ("AutoscalerActive", "The autoscaler reads its metrics and can act.")
    AUTOSCALER_PENDING = ("AutoscalerPending", "The autoscaler has not reported yet.")
    METRICS_UNAVAILABLE = (
        "MetricsUnavailable",
        "The autoscaler cannot read its metrics; the message is its own.",
    )
    # Degraded
    AS_ASKED = ("AsAsked", "Nothing is degraded.")
    ACCELERATOR_FALLBACK = (
        "AcceleratorFallback",
        "The model runs on the CPU although an accelerator is asked for.",
    )
    UPDATE_BLOCKED = ("UpdateBlocked", "An older revision serves because the wanted one cannot.")
    REPLICAS_FAILING = ("ReplicasFailing", "Some pods fail while others serve.")


class Condition(ApiModel):
    """One observation about the object, as Kubernetes' metav1.Condition."""

    type: str = Field(max_length=316, description="Name of the condition.")
    status: ConditionStatus = Field(description="Whether the condition holds.")
    reason: str = Field(max_length=128, description="One CamelCase word that says why.")
    message: str = Field(default="", max_length=4096, description="A sentence for people.")
    observed_generation: int | None = Field(
        default=None, ge=0, description="The generation of the object that this was observed for."
    )
    last_transition_time: str = Field(
        max_length=32, json_schema_extra={"format": "date-time"}, description="When the status flipped last."
    )


class Finding(ApiModel):
    """A condition without its times: what an assessment concludes."""

    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str = ""


def merge_conditions(
    old: Sequence[Condition], findings: Iterable[Finding], generation: int, now: str
) -> tuple[Condition, ...]:
    """The conditions to write: `now` becomes the transition time only where the status flipped.

    `now` is RFC 3339. Conditions that no finding mentions are dropped: each finding list is complete.
    """
    before = {condition.type: condition for condition in old}
    return tuple(_merge_one(before.get(finding.type), finding, generation, now) for finding in findings)


def _merge_one(before: Condition | None, finding: Finding, generation: int, now: str) -> Condition:
    kept = before is not None and before.status == finding.status
    return Condition(
        type=str(finding.type.value),
        status=finding.status,
        reason=str(finding.reason.value),
        message=finding.message[:4096],
        observed_generation=generation,
        last_transition_time=before.last_transition_time if before is not None and kept else now,
    )
