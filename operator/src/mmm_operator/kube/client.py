"""The API server through `kubernetes.aio`, spoken to in plain JSON."""

import asyncio
import platform
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration

from mmm_operator import names
from mmm_operator.errors import KubeError, Transient
from mmm_operator.kube import answers, resources
from mmm_operator.kube.connection import connection_of, load_configuration
from mmm_operator.kube.port import Connection
from mmm_operator.snapshot import Manifest, Ref
from mmm_operator.version import version

CALLS_AT_A_TIME = 16
PAGE = 500
JSON = "application/json"
APPLY = "application/apply-patch+yaml"

OnWrite = Callable[[str, str], None]


def user_agent() -> str:
    """How the operator introduces itself, in the API server's audit log too."""
    return f"mmm-operator/{version()} ({platform.system().lower()}/{platform.machine()})"


class KubeClient:
    """An open connection to the API server; see `port.Kube` for what its methods promise.

    `on_write` hears of the kind and verb of every call that changed the cluster.
    """

    def __init__(self, configuration: Configuration, timeout: float, on_write: OnWrite) -> None:
        configuration.connection_pool_maxsize = CALLS_AT_A_TIME
        self._configuration = configuration
        self._client = ApiClient(configuration)
        self._client.user_agent = user_agent()
        self._slots = asyncio.Semaphore(CALLS_AT_A_TIME)
        self._timeout = timeout
        self._on_write = on_write

    @classmethod
    async def connect(cls, timeout: float, on_write: OnWrite = lambda kind, verb: None) -> Self:
        """A client for the cluster that the environment names; raises SettingsError when it names none."""
        return cls(await load_configuration(), timeout, on_write)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def connection(self) -> Connection:
        """How this client reaches the API server, so that the watches do it in the same way."""
        return await connection_of(self._configuration)

    async def get(self, ref: Ref) -> Manifest | None:
        """The object, or None."""
        return await self._call("GET", resources.path(ref.kind, ref.namespace, ref.name), f"get {ref}")

    async def list(self, kind: str, namespace: str | None, labels: Mapping[str, str] = {}) -> tuple[Manifest, ...]:
        """All objects of a kind that carry the labels."""
        query: dict[str, Any] = {"limit": PAGE}
        if labels:
            query["labelSelector"] = names.selector_text(dict(labels))
        found: list[Manifest] = []
        while True:
            page = await self._call("GET", resources.path(kind, namespace), f"list {kind}", query=query)
            if page is None:
                raise KubeError(f"list {kind}: the API server does not know this kind", status=404)
            found += page["items"]
            query["continue"] = page["metadata"].get("continue")
            if not query["continue"]:
                break
        # The items of a list do not say what they are.
        identity = {"apiVersion": resources.RESOURCES[kind].api_version, "kind": kind}
        return tuple({**identity, **item} for item in found)

    async def apply(self, manifest: Manifest, *, force: bool) -> None:
        """Server-side apply; with `force` also of fields that somebody else owns."""
        ref = Ref.of(manifest)
        query = {"fieldManager": names.FIELD_MANAGER, "force": str(force).lower()}
        path = resources.path(ref.kind, ref.namespace, ref.name)
        if await self._call("PATCH", path, f"apply {ref}", query=query, body=manifest) is None:
            raise KubeError(f"apply {ref}: there is no namespace {ref.namespace}", status=404)
        self._on_write(ref.kind, "apply")

    async def apply_status(self, manifest: Manifest) -> None:
        """Server-side apply of a status, also of fields that somebody else owns; nothing when the object is gone."""
        ref = Ref.of(manifest)
        query = {"fieldManager": names.STATUS_FIELD_MANAGER, "force": "true"}
        path = resources.path(ref.kind, ref.namespace, ref.name, "status")
        if await self._call("PATCH", path, f"apply status of {ref}", query=query, body=manifest) is not None:
            self._on_write(ref.kind, "status")

    async def delete(self, ref: Ref, uid: str) -> None:
        """Deletion of exactly this object, its dependents later; nothing when it is gone."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        path = resources.path(ref.kind, ref.namespace, ref.name)
        if await self._call("DELETE", path, f"delete {ref}", body=options) is not None:
            self._on_write(ref.kind, "delete")

    async def create_event(self, manifest: Manifest) -> None:
        """Creation of an event."""
        path = resources.path("Event", manifest["metadata"]["namespace"])
        await self._call("POST", path, "create Event", body=manifest)
        self._on_write("Event", "create")

    async def read_secret(self, namespace: str, name: str) -> Manifest | None:
        """The Secret, or None."""
        return await self.get(resources.ref("Secret", namespace, name))

    async def _call(
        self, method: str, path: str, what: str, *, query: Mapping[str, Any] = {}, body: Manifest | None = None
    ) -> Manifest | None:
        async with self._slots:
            try:
                status, retry_after, text = await self._request(method, path, query, body)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise Transient(f"{what}: no answer from the API server ({error or type(error).__name__})") from error
        if status == 404:
            return None
        if status >= 400:
            raise answers.failure(what, status, retry_after, text)
        return answers.parse(text)

    async def _request(
        self, method: str, path: str, query: Mapping[str, Any], body: Manifest | None
    ) -> tuple[int, str | None, bytes]:
        headers = {"Accept": JSON, "Content-Type": APPLY if method == "PATCH" else JSON}
        # Only the address and the authorization are the generated client's work: its models are far slower than JSON.
        method, url, headers, _, _ = await self._client.param_serialize(
            method, path, header_params=headers, auth_settings=["BearerToken"]
        )
        if query:
            url += "?" + urlencode({key: value for key, value in query.items() if value is not None})
        response = await self._client.call_api(method, url, headers, body, _request_timeout=self._timeout)
        return response.status, response.getheader("Retry-After"), await response.read()
