"""MultimodalModel v1alpha1: the object and its spec as types; `status` has the rest.

Every field has a description, because `kubectl explain` is documentation; every string, list and
map has a maximum, because the API server estimates the cost of the CEL rules from them.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from mmm_operator.api import rules
from mmm_operator.api.base import LIST_ATOMIC, LIST_SET, ApiModel, Quantity, list_map
from mmm_operator.api.environment import refuse_expansion, refuse_name
from mmm_operator.api.network import NetworkPolicy
from mmm_operator.api.pod_template import PodTemplate
from mmm_operator.api.rollout import Rollout
from mmm_operator.api.scalars import AnnotationMap, LabelMap, Name
from mmm_operator.api.scaling import Autoscaling
from mmm_operator.api.source import mounted_source
from mmm_operator.api.status import Status
from mmm_operator.api.storage import Cache, Storage


class Task(StrEnum):
    """What a model can do."""

    IMAGE_EMBEDDING = "ImageEmbedding"
    TEXT_EMBEDDING = "TextEmbedding"
    ZERO_SHOT_IMAGE_CLASSIFICATION = "ZeroShotImageClassification"


class Fallback(StrEnum):
    """What to do when the accelerator is not there."""

    FAIL = "Fail"
    CPU = "CPU"


class DType(StrEnum):
    """Number format of the weights and of the computation."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class Quantization(StrEnum):
    """Whether weights are stored in fewer bits than they are computed with."""

    NONE = "None"
    INT8 = "Int8"


class PullPolicy(StrEnum):
    """When the kubelet pulls the image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class UpdatePolicy(StrEnum):
    """Who decides which version serves."""

    MANUAL = "Manual"
    AUTO = "Auto"


class ModelSource(ApiModel):
    """Which model version to serve."""

    model_config = ConfigDict(json_schema_extra=rules.MODEL)

    uri: str = Field(
        min_length=6,
        max_length=1024,
        pattern=r"^(s3://[a-z0-9][a-z0-9.-]*(/[A-Za-z0-9._@=-]+)*"
        r"|pvc://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(/[A-Za-z0-9._@=-]+)*"
        r"|oci://[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+)$",
        description="Where the versions of the model live: `s3://bucket/prefix`; `pvc://claim/path`, on a claim in the"
        " same namespace; `oci://registry/repository`, mounted as an image volume (Kubernetes 1.35 or later). Without"
        " a trailing slash.",
        json_schema_extra=rules.URI,
    )
    version: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
        description="The directory below `uri` that holds the version, or the tag of the image. Required, except with"
        " `updatePolicy: Auto`.",
        json_schema_extra=rules.VERSION,
    )
    digest: str | None = Field(
        default=None,
        max_length=71,
        pattern=r"^sha256:[a-f0-9]{64}$",
        description="Serve these exact bytes only: sha256 of the version's manifest. Default: what the version holds."
        " Required with pvc:// and oci://, which only the pods can look into.",
        json_schema_extra=rules.DIGEST,
    )
    update_policy: UpdatePolicy = Field(
        default=UpdatePolicy.MANUAL,
        description="Manual: serve `version`, and report newer ones in UpdateAvailable. Auto: serve the newest version"
        " that is whole, and never go back by itself.",
    )
    poll_interval_seconds: int = Field(
        default=60,
        ge=5,
        le=86400,
        description="How often the repository is looked at: for newer versions, and for one that is not there yet.",
    )
    tasks: tuple[Task, ...] = Field(
        default=(),
        max_length=8,
        description="Offer these tasks only. Default: all that the model can do.",
        json_schema_extra=LIST_SET,
    )
    served_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$",
        description="Name of the model in the inference protocols. Default: the name of the object.",
        json_schema_extra=rules.SERVED_NAME,
    )

    @model_validator(mode="after")
    def _names_what_to_serve(self) -> Self:
        # The API server checks this too; without it an object of an older schema would mean anything at all.
        if (self.update_policy is UpdatePolicy.AUTO) == (self.version is not None):
            raise ValueError("write either version, or updatePolicy: Auto")
        if mounted_source(self.uri) is not None and (self.version is None or self.digest is None):
            raise ValueError("a claim or an image needs version and digest")
        return self


class Accelerator(ApiModel):
    """Which accelerator a pod needs."""

    resource_name: str = Field(
        default="nvidia.com/gpu",
        max_length=253,
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
        description="Extended resource of the device plug-in: nvidia.com/gpu, nvidia.com/mig-1g.10gb, amd.com/gpu, ….",
        json_schema_extra=rules.DEVICE,
    )
    count: int = Field(default=1, ge=1, le=16, description="Accelerators per pod.")
    fallback: Fallback = Field(
        default=Fallback.FAIL,
        description="When the pod finds no usable device: Fail, or serve on the CPU and say so in Degraded.",
    )


class EnvVar(ApiModel):
    """One environment variable."""

    name: Annotated[str, AfterValidator(refuse_name)] = Field(
        min_length=1,
        max_length=253,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Name of the variable.",
        json_schema_extra=rules.ENV_NAME,
    )
    value: Annotated[str, AfterValidator(refuse_expansion)] = Field(
        default="", max_length=4096, description="Its value.", json_schema_extra=rules.LITERAL
    )


Argument = Annotated[
    str, AfterValidator(refuse_expansion), Field(min_length=1, max_length=1024, json_schema_extra=rules.LITERAL)
]


class Runtime(ApiModel):
    """How the server runs."""

    model_config = ConfigDict(json_schema_extra=rules.RUNTIME)

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        pattern=r"^[^\s]+$",
        description="Server image. Default: the one that belongs to the operator.",
        json_schema_extra=rules.IMAGE,
    )
    image_pull_policy: PullPolicy | None = Field(
        default=None, description="When to pull the image. Default: Kubernetes' own rule."
    )
    dtype: DType = Field(default=DType.AUTO, description="auto picks the best that the hardware computes natively.")
    quantization: Quantization = Field(
        default=Quantization.NONE,
        description="Int8 stores the weights in eight bits: half the memory of bfloat16, at a price in speed.",
    )
    max_batch_size: int | None = Field(
        default=None, ge=1, le=1024, description="Most items in one forward pass. Default: by device."
    )
    max_queue_seconds: int = Field(
        default=2, ge=1, le=600, description="A request that would wait longer than this is refused with 429."
    )
    env: tuple[EnvVar, ...] = Field(
        default=(),
        max_length=64,
        description="More environment for the server.",
        json_schema_extra=list_map("name"),
    )
    args: tuple[Argument, ...] = Field(
        default=(),
        max_length=32,
        description="More arguments for the server, after `serve`; ours takes --set=NAME=VALUE, see its --help.",
        json_schema_extra=LIST_ATOMIC,
    )


class Resources(ApiModel):
    """Requests and limits of the server container, as in core/v1."""

    model_config = ConfigDict(json_schema_extra=rules.RESOURCES)

    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(
        default_factory=dict,
        description="What the scheduler sets aside. Default: 500m CPU and 1Gi of memory.",
    )
    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = Field(
        default_factory=dict, description="What the container may use at most."
    )


class Service(ApiModel):
    """The Service that applications call."""

    model_config = ConfigDict(json_schema_extra=rules.SERVICE)

    port: int = Field(default=80, ge=1, le=65535, description="Port of the Service.")
    annotations: AnnotationMap = Field(default_factory=dict, description="More annotations for the Service.")
    labels: LabelMap = Field(default_factory=dict, description="More labels for the Service.")


class LocalObjectReference(ApiModel):
    """A reference to an object in the same namespace."""

    name: Name = Field(description="Name of the object.")


class Spec(ApiModel):
    """What should run."""

    model_config = ConfigDict(json_schema_extra=rules.SPEC)

    model: ModelSource = Field(description="Which model version to serve.")
    storage: Storage = Field(default=Storage(), description="How to reach the object store.")
    cache: Cache = Field(default=Cache(), description="Where the model's files are kept.")
    accelerator: Accelerator | None = Field(default=None, description="Which accelerator a pod needs. Absent: CPU.")
    runtime: Runtime = Field(default=Runtime(), description="How the server runs.")
    resources: Resources = Field(default=Resources(), description="Requests and limits of the server container.")
    replicas: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="Pods to run; written through /scale when autoscaling is on. 0 is allowed.",
    )
    autoscaling: Autoscaling | None = Field(default=None, description="Let a HorizontalPodAutoscaler write `replicas`.")
    rollout: Rollout = Field(default=Rollout(), description="How a change reaches traffic.")
    service: Service = Field(default=Service(), description="The Service that applications call.")
    suspend: bool = Field(
        default=False, description="Keep the object and run nothing; `replicas` is obeyed again afterwards."
    )
    network_policy: NetworkPolicy | None = Field(
        default=None, description="Close the network around the pods. Absent: as open as the namespace is."
    )
    pod_template: PodTemplate | None = Field(
        default=None, description="What the pods shall have beside what the operator gives them."
    )
    service_account_name: Name | None = Field(
        default=None, description="ServiceAccount of the pods. Default: the one that is named default."
    )
    image_pull_secrets: tuple[LocalObjectReference, ...] = Field(
        default=(),
        max_length=16,
        description="Secrets for pulling the image.",
        json_schema_extra=list_map("name"),
    )
    priority_class_name: Name | None = Field(default=None, description="PriorityClass of the pods.")
    revision_history_limit: int = Field(
        default=5, ge=0, le=20, description="Old revisions to keep, scaled to 0, so that going back is quick."
    )


class ObjectMeta(ApiModel):
    """The metadata that the operator reads."""

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    deletion_timestamp: str | None = None
    creation_timestamp: str | None = None


class MultimodalModel(ApiModel):
    """A model version, and how to serve it."""

    metadata: ObjectMeta
    spec: Spec
    status: Status = Status()
