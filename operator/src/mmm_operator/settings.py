"""The operator's own configuration: `MMM_OPERATOR_*` in its environment."""

from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mmm_operator.errors import SettingsError


class Settings(BaseSettings):
    """What a platform engineer may set; the chart's values map to these one to one."""

    model_config = SettingsConfigDict(env_prefix="MMM_OPERATOR_", frozen=True, extra="ignore")

    server_image: str = Field(
        min_length=1, description="Image of the model server, unless a MultimodalModel names one."
    )
    image_pull_policy: str = Field(default="IfNotPresent", description="Pull policy of that image.")
    namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Namespaces to watch, separated by commas. Empty: all of them."
    )
    workers: int = Field(default=8, ge=1, le=64, description="Objects reconciled at the same time.")
    resync_seconds: int = Field(default=300, ge=10, description="Every object is looked at again this often.")
    request_timeout_seconds: float = Field(default=30.0, gt=0, description="Time limit of one call to the API server.")
    resolve_timeout_seconds: float = Field(default=20.0, gt=0, description="Time limit of one look into a repository.")
    allowed_endpoints: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Object stores that may be asked, as `host` or `host:port` with `*`, separated by commas. "
        "Empty: all, except link-local addresses and the API server.",
    )
    lease_namespace: str = Field(
        default="", description="Namespace of the Lease that one of several replicas holds. Empty: there is one only."
    )
    lease_name: str = Field(default="mmm-operator", min_length=1, description="Name of that Lease.")
    http_port: int = Field(default=8080, ge=1, le=65535, description="Port of /healthz, /readyz and /metrics.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR."
    )
    drain_delay_seconds: int = Field(
        default=20,
        ge=0,
        le=300,
        description="How long a stopping pod still accepts requests: longer than the slowest proxy or load balancer "
        "takes to learn that it is going.",
    )
    grace_seconds: int = Field(
        default=60,
        ge=10,
        description="How long a stopping pod may take to finish its requests at least; it gets more where the drain "
        "delay and the longest request that its model allows need more.",
    )

    @field_validator("namespaces", "allowed_endpoints", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def load_settings(server_image: str | None = None) -> Settings:
    """Settings from the environment; raises SettingsError with one sentence per mistake.

    `server_image` stands in for the only setting that has no default.
    """
    try:
        return Settings() if server_image is None else Settings(server_image=server_image)
    except ValidationError as error:
        raise SettingsError("; ".join(map(_sentence, error.errors(include_url=False)))) from None


def explain_settings() -> str:
    """One paragraph for each setting: its name, what it means and its default."""
    return "\n".join(_explain(name, field) for name, field in Settings.model_fields.items())


def _explain(name: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else f"default: {field.default or 'empty'}"
    return f"  MMM_OPERATOR_{name.upper()} ({default})\n      {field.description}"


def _sentence(mistake: ErrorDetails) -> str:
    # A mistake between two settings names both itself.
    setting = f"MMM_OPERATOR_{str(mistake['loc'][0]).upper()}: " if mistake["loc"] else ""
    return setting + mistake["msg"].removeprefix("Value error, ")
