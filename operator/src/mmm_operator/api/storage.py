"""Where models come from and where they are kept: `spec.storage` and `spec.cache`."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from mmm_operator.api import rules
from mmm_operator.api.base import ApiModel, Quantity
from mmm_operator.api.scalars import Name, SecretKey


class AddressingStyle(StrEnum):
    """How a bucket is named in a request: in the path, in the host name, or as the endpoint suggests."""

    AUTO = "Auto"
    PATH = "Path"
    VIRTUAL = "Virtual"


class CacheType(StrEnum):
    """Where model files live in a pod."""

    EMPTY_DIR = "EmptyDir"
    PERSISTENT_VOLUME_CLAIM = "PersistentVolumeClaim"


class AccessMode(StrEnum):
    """How many nodes may mount the claim."""

    READ_WRITE_MANY = "ReadWriteMany"
    READ_WRITE_ONCE = "ReadWriteOnce"


class CredentialsSecretRef(ApiModel):
    """A Secret in the object's own namespace that holds S3 credentials."""

    name: Name = Field(description="Name of the Secret.")
    access_key_id_key: SecretKey = Field(
        default="AWS_ACCESS_KEY_ID", alias="accessKeyIDKey", description="Key of the access key id."
    )
    secret_access_key_key: SecretKey = Field(
        default="AWS_SECRET_ACCESS_KEY", description="Key of the secret access key."
    )
    session_token_key: SecretKey | None = Field(default=None, description="Key of the session token, if there is one.")


class KeyRef(ApiModel):
    """One key of an object in the MultimodalModel's own namespace."""

    name: Name = Field(description="Name of the object.")
    key: SecretKey = Field(default="ca.crt", description="The key in it.")


class CaBundle(ApiModel):
    """Where the certificates are by which the store's certificate is verified, as PEM."""

    model_config = ConfigDict(json_schema_extra=rules.CA_BUNDLE)

    config_map_key_ref: KeyRef | None = Field(default=None, description="They are in a ConfigMap.")
    secret_key_ref: KeyRef | None = Field(default=None, description="They are in a Secret.")


class Storage(ApiModel):
    """How to reach the object store."""

    model_config = ConfigDict(json_schema_extra=rules.STORAGE)

    endpoint: str | None = Field(
        default=None,
        max_length=512,
        pattern=r"^https?://[^/?#@\s]+$",
        description="URL of an S3-compatible server, without a path. Default: AWS.",
        json_schema_extra=rules.ENDPOINT,
    )
    region: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9-]+$",
        description="Region. Default: us-east-1.",
        json_schema_extra=rules.REGION,
    )
    addressing_style: AddressingStyle = Field(
        default=AddressingStyle.AUTO,
        description="Path: endpoint/bucket/key. Virtual: bucket.endpoint/key. Auto: Path if there is an endpoint.",
    )
    credentials_secret_ref: CredentialsSecretRef | None = Field(
        default=None,
        description="Secret with the credentials. Absent: the ambient identity of `serviceAccountName`.",
    )
    ca_bundle: CaBundle | None = Field(
        default=None,
        description="Trust these certificates, beside the usual ones. Read again for every pod, and every few minutes.",
    )
    insecure_skip_tls_verify: bool = Field(
        default=False,
        alias="insecureSkipTLSVerify",
        description="Do not verify the server's certificate. For tests only.",
    )


class ClaimTemplate(ApiModel):
    """A claim for the operator to make."""

    model_config = ConfigDict(json_schema_extra=rules.CLAIM_TEMPLATE)

    size: Quantity = Field(description="Size of the volume, for instance 20Gi.")
    storage_class_name: Name | None = Field(
        default=None, description="StorageClass. Default: the cluster's default class."
    )
    access_mode: AccessMode = Field(
        default=AccessMode.READ_WRITE_MANY,
        description="ReadWriteMany lets pods on several nodes share the cache.",
    )


class Cache(ApiModel):
    """Where the model's files are kept."""

    model_config = ConfigDict(json_schema_extra=rules.CACHE)

    type: CacheType = Field(
        default=CacheType.EMPTY_DIR,
        description="EmptyDir: every pod fetches the model. PersistentVolumeClaim: pods share what was fetched once.",
    )
    claim_name: Name | None = Field(default=None, description="An existing claim.")
    claim_template: ClaimTemplate | None = Field(
        default=None,
        description="A claim that the operator makes, and that is deleted with the object, not before: a claim that is"
        " asked for no more keeps its data.",
    )
    retain_versions: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="How many versions the claim of `claimTemplate` keeps; those that pods run are never removed. A"
        " fetch removes the others. Default: 2.",
    )
    size_limit: Quantity | None = Field(
        default=None,
        description="Most bytes of a model in an EmptyDir; a larger one is refused before it is fetched. With HotSwap"
        " there is room for three of them.",
    )
