"""Everything that can go wrong with a model repository, each with a reason and a sentence for the user.

RepositoryError
├── InvalidAddress        the uri or the version's name cannot be one
├── ModelNotFound         the bucket is missing, or nothing lies under the prefix
├── VersionNotFound       other versions exist, this one does not
├── IncompleteUpload      objects without a manifest: somebody is still uploading, or gave up
├── AccessDenied          wrong, expired or missing credentials, or not enough permissions
├── EndpointUnreachable   no answer, or none that makes sense; worth another try unless it says otherwise
├── TLSVerifyFailed       the server's certificate is not trusted
├── DigestMismatch        other bytes than the manifest, or another manifest than wanted
├── InvalidManifest       manifest.json breaks the format
├── UnsafeArtifact        pickle, code, archive, or a file that lies about itself
├── NoSpace               the volume cannot hold the model
├── ModelTooLarge         the model is over the configured limit
├── VolumeUnusable        the local directory cannot be used (read-only, no locks, …)
├── NothingToVerify       verify: there is no manifest that says what is right
├── InvalidDirectory      publish: this is not a model directory
└── VersionExists         publish: a version is immutable

A message never holds a secret, a signed address or a body sent by the server.
"""

from typing import ClassVar

RETRY_MAY_HEAL = 1
NEEDS_A_HUMAN = 3


class RepositoryError(Exception):
    """A failure with `reason` (one CamelCase word), `message` (a sentence for the user) and `retryable`."""

    reason: ClassVar[str] = "InternalError"
    retryable: bool = False

    def __init__(self, message: str, *, retryable: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        if retryable is not None:
            self.retryable = retryable

    @property
    def exit_code(self) -> int:
        """How a process that dies of this failure ends: 1 when a retry may heal it, 3 when a human must act."""
        return RETRY_MAY_HEAL if self.retryable else NEEDS_A_HUMAN


class InvalidAddress(RepositoryError):
    """The uri or the version's name cannot be one."""

    reason = "ModelNotFound"


class ModelNotFound(RepositoryError):
    """The bucket is missing, or nothing lies under the prefix."""

    reason = "ModelNotFound"


class VersionNotFound(RepositoryError):
    """Other versions exist, this one does not."""

    reason = "VersionNotFound"


class IncompleteUpload(RepositoryError):
    """Objects without a manifest; retryable, as an upload may be under way."""

    reason = "IncompleteUpload"
    retryable = True


class AccessDenied(RepositoryError):
    """Wrong, expired or missing credentials, or not enough permissions."""

    reason = "AccessDenied"


class EndpointUnreachable(RepositoryError):
    """The store gave no answer, or none that makes sense."""

    reason = "EndpointUnreachable"
    retryable = True


class TLSVerifyFailed(RepositoryError):
    """The server's certificate is not trusted."""

    reason = "TLSVerifyFailed"


class DigestMismatch(RepositoryError):
    """Other bytes than the manifest names, or another manifest than the wanted one."""

    reason = "DigestMismatch"


class InvalidManifest(RepositoryError):
    """manifest.json breaks the format."""

    reason = "InvalidManifest"


class UnsafeArtifact(RepositoryError):
    """Pickle, code, archive, or a file that lies about itself."""

    reason = "UnsafeArtifact"


class NoSpace(RepositoryError):
    """The volume cannot hold the model."""

    reason = "NoSpace"


class ModelTooLarge(RepositoryError):
    """The model is over the configured limit."""

    reason = "ModelTooLarge"


class VolumeUnusable(RepositoryError):
    """The local directory cannot be used."""

    reason = "InternalError"


class NothingToVerify(RepositoryError):
    """A version without a manifest: nobody says what is right."""

    reason = "NothingToVerify"


class InvalidDirectory(RepositoryError):
    """The directory to publish is not a model directory."""

    reason = "InvalidDirectory"


class VersionExists(RepositoryError):
    """The version is published already; versions are immutable."""

    reason = "VersionExists"
