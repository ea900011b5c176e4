"""What the server was told: the `MMM_*` environment, typed, checked and frozen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mmm_server.errors import BadSettings

PREFIX = "MMM_"
STATE_DIR = Path("/tmp/mmm-server")  # outlives a restart of the container; the fetcher beside it reads it

# What a model owner may set through spec.runtime.args; everything else follows from the rest of the object.
TUNABLE = (
    *("compile", "exact", "decode_threads", "request_timeout_seconds", "text_cache_items"),
    *("result_cache", "result_cache_bytes", "result_cache_url", "result_cache_seconds"),
    *("max_queue_items", "max_body_bytes", "max_inflight_bytes", "max_image_pixels"),
    *("max_labels", "max_text_tokens", "max_items", "max_json_depth", "max_json_values"),
    *("max_connections", "max_connections_per_peer", "max_head_bytes", "max_head_fields"),
    *("head_timeout_seconds", "body_stall_seconds", "write_stall_seconds", "keep_alive_seconds"),
    "connection_seconds",
)

Port = Annotated[int, Field(ge=0, le=65535)]  # 0: any free port, for tests and by hand
PositiveInt = Annotated[int, Field(gt=0)]
PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """The environment of the server container; an empty variable counts as unset."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, protected_namespaces=()
    )

    model_root: Path = Path("/models")
    rollout_dir: Path | None = None  # what the operator says to running pods
    # Copies of requests go to Services of the cluster alone. For tests and by hand: to 127.0.0.1, too. The operator
    # never sets it, and refuses every MMM_* of a model's owner.
    mirror_loopback: bool = False
    model_dir: Path | None = None  # by hand: this directory instead of <root>/<digest>
    model_name: str = "model"
    model_version: str = "unversioned"
    model_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    model_tasks: Annotated[tuple[str, ...], NoDecode] = ()
    termination_log: Path = Path("/dev/termination-log")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    hot_swap: bool = False  # go over to what the rollout directory wants, without a restart
    state_dir: Path = STATE_DIR
    swap_keep_seconds: Seconds = 30.0  # how long the version before stays loaded
    swap_load_seconds: PositiveSeconds = 3600.0  # how long another one may load: as long as a first one in a pod
    memory_limit_bytes: PositiveInt | None = None  # instead of the limit of the container

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantization: Literal["none", "int8"] = "none"
    compile: Literal["none", "default", "graphs"] = "none"
    exact: bool = (
        False  # images as the reference prepares them, without decoding large JPEGs at a fraction of their size
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    require_accelerator: bool = False

    host: str = ""  # every address, IPv4 and IPv6
    http_port: Port = 8080
    operations_port: Port = 8081
    drain_delay_seconds: Seconds = 5.0
    # Where the deletion of the pod itself takes it out of traffic: a Service without any ready pod falls back to those
    # that terminate and are still ready.
    ready_while_draining: bool = False
    grace_seconds: PositiveSeconds = 30.0

    request_timeout_seconds: PositiveSeconds = 30.0
    stuck_seconds: PositiveSeconds = 120.0
    decode_threads: Annotated[int, Field(ge=1, le=64)] = 2
    max_batch_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    max_queue_seconds: PositiveSeconds = 2.0
    max_queue_items: PositiveInt = 1024
    text_cache_items: Annotated[int, Field(ge=0)] = 4096
    result_cache: Literal["off", "memory", "redis"] = "off"  # of the vectors of images, by their bytes
    result_cache_bytes: PositiveInt = 64 * 1024 * 1024
    result_cache_url: str | None = None
    result_cache_seconds: PositiveInt = 24 * 3600

    max_body_bytes: PositiveInt = 32 * 1024 * 1024
    max_inflight_bytes: PositiveInt = 512 * 1024 * 1024  # of all bodies that are held at one moment
    max_image_pixels: PositiveInt = 50_000_000
    max_labels: PositiveInt = 256
    max_text_tokens: PositiveInt | None = None
    max_items: PositiveInt = 64
    max_json_depth: PositiveInt = 32
    max_json_values: PositiveInt = 10_000

    max_connections: Annotated[int, Field(ge=0)] = 4096  # of each port; 0: no bound
    max_connections_per_peer: Annotated[int, Field(ge=0)] = 0  # 0: no bound, as the clients of a proxy share an address
    max_head_bytes: PositiveInt = 32 * 1024
    max_head_fields: PositiveInt = 128
    head_timeout_seconds: PositiveSeconds = 10.0  # from the connection, or the first byte, to the end of the head
    body_stall_seconds: PositiveSeconds = 10.0  # without a byte of the body; the whole has the request's timeout
    write_stall_seconds: PositiveSeconds = 30.0  # without the client taking a byte of its answer
    # Longer than the idle timeouts of usual clients and proxies: whoever closes first should not be us.
    keep_alive_seconds: PositiveInt = 120
    # An answer on an older connection asks the client to open another one, which may lead to another pod: one that was
    # added, or of the version that is to have the traffic now. 0: never.
    connection_seconds: Seconds = 30.0

    @field_validator("model_tasks", mode="before")
    @classmethod
    def _split_tasks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(word.strip() for word in value.split(",") if word.strip())

    @field_validator("quantization", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value  # the custom resource says Int8

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @property
    def model_path(self) -> Path:
        """The directory of the model version that the environment names."""
        return self.path_of(self.model_digest)

    def path_of(self, digest: str | None) -> Path:
        """The directory of the version of a digest, or the one that was given by hand."""
        if self.model_dir is not None:
            return self.model_dir
        return self.model_root / (digest or "").removeprefix("sha256:")


def load_settings(**overrides: object) -> Settings:
    """The settings from the environment, `overrides` first; BadSettings with one sentence if they make no sense."""
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as invalid:
        raise BadSettings(_sentence(invalid)) from None
    if settings.result_cache == "redis" and not settings.result_cache_url:
        raise BadSettings("MMM_RESULT_CACHE_URL is not set: it says where the Redis is (redis://host:6379/0).")
    if settings.result_cache == "redis" and settings.model_digest is None:
        raise BadSettings("MMM_MODEL_DIGEST is not set: a Redis that others use must know whose vectors it keeps.")
    if settings.model_dir is None and settings.model_digest is None:
        raise BadSettings("MMM_MODEL_DIGEST is not set: it names the model version to serve (or use --model DIR).")
    if settings.hot_swap and settings.model_dir is not None:
        raise BadSettings("MMM_HOT_SWAP needs versions under MMM_MODEL_ROOT, each in the directory of its digest.")
    if settings.hot_swap and settings.rollout_dir is None:
        raise BadSettings("MMM_ROLLOUT_DIR is not set: it is where the version to swap to is named.")
    return settings


def tuned(arguments: Sequence[str]) -> dict[str, str]:
    """The settings of `--set name=value` arguments; BadSettings unless each is one that only tunes the server."""
    found = {}
    for argument in arguments:
        name, separator, value = argument.partition("=")
        if not separator or name not in TUNABLE:
            raise BadSettings(f"--set takes NAME=VALUE, where NAME is one of {', '.join(TUNABLE)}.")
        found[name] = value
    return found


def _sentence(invalid: ValidationError) -> str:
    first = invalid.errors(include_url=False)[0]
    name = PREFIX + "_".join(str(part) for part in first["loc"][:1]).upper()
    message = first["msg"].removeprefix("Value error, ")
    return f"{name}={first['input']!s}: {message[:1].lower()}{message[1:]}."
