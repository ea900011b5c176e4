"""What is asked of a model repository, and how the answer is put."""

import base64
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from mmm_operator.api.conditions import Reason
from mmm_operator.api.status import ModelState
from mmm_operator.api.v1alpha1 import CredentialsSecretRef, MultimodalModel, Storage
from mmm_operator.snapshot import Manifest, Resolution
from mmm_repository.errors import RepositoryError
from mmm_repository.resolve import ResolvedVersion
from mmm_repository.storage import AddressingStyle, StorageOptions

LookUp = Callable[[str, str, StorageOptions], Coroutine[Any, Any, ResolvedVersion]]


@dataclass(frozen=True, slots=True)
class Question:
    """A version, where it lies and as whom to look; equal questions share one answer."""

    namespace: str
    uri: str
    version: str
    storage: Storage

    @classmethod
    def of(cls, mmm: MultimodalModel) -> "Question":
        """What the object asks for."""
        model = mmm.spec.model
        return cls(mmm.metadata.namespace, model.uri, model.version, mmm.spec.storage)

    def answered_by(self, state: ModelState | None) -> str | None:
        """The digest in a stored state, if that state is of the same version at the same place."""
        if state is None or not state.digest:
            return None
        place = (state.uri, state.endpoint, state.version)
        return state.digest if place == (self.uri, self.storage.endpoint or "", self.version) else None

    def found(self, digest: str, total_bytes: int = 0) -> Resolution:
        """The answer that the version is there."""
        message = f"Version {self.version} is {digest}."
        return Resolution(self.uri, self.version, digest, total_bytes, Reason.RESOLVED, message)

    def missing(self, reason: Reason, message: str) -> Resolution:
        """The answer that it cannot be served, or not yet."""
        return Resolution(self.uri, self.version, reason=reason, message=message)

    def failed(self, error: RepositoryError) -> Resolution:
        """The answer that the repository gave."""
        reasons = {reason.value: reason for reason in Reason}
        return self.missing(reasons.get(error.reason, Reason.INTERNAL_ERROR), error.message)


class CredentialsMissing(Exception):
    """The Secret does not hold what `credentialsSecretRef` says."""


def storage_options(storage: Storage, secret: Manifest | None) -> StorageOptions:
    """The repository's view of `spec.storage`, with the credentials that it names in the Secret."""
    credentials = storage.credentials_secret_ref
    return StorageOptions(
        endpoint=storage.endpoint,
        region=storage.region,
        addressing_style=AddressingStyle(storage.addressing_style.value),
        insecure_skip_tls_verify=storage.insecure_skip_tls_verify,
        **(_keys(credentials, secret) if credentials else {}),
    )


def _keys(credentials: CredentialsSecretRef, secret: Manifest | None) -> dict[str, Any]:
    if secret is None:
        raise CredentialsMissing(f"There is no Secret {credentials.name}.")
    wanted = {
        "access_key_id": credentials.access_key_id_key,
        "secret_access_key": credentials.secret_access_key_key,
        "session_token": credentials.session_token_key,
    }
    content = secret.get("data") or {}
    return {name: _text(credentials.name, key, content.get(key)) for name, key in wanted.items() if key}


def _text(secret: str, key: str, encoded: str | None) -> str:
    if not encoded:
        raise CredentialsMissing(f"Secret {secret} has no key {key}.")
    try:
        return base64.b64decode(encoded).decode()
    except ValueError as error:
        raise CredentialsMissing(f"Key {key} of Secret {secret} holds no text.") from error
