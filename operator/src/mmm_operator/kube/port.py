"""What the operator needs of the API server, of the model repository and of the servers, as protocols.

Bodies are plain JSON objects both ways, since manifests travel as JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.snapshot import Key, Manifest, Ref, Resolution, ServerReport


class Kube(Protocol):
    """The API server. What does not exist is None; every other refusal is a KubeError."""

    async def get(self, ref: Ref) -> Manifest | None:
        """The object, or None."""

    async def list(self, kind: str, namespace: str | None, labels: Mapping[str, str]) -> tuple[Manifest, ...]:
        """All objects of a kind that carry the labels; namespace None means everywhere."""

    async def apply(self, manifest: Manifest, *, force: bool) -> None:
        """Server-side apply; with `force` also of fields that somebody else owns."""

    async def apply_status(self, manifest: Manifest) -> None:
        """Server-side apply of the status of a MultimodalModel; nothing when it is gone."""

    async def delete(self, ref: Ref, uid: str) -> None:
        """Deletion of exactly this object, its dependents later; nothing when it is gone."""

    async def create_event(self, manifest: Manifest) -> None:
        """Creation of an event."""

    async def read_secret(self, namespace: str, name: str) -> Manifest | None:
        """The Secret, or None."""


class Leases(Protocol):
    """The Leases of the API server, by which one of several operators is elected; the same errors as `Kube`."""

    async def read_lease(self, namespace: str, name: str) -> Manifest | None:
        """The Lease, or None."""

    async def write_lease(self, manifest: Manifest) -> Manifest | None:
        """Creation, or with a resourceVersion replacement of exactly that state; None when there is nothing to replace.

        Raises Conflict when it is there already, or changed meanwhile.
        """


class Sources(Protocol):
    """The model repositories."""

    async def resolution(self, key: Key, mmm: MultimodalModel, status: Status) -> Resolution:
        """What is known about the wanted version; must answer soon, whatever the storage does."""


class Reports(Protocol):
    """The status pages of the server pods."""

    async def reports(self, key: Key, pods: Sequence[Manifest]) -> Mapping[str, ServerReport]:
        """What is known of these pods, by pod name; must answer soon, whatever the pods do."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the API server; `certificate` and `private_key` are paths."""

    server: str
    ca: str | None
    verify: bool
    certificate: str | None
    private_key: str | None
    authorization: str | None
    proxy: str | None
