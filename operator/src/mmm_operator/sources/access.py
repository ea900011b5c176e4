"""As whom a repository is asked: `spec.storage` with what its Secret and its CA bundle hold now."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import ValidationError

from mmm_operator.api.conditions import Reason
from mmm_operator.api.storage import AddressingStyle, CaBundle, Storage
from mmm_operator.errors import KubeError
from mmm_operator.snapshot import Manifest
from mmm_operator.sources.endpoints import EndpointForbidden, Endpoints
from mmm_operator.sources.question import CredentialsMissing, bundle_content, bundle_reference, storage_options
from mmm_repository.storage import StorageOptions

# What reads a Secret or ConfigMap, by kind, namespace and name.
Read = Callable[[str, str, str], Awaitable[Manifest | None]]


class NoAccess(Exception):
    """Nothing can be asked; `reason` and the text say why. `version` is that of the Secret that was read, if any."""

    def __init__(self, reason: Reason, message: str, version: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.version = version


@dataclass(frozen=True, slots=True)
class Pass:
    """The options to ask with, and the version of the Secret that they are from."""

    options: StorageOptions
    version: str


class Access:
    """Where options come from."""

    def __init__(self, read: Read, endpoints: Endpoints) -> None:
        self._read = read
        self._endpoints = endpoints

    async def check(self, uri: str, storage: Storage) -> None:
        """Raise NoAccess for a place that must not be asked at all."""
        bucket = urlsplit(uri).netloc if storage.addressing_style is AddressingStyle.VIRTUAL else ""
        try:
            await self._endpoints.check(storage.endpoint, bucket)
        except EndpointForbidden as error:
            raise NoAccess(Reason.ENDPOINT_FORBIDDEN, str(error)) from None
        except ValueError:
            message = "spec.storage.endpoint is no address: write http://host:port or https://host:port."
            raise NoAccess(Reason.ENDPOINT_UNREACHABLE, message) from None

    async def get(self, namespace: str, uri: str, storage: Storage) -> Pass:
        """How to ask now; raises NoAccess."""
        await self.check(uri, storage)
        try:
            secret, bundle = await self.secret(namespace, storage), await self._bundle(namespace, storage.ca_bundle)
        except CredentialsMissing as error:
            raise NoAccess(Reason.CREDENTIALS_NOT_FOUND, str(error)) from None
        except KubeError as error:
            raise NoAccess(Reason.CREDENTIALS_NOT_FOUND, f"What spec.storage names cannot be read ({error}).") from None
        version = version_of(secret)
        try:
            return Pass(storage_options(storage, secret, bundle), version)
        except CredentialsMissing as error:
            raise NoAccess(Reason.CREDENTIALS_NOT_FOUND, str(error), version) from None
        except ValidationError as error:
            message = f"spec.storage: {error.errors()[0]['msg']}."
            raise NoAccess(Reason.ENDPOINT_UNREACHABLE, message, version) from None

    async def secret(self, namespace: str, storage: Storage) -> Manifest | None:
        """The Secret that the credentials are in; None when there is none, or none is named."""
        reference = storage.credentials_secret_ref
        return await self._read("Secret", namespace, reference.name) if reference else None

    async def _bundle(self, namespace: str, bundle: CaBundle | None) -> bytes | None:
        if bundle is None:
            return None
        kind, reference = bundle_reference(bundle)
        found = await self._read(kind, namespace, reference.name)
        return bundle_content(kind, reference, found)


def version_of(secret: Manifest | None) -> str:
    """The version of a Secret; empty without one."""
    return str(secret["metadata"]["resourceVersion"]) if secret else ""


def now() -> float:
    """The clock of the event loop."""
    return asyncio.get_running_loop().time()
