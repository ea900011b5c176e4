"""Condition types and reasons, each with the sentence that `docs/conditions.md` prints."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Literal

from pydantic import Field

from mmm_operator.api.base import ApiModel
from mmm_operator.api.text import one_line

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
    MODEL_CACHED = (
        "ModelCached",
        "The target's bytes are on the cache volume; absent unless the cache is a PersistentVolumeClaim.",
    )
    CAPACITY_AVAILABLE = ("CapacityAvailable", "Every pod of the model has found a node.")
    AUTOSCALING_ACTIVE = (
        "AutoscalingActive",
        "The HorizontalPodAutoscaler reads its metrics and can act; absent without `spec.autoscaling`.",
    )
    UPDATE_AVAILABLE = (
        "UpdateAvailable",
        "The repository holds a newer version than the wanted one, or other bytes under it; "
        "absent before the first look.",
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
    SUSPENDED = ("Suspended", "`suspend` is true: nothing runs until it is removed.")
    PAUSED = ("Paused", "`rollout.paused` is true: the rollout stands still; what serves is kept healthy.")
    SERVING = ("Serving", "At least one pod answers requests.")
    NO_READY_REPLICAS = ("NoReadyReplicas", "No pod answers requests.")
    SETTLED = ("Settled", "Nothing is under way.")
    PROGRESS_DEADLINE_EXCEEDED = (
        "ProgressDeadlineExceeded",
        "The new revision made no progress within `rollout.progressDeadlineSeconds`.",
    )
    ROLLED_BACK = (
        "RolledBack",
        "The new revision failed, so the one before serves again; the message says why, as does `status.model.failed`.",
    )
    AWAITING_PROMOTION = (
        "AwaitingPromotion",
        "The rollout waits until `rollout.promote` names the new revision: `mmm rollout promote`.",
    )
    ANALYZING = ("Analyzing", "A canary answers a share of the requests and is watched.")
    ERROR_RATE_TOO_HIGH = ("ErrorRateTooHigh", "The canary failed more requests than its step allows.")
    LATENCY_TOO_HIGH = ("LatencyTooHigh", "The canary answered more slowly than its step allows.")
    ANSWERS_DIFFER = ("AnswersDiffer", "The canary answered mirrored requests otherwise than the old pods did.")
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
    RESOLVED_WITHOUT_MANIFEST = (
        "ResolvedWithoutManifest",
        "The version looks whole and has stood still, but nobody vouches for what it holds.",
    )
    RESOLVING = ("Resolving", "The repository has not been asked yet.")
    MODEL_NOT_FOUND = ("ModelNotFound", "The bucket does not exist or holds nothing under `model.uri`.")
    VERSION_NOT_FOUND = ("VersionNotFound", "The repository has no such version.")
    INCOMPLETE_UPLOAD = (
        "IncompleteUpload",
        "The version has objects but no manifest, and does not look whole, or not for long enough.",
    )
    ACCESS_DENIED = ("AccessDenied", "The storage refused the credentials.")
    CREDENTIALS_NOT_FOUND = (
        "CredentialsNotFound",
        "A Secret, ConfigMap or key that `spec.storage` names does not exist.",
    )
    ENDPOINT_UNREACHABLE = ("EndpointUnreachable", "The storage does not answer.")
    ENDPOINT_FORBIDDEN = (
        "EndpointForbidden",
        "The operator must not talk to this endpoint: it is not on its list, or no object store's address.",
    )
    TLS_VERIFY_FAILED = ("TLSVerifyFailed", "The storage's certificate cannot be verified.")
    DIGEST_MISMATCH = ("DigestMismatch", "The bytes are not the ones that the digest names.")
    INVALID_MANIFEST = ("InvalidManifest", "The version's manifest is malformed or names forbidden paths.")
    UNSAFE_ARTIFACT = ("UnsafeArtifact", "The version holds files that could run code, or broken weights.")
    NO_SPACE = ("NoSpace", "The model does not fit on the volume.")
    MODEL_TOO_LARGE = ("ModelTooLarge", "The model is larger than the allowed size.")
    CACHED = ("Cached", "The model is on the cache volume.")
    DOWNLOADING = ("Downloading", "The model is not on the cache volume yet.")
    # The server's own failures
    UNSUPPORTED_MODEL = ("UnsupportedModel", "No backend serves this architecture.")
    UNSUPPORTED_TASK = ("UnsupportedTask", "`model.tasks` names a task that this model cannot do.")
    MODEL_LOAD_FAILED = ("ModelLoadFailed", "The server could not load the model.")
    WARM_UP_FAILED = ("WarmUpFailed", "The model loaded, but its first inference failed.")
    SMOKE_TEST_FAILED = (
        "SmokeTestFailed",
        "The model loaded, but did not answer the requests of its `smoke.json` as expected.",
    )
    NO_ROOM_FOR_SWAP = ("NoRoomForSwap", "Two versions do not fit into the memory of the pod together.")
    ACCELERATOR_UNAVAILABLE = (
        "AcceleratorUnavailable",
        "An accelerator is asked for, but the pod sees none.",
    )
    INTERNAL_ERROR = ("InternalError", "The server or fetcher failed; its log says more.")
    # Pods
    INSUFFICIENT_ACCELERATOR = ("InsufficientAccelerator", "No node has enough free accelerators.")
    INSUFFICIENT_MEMORY = ("InsufficientMemory", "No node has enough free memory.")
    INSUFFICIENT_CPU = ("InsufficientCPU", "No node has enough free CPU.")
    NODE_SELECTOR_MISMATCH = (
        "NodeSelectorMismatch",
        "No node has the labels that the pod's node selector or affinity asks for.",
    )
    WAITING_FOR_OLD_POD = (
        "WaitingForOldPodTermination",
        "A new pod needs what a pod that is ending still holds, for instance its accelerator.",
    )
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
    WAITING_FOR_VOLUME = ("WaitingForVolume", "The claim of the model cache has no volume yet.")
    VOLUME_FAILED = ("VolumeFailed", "A volume is lost, or cannot be attached or mounted.")
    SANDBOX_FAILED = ("SandboxFailed", "The node cannot set up the pod itself, for instance its network.")
    PROBE_FAILED = ("ProbeFailed", "A container runs, but does not answer its probe.")
    NODE_LOST = ("NodeLost", "The node of a pod does not report any more.")
    QUOTA_EXCEEDED = ("QuotaExceeded", "A ResourceQuota of the namespace leaves no room for the pods.")
    PODS_REFUSED = (
        "PodsRefused",
        "The API server refuses the pods, for instance by Pod Security; the message is its own.",
    )
    # Autoscaling
    AUTOSCALER_ACTIVE = ("AutoscalerActive", "The autoscaler reads its metrics and can act.")
    LIMITED_BY_MAXIMUM = ("LimitedByMaximum", "The autoscaler wants more pods than `autoscaling.maxReplicas`.")
    AUTOSCALER_PENDING = (
        "AutoscalerPending",
        "The autoscaler has not reported yet, or has nothing to go by before a pod is ready.",
    )
    METRICS_UNAVAILABLE = (
        "MetricsUnavailable",
        "The autoscaler cannot read its metrics; the message is its own.",
    )
    # UpdateAvailable
    UP_TO_DATE = ("UpToDate", "The repository holds nothing newer.")
    NEW_VERSION = ("NewVersion", "A newer version is there; with `updatePolicy: Manual` it waits to be asked for.")
    CONTENT_CHANGED = (
        "ContentChanged",
        "Other bytes than those that serve lie under the wanted version; they are not served.",
    )
    # Degraded
    AS_ASKED = ("AsAsked", "Nothing is degraded.")
    ACCELERATOR_FALLBACK = (
        "AcceleratorFallback",
        "The model runs on the CPU although an accelerator is asked for.",
    )
    UPDATE_BLOCKED = ("UpdateBlocked", "An older revision serves because the wanted one cannot.")
    REPLICAS_FAILING = ("ReplicasFailing", "Some pods fail while others serve.")


# What was measured of a canary: whoever promotes it has seen that, and knows better.
MEASURED = frozenset({Reason.ERROR_RATE_TOO_HIGH, Reason.LATENCY_TOO_HIGH, Reason.ANSWERS_DIFFER})
REASONS: dict[str, Reason] = {reason.value: reason for reason in Reason}

# The root cause of trouble is the first of these that any pod of the target shows; see `mmm_operator.diagnose`.
CAUSES: tuple[tuple[str, tuple[Reason, ...]], ...] = (
    (
        "what the fetcher or the server says of itself as it ends",
        (
            Reason.MODEL_NOT_FOUND,
            Reason.VERSION_NOT_FOUND,
            Reason.INCOMPLETE_UPLOAD,
            Reason.ACCESS_DENIED,
            Reason.ENDPOINT_UNREACHABLE,
            Reason.TLS_VERIFY_FAILED,
            Reason.DIGEST_MISMATCH,
            Reason.INVALID_MANIFEST,
            Reason.UNSAFE_ARTIFACT,
            Reason.NO_SPACE,
            Reason.MODEL_TOO_LARGE,
            Reason.UNSUPPORTED_MODEL,
            Reason.UNSUPPORTED_TASK,
            Reason.MODEL_LOAD_FAILED,
            Reason.WARM_UP_FAILED,
            Reason.SMOKE_TEST_FAILED,
            Reason.NO_ROOM_FOR_SWAP,
            Reason.ACCELERATOR_UNAVAILABLE,
            Reason.OUT_OF_MEMORY,
            Reason.INTERNAL_ERROR,
        ),
    ),
    ("a container was killed for its memory", (Reason.OUT_OF_MEMORY,)),
    ("an image cannot be pulled", (Reason.IMAGE_PULL_FAILED,)),
    ("a container cannot be created or started", (Reason.CONTAINER_CONFIG_ERROR, Reason.CONTAINER_FAILED)),
    ("a volume cannot be attached or mounted", (Reason.VOLUME_FAILED,)),
    ("the node cannot set up the pod", (Reason.SANDBOX_FAILED,)),
    ("the node gave up on the pod", (Reason.POD_FAILED,)),
    ("the node does not report any more", (Reason.NODE_LOST,)),
    ("a container does not answer its probe", (Reason.PROBE_FAILED,)),
    ("a container exits", (Reason.CONTAINER_FAILED,)),
    ("the API server refuses new pods", (Reason.QUOTA_EXCEEDED, Reason.PODS_REFUSED)),
    (
        "a pod has no node",
        (
            Reason.WAITING_FOR_OLD_POD,
            Reason.INSUFFICIENT_ACCELERATOR,
            Reason.INSUFFICIENT_MEMORY,
            Reason.INSUFFICIENT_CPU,
            Reason.NODE_SELECTOR_MISMATCH,
            Reason.WAITING_FOR_VOLUME,
            Reason.VOLUME_FAILED,
            Reason.UNSCHEDULABLE,
        ),
    ),
    ("a claim has no volume", (Reason.WAITING_FOR_VOLUME, Reason.VOLUME_FAILED)),
)
# What a message may have, in bytes, so that all conditions together stay far below what etcd likes to store.
MAX_MESSAGE = 1024


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
        message=one_line(finding.message, MAX_MESSAGE),
        observed_generation=generation,
        last_transition_time=before.last_transition_time if before is not None and kept else now,
    )
