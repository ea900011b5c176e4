"""How to reach a model repository: its address, and the options that a user gives for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from mmm_repository.errors import InvalidAddress
from mmm_repository.paths import shown

BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
PREFIX_COMPONENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@=+-]*")
VERSION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._+-]*[A-Za-z0-9])?")
MAX_VERSION_LENGTH = 128
MAX_PREFIX_LENGTH = 255


class AddressingStyle(StrEnum):
    """Where the bucket's name goes: into the path, or before the host."""

    AUTO = "Auto"
    PATH = "Path"
    VIRTUAL = "Virtual"


class StorageOptions(BaseModel):
    """How to reach an S3 store and as whom. Without credentials the ambient identity is used. Hashable, frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    endpoint: str | None = None
    region: str | None = None
    addressing_style: AddressingStyle = AddressingStyle.AUTO
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None
    ca_file: Path | None = None
    ca_pem: bytes | None = Field(default=None, repr=False)
    # As nobody: the ambient identity is not used either.
    anonymous: bool = False
    insecure_skip_tls_verify: bool = False
    # A proxy in the environment of a pod is meant for the internet, hardly ever for the store beside it.
    use_environment_proxy: bool = False
    connect_timeout_seconds: float = Field(default=5.0, gt=0)
    # Between two reads of an answer; a stalled connection is given up after it, however large the object is.
    read_timeout_seconds: float = Field(default=20.0, gt=0)
    # For a whole answer, so that one that drips for ever ends too.
    request_timeout_seconds: float = Field(default=600.0, gt=0)

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, endpoint: str | None) -> str | None:
        if not endpoint:
            return None
        address = urlsplit(endpoint)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError("an endpoint is written https://host or http://host:port")
        if "@" in address.netloc or address.query or address.fragment:
            raise ValueError("an endpoint holds no user, password, query or fragment")
        return endpoint.rstrip("/")

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("an access key id and a secret access key are only of use together")
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The options that the usual AWS_* variables give; empty ones count as absent."""
        present = {name: value for name, value in environment.items() if value}
        return cls(
            endpoint=present.get("AWS_ENDPOINT_URL_S3") or present.get("AWS_ENDPOINT_URL"),
            region=present.get("AWS_REGION") or present.get("AWS_DEFAULT_REGION"),
            access_key_id=secret(present.get("AWS_ACCESS_KEY_ID")),
            secret_access_key=secret(present.get("AWS_SECRET_ACCESS_KEY")),
            session_token=secret(present.get("AWS_SESSION_TOKEN")),
        )


@dataclass(frozen=True)
class Address:
    """A parsed repository uri: `s3://bucket/prefix`, or a directory (then `bucket` is empty)."""

    bucket: str
    prefix: str
    directory: Path | None = None

    def __str__(self) -> str:
        if self.directory is not None:
            return str(self.directory)
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def container(self) -> str:
        """What a user calls the place: "bucket models" or "directory /srv/models"."""
        return f"directory {self.directory}" if self.directory is not None else f"bucket {self.bucket}"

    def version_key(self, version: str) -> str:
        """Where a version's files lie below the container, without a trailing slash."""
        return f"{self.prefix}/{version}" if self.prefix else version


def parse_uri(uri: str) -> Address:
    """The address behind `s3://bucket/prefix`, `file:///directory` or a plain directory; raises InvalidAddress."""
    if uri.startswith("s3://"):
        return parse_s3(uri)
    if uri.startswith("file://"):
        uri = uri.removeprefix("file://")
    elif "://" in uri:
        raise InvalidAddress(f"{shown(uri)} is no repository. Write s3://bucket/prefix or a directory.")
    if not uri or "\0" in uri:
        raise InvalidAddress(f"{shown(uri)} is no repository. Write s3://bucket/prefix or a directory.")
    return Address(bucket="", prefix="", directory=Path(uri).absolute())


def parse_s3(uri: str) -> Address:
    """The bucket and prefix in an `s3://` uri; raises InvalidAddress."""
    bucket, _, prefix = uri.removeprefix("s3://").rstrip("/").partition("/")
    if not BUCKET.fullmatch(bucket):
        raise InvalidAddress(f"{shown(uri)} names no bucket. Write s3://bucket/prefix.")
    components = prefix.split("/") if prefix else []
    if len(prefix) > MAX_PREFIX_LENGTH or not all(map(PREFIX_COMPONENT.fullmatch, components)):
        raise InvalidAddress(
            f"{shown(uri)} has a prefix that cannot be used. Write plain components with single slashes."
        )
    return Address(bucket=bucket, prefix=prefix)


def check_version(version: str) -> None:
    """Raise InvalidAddress unless this can be the name of a version: letters, digits and ._+- between them."""
    if len(version) > MAX_VERSION_LENGTH or not VERSION.fullmatch(version):
        raise InvalidAddress(f"{shown(version)} cannot be a version. Use letters and digits, and . _ + - between them.")


def secret(value: str | None) -> SecretStr | None:
    """The value, wrapped so that no log shows it; None stays None."""
    return SecretStr(value) if value else None
