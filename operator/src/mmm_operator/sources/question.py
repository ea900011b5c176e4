"""What is asked of a model repository, and how the answer is put."""

import base64
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from mmm_operator.api.conditions import REASONS, Reason
from mmm_operator.api.status import ModelState
from mmm_operator.api.storage import CaBundle, CredentialsSecretRef, KeyRef, Storage
from mmm_operator.api.v1alpha1 import MultimodalModel
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
    def of(cls, mmm: MultimodalModel, version: str | None = None) -> "Question":
        """What the object asks for; of another `version` than its own, when one is given."""
        model = mmm.spec.model
        return cls(mmm.metadata.namespace, model.uri, version or model.version or "", mmm.spec.storage)

    def same_place(self, state: ModelState | None) -> bool:
        """Whether a stored state is of a version at the same place."""
        return state is not None and (state.uri, state.endpoint) == (self.uri, self.storage.endpoint or "")

    def answered_by(self, state: ModelState | None) -> str | None:
        """The digest in a stored state, if that state is of the same version at the same place."""
        if state is None or not state.digest or state.version != self.version:
            return None
        return state.digest if self.same_place(state) else None

    def found(self, digest: str, total_bytes: int = 0) -> Resolution:
        """The answer that the version is there."""
        message = f"Version {self.version} is {digest}."
        return Resolution(self.uri, self.version, digest, total_bytes, Reason.RESOLVED, message)

    def missing(self, reason: Reason, message: str) -> Resolution:
        """The answer that it cannot be served, or not yet."""
        return Resolution(self.uri, self.version, reason=reason, message=message)

    def pinned(self, resolution: Resolution, pin: str | None) -> Resolution:
        """The answer, unless it is another digest than the one that `pin` allows alone."""
        if pin is None or resolution.digest in (None, pin):
            return resolution
        message = f"Version {self.version} is {resolution.digest}, but spec.model.digest is {pin}."
        return self.missing(Reason.DIGEST_MISMATCH, message)

    def failed(self, error: RepositoryError) -> Resolution:
        """The answer that the repository gave."""
        return self.missing(reason_of(error), error.message)


def reason_of(error: RepositoryError) -> Reason:
    """The word for a failure of the repository."""
    return REASONS.get(error.reason, Reason.INTERNAL_ERROR)


class CredentialsMissing(Exception):
    """A Secret or ConfigMap does not hold what `spec.storage` says."""


def storage_options(storage: Storage, secret: Manifest | None, bundle: bytes | None = None) -> StorageOptions:
    """The repository's view of `spec.storage`, with the credentials and certificates that it names."""
    credentials = storage.credentials_secret_ref
    return StorageOptions(
        endpoint=storage.endpoint,
        region=storage.region,
        addressing_style=AddressingStyle(storage.addressing_style.value),
        insecure_skip_tls_verify=storage.insecure_skip_tls_verify,
        ca_pem=bundle,
        # An identity of our own is nothing for an address that somebody else chose.
        anonymous=credentials is None and storage.endpoint is not None,
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


def bundle_reference(bundle: CaBundle) -> tuple[str, KeyRef]:
    """The kind and key that hold the certificates."""
    if bundle.config_map_key_ref is not None:
        return "ConfigMap", bundle.config_map_key_ref
    if bundle.secret_key_ref is not None:
        return "Secret", bundle.secret_key_ref
    raise CredentialsMissing("spec.storage.caBundle names neither a ConfigMap nor a Secret.")


def bundle_content(kind: str, reference: KeyRef, found: Manifest | None) -> bytes:
    """The certificates in the object that was found, as PEM."""
    if found is None:
        raise CredentialsMissing(f"There is no {kind} {reference.name}, which spec.storage.caBundle names.")
    plain = (found.get("data") or {}) if kind == "ConfigMap" else {}
    if reference.key in plain:
        return str(plain[reference.key]).encode()
    encoded = (found.get("binaryData" if kind == "ConfigMap" else "data") or {}).get(reference.key)
    if not encoded:
        raise CredentialsMissing(f"{kind} {reference.name} has no key {reference.key}.")
    return base64.b64decode(encoded)


def _text(secret: str, key: str, encoded: str | None) -> str:
    if not encoded:
        raise CredentialsMissing(f"Secret {secret} has no key {key}.")
    try:
        return base64.b64decode(encoded).decode()
    except ValueError as error:
        raise CredentialsMissing(f"Key {key} of Secret {secret} holds no text.") from error
