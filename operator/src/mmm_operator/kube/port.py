"""What the operator needs of the API server, of the model repository and of the servers, as protocols.

Bodies are plain JSON objects both ways, since manifests travel as JSON.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.kube.store import Id, Seen
from mmm_operator.snapshot import FetchReport, Key, Manifest, Ref, Resolution, ServerReport, Update
from mmm_operator.traffic import Traffic


class Listed(NamedTuple):
    """The objects of a kind as they were together at one moment, which `version` names."""

    items: tuple[Seen, ...]
    version: int


class Versions(NamedTuple):
    """Of all objects of a kind, their own versions at the moment that `version` names."""

    of: Mapping[Id, int]
    version: int


class Kube(Protocol):
    """The API server. What does not exist is None; every other refusal is a KubeError."""

    async def get(self, ref: Ref) -> Manifest | None:
        """The object, or None."""

    async def list(self, kind: str, namespace: str | None, name: str = "") -> Listed:
        """All objects of a kind that can be ours, or the one of that `name`; the namespace None means everywhere."""

    async def versions(self, kind: str, namespace: str | None) -> Versions:
        """The same objects, their versions only: a hundredth of the bytes."""

    async def warnings_about(self, namespace: str, uid: str) -> tuple[Manifest, ...]:
        """The Warning events about one object."""

    async def create(self, manifest: Manifest) -> Manifest:
        """The object, new, with our fields in it; raises Conflict when the name is taken, by whomever."""

    async def apply(self, manifest: Manifest) -> Manifest:
        """The object after server-side apply, also of fields that somebody else owned."""

    async def overwrite(self, manifest: Manifest) -> Manifest:
        """The object with our fields in it, and our lists instead of what anybody made of them."""

    async def apply_status(self, manifest: Manifest) -> Manifest | None:
        """The MultimodalModel after server-side apply of its status; None when it is gone."""

    async def delete(self, ref: Ref, uid: str, version: str) -> bool:
        """Deletion of exactly this object in exactly this state, its dependents later; False when it is gone.

        Raises Conflict when it has changed, or is another one.
        """

    async def create_event(self, manifest: Manifest) -> None:
        """Creation of an event."""

    async def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The Secret or ConfigMap, or None."""


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

    async def look(self, key: Key, mmm: MultimodalModel, status: Status) -> tuple[Resolution, Update | None]:
        """What is known about the wanted version and of others; must answer soon, whatever the storage does."""

    def forget(self, key: Key) -> None:
        """The object is gone: nobody asks for its repository any more."""


class Reports(Protocol):
    """The status pages of the server pods."""

    async def reports(self, key: Key, pods: Sequence[Manifest], *, again: bool = False) -> Mapping[str, ServerReport]:
        """What is known of these pods, by pod name; must answer soon, whatever the pods do. `again`: it may change."""


class Fetches(Protocol):
    """The progress of pods that fetch."""

    async def fetches(self, key: Key, pods: Sequence[Manifest]) -> Mapping[str, FetchReport]:
        """What is known of these pods, by pod name; must answer soon, whatever the pods do."""


class Answers(Protocol):
    """What server pods have answered."""

    async def traffic(
        self, key: Key, pods: Sequence[Manifest], since: str, newborn: Collection[str] = ()
    ) -> Mapping[str, Traffic]:
        """By pod name what was counted since that moment; must answer soon, whatever the pods do."""

    def forget(self, key: Key) -> None:
        """The object is gone: nothing is counted for it any more."""


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
