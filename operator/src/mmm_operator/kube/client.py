"""The API server through `kubernetes.aio`, spoken to in plain JSON."""

import asyncio
import math
import platform
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration

from mmm_operator import names
from mmm_operator.errors import KubeError, Transient
from mmm_operator.kube import answers, resources
from mmm_operator.kube.connection import connection_of, load_configuration
from mmm_operator.kube.port import Connection, Listed, Versions
from mmm_operator.kube.store import Id, Seen, seen, version_of
from mmm_operator.kube.throttle import Throttle
from mmm_operator.snapshot import Manifest, Ref
from mmm_operator.version import version

CALLS_AT_A_TIME = 16
PAGE = 250
JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
# The first revision of etcd is that of the empty store.
NO_VERSION = "1"
LEASES = f"/apis/{resources.RESOURCES['Lease'].group}/"

OnWrite = Callable[[str, str], None]
Fence = Callable[[], float]
"""For how many seconds from now a write may be under way; not above 0: none may be sent."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call to the API server; `what` says it in words."""

    method: str
    path: str
    what: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Manifest | None = None
    accept: str = JSON
    content: str = JSON


class NotLeader(Transient):
    """Another replica may write now; nothing was sent."""


def user_agent(identity: str = "") -> str:
    """How the operator introduces itself, in the API server's audit log too."""
    return f"mmm-operator/{version()} ({platform.system().lower()}/{platform.machine()}) {identity}".strip()


class KubeClient:
    """An open connection to the API server; see `port.Kube` for what its methods promise.

    `on_write` hears of the kind and verb of every call that changed the cluster. `fence` is asked before each of them;
    only calls about Leases pass without, and these wait for no turn either.
    """

    def __init__(
        self,
        configuration: Configuration,
        timeout: float,
        on_write: OnWrite = lambda kind, verb: None,
        fence: Fence = lambda: math.inf,
        identity: str = "",
    ) -> None:
        # One more than the throttle lets through: the Lease must be renewed while all others wait for answers.
        configuration.connection_pool_maxsize = CALLS_AT_A_TIME + 1
        configuration.trace_configs = [_at_the_socket(self._stop_late_write)]
        self._configuration = configuration
        self._client = ApiClient(configuration)
        self._client.user_agent = user_agent(identity)
        self._throttle = Throttle(CALLS_AT_A_TIME)
        self._timeout = timeout
        self._on_write = on_write
        self._fence = fence

    @classmethod
    async def connect(
        cls,
        timeout: float,
        on_write: OnWrite = lambda kind, verb: None,
        fence: Fence = lambda: math.inf,
        identity: str = "",
    ) -> Self:
        """A client for the cluster that the environment names; raises SettingsError when it names none."""
        return cls(await load_configuration(), timeout, on_write, fence, identity)

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
        return await self._call(Call("GET", resources.path(ref.kind, ref.namespace, ref.name), f"get {ref}"))

    async def list(self, kind: str, namespace: str | None, name: str = "") -> Listed:
        """All objects of a kind that can be ours, or the one of that `name`, with the version of the list."""
        found, version = list[Seen](), 0
        async for page in self._pages(kind, namespace, JSON, f"metadata.name={name}" if name else ""):
            # At once, so that only one page at a time is there in full.
            found += [seen(kind, item) for item in page["items"]]
            version = version_of(page["metadata"])
        return Listed(tuple(found), version)

    async def versions(self, kind: str, namespace: str | None) -> Versions:
        """The versions of all objects of a kind that can be ours."""
        found, version = dict[Id, int](), 0
        async for page in self._pages(kind, namespace, METADATA):
            metas = [item["metadata"] for item in page["items"] or ()]  # null, when there is none
            found |= {Id(kind, meta["namespace"], meta["name"]): version_of(meta) for meta in metas}
            version = version_of(page["metadata"])
        return Versions(found, version)

    async def _pages(self, kind: str, namespace: str | None, accept: str, fields: str = "") -> AsyncIterator[Manifest]:
        where, what = resources.path(kind, namespace), f"list {kind}"
        query = {"limit": PAGE, "labelSelector": resources.selector(kind), "fieldSelector": fields, "continue": ""}
        while True:
            page = await self._call(Call("GET", where, what, query=query, accept=accept))
            if page is None:
                raise KubeError(f"{what}: the API server does not know this kind", status=404)
            yield page
            query["continue"] = page["metadata"].get("continue") or ""
            if not query["continue"]:
                return

    async def warnings_about(self, namespace: str, uid: str) -> tuple[Manifest, ...]:
        """The Warning events about one object."""
        query = {"limit": PAGE, "fieldSelector": f"regarding.uid={uid},type=Warning"}
        page = await self._call(Call("GET", resources.path("Event", namespace), "list Event", query=query))
        return tuple(page["items"]) if page else ()

    async def create(self, manifest: Manifest) -> Manifest:
        """The object, new, with our fields in it; raises Conflict when the name is taken, by whomever."""
        # An apply creates what is not there. Asked for a state that no object is in, it does only that.
        unborn = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": NO_VERSION}}
        return await self._apply(unborn, "create", force=False)

    async def apply(self, manifest: Manifest) -> Manifest:
        """The object after server-side apply, also of fields that somebody else owned."""
        return await self._apply(manifest, "apply", force=True)

    async def overwrite(self, manifest: Manifest) -> Manifest:
        """The object with our fields in it, and our lists instead of what anybody made of them."""
        ref, query = Ref.of(manifest), {"fieldManager": names.FIELD_MANAGER}
        path = resources.path(ref.kind, ref.namespace, ref.name)
        written = await self._call(Call("PATCH", path, f"overwrite {ref}", query, manifest, content=MERGE))
        if written is None:
            raise KubeError(f"overwrite {ref}: it is gone", status=404)
        self._on_write(ref.kind, "overwrite")
        return written

    async def _apply(self, manifest: Manifest, verb: str, *, force: bool) -> Manifest:
        ref = Ref.of(manifest)
        query = {"fieldManager": names.FIELD_MANAGER, "force": str(force).lower()}
        path = resources.path(ref.kind, ref.namespace, ref.name)
        written = await self._call(Call("PATCH", path, f"{verb} {ref}", query, manifest, content=APPLY))
        if written is None:
            raise KubeError(f"{verb} {ref}: there is no namespace {ref.namespace}", status=404)
        self._on_write(ref.kind, verb)
        return written

    async def apply_status(self, manifest: Manifest) -> Manifest | None:
        """The MultimodalModel after server-side apply of its status; None when it is gone."""
        ref = Ref.of(manifest)
        query = {"fieldManager": names.STATUS_FIELD_MANAGER, "force": "true"}
        path = resources.path(ref.kind, ref.namespace, ref.name, "status")
        written = await self._call(Call("PATCH", path, f"apply status of {ref}", query, manifest, content=APPLY))
        if written is not None:
            self._on_write(ref.kind, "status")
        return written

    async def delete(self, ref: Ref, uid: str, version: str) -> bool:
        """Deletion of exactly this object in exactly this state, its dependents later; False when it is gone."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid, "resourceVersion": version},
        }
        path = resources.path(ref.kind, ref.namespace, ref.name)
        if await self._call(Call("DELETE", path, f"delete {ref}", body=options)) is None:
            return False
        self._on_write(ref.kind, "delete")
        return True

    async def create_event(self, manifest: Manifest) -> None:
        """Creation of an event."""
        path = resources.path("Event", manifest["metadata"]["namespace"])
        await self._call(Call("POST", path, "create Event", body=manifest))
        self._on_write("Event", "create")

    async def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The Secret or ConfigMap, or None."""
        return await self.get(resources.ref(kind, namespace, name))

    async def read_lease(self, namespace: str, name: str) -> Manifest | None:
        """The Lease, or None."""
        what = f"get Lease {namespace}/{name}"
        return _object(what, await self._send(Call("GET", resources.path("Lease", namespace, name), what)))

    async def write_lease(self, manifest: Manifest) -> Manifest | None:
        """Creation, or with a resourceVersion replacement of exactly that state; None when there is nothing to replace.

        Raises Conflict when it is there already, or changed meanwhile.
        """
        ref = Ref.of(manifest)
        replaced = "resourceVersion" in manifest["metadata"]
        what = f"{'update' if replaced else 'create'} {ref}"
        path = resources.path(ref.kind, ref.namespace, ref.name if replaced else "")
        return _object(what, await self._send(Call("PUT" if replaced else "POST", path, what, body=manifest)))

    async def _call(self, call: Call) -> Manifest | None:
        async with self._throttle:
            left = math.inf if call.method == "GET" else self._fence()
            if left <= 0:
                raise NotLeader(f"{call.what}: not the leader")
            since = asyncio.get_running_loop().time()
            answer = await self._send(call, within=left)
            if answer.status == 429:
                self._throttle.too_many(answers.seconds(answer.retry_after), since)
            else:
                self._throttle.answered()
        return _object(call.what, answer)

    async def _send(self, call: Call, within: float = math.inf) -> answers.Answer:
        try:
            return await self._request(call, min(self._timeout, within))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error.__cause__, NotLeader):
                raise NotLeader(f"{call.what}: {error.__cause__}") from error
            reason = error or type(error).__name__
            raise Transient(f"{call.what}: no answer from the API server ({reason})") from error

    async def _request(self, call: Call, timeout: float) -> answers.Answer:
        headers = {"Accept": call.accept, "Content-Type": call.content}
        # Only the address and the authorization are the generated client's work: its models are far slower than JSON.
        method, url, headers, _, _ = await self._client.param_serialize(
            call.method, call.path, header_params=headers, auth_settings=["BearerToken"]
        )
        if call.query:
            url += "?" + urlencode({key: value for key, value in call.query.items() if value})
        response = await self._client.call_api(method, url, headers, call.body, _request_timeout=timeout)
        return answers.Answer(response.status, response.getheader("Retry-After"), await response.read())

    def _stop_late_write(self, method: str, path: str) -> None:
        # Between the look at the fence and this one the process may have been stopped for a minute.
        if method != "GET" and LEASES not in path and self._fence() <= 0:
            raise NotLeader("not the leader any more")


def _object(what: str, answer: answers.Answer) -> Manifest | None:
    if answer.status == 404:
        return None
    if answer.status >= 400:
        raise answers.failure(what, *answer)
    return answers.parse(answer.text)


def _at_the_socket(check: Callable[[str, str], None]) -> aiohttp.TraceConfig:
    """Has `check` called with method and path immediately before a request with a body goes out."""

    async def look(session: object, context: object, sent: aiohttp.TraceRequestChunkSentParams) -> None:
        check(sent.method, sent.url.path)

    tracing = aiohttp.TraceConfig()
    tracing.on_request_chunk_sent.append(look)
    return tracing
