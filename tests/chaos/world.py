"""The cluster as its administrator sees it: a client, a picture that watches keep up to date, and a kubelet of sorts.

The picture counts births and deaths of children, so that one which was made and deleted in between is not overlooked.
"""

import asyncio
import contextlib
import json
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import aiohttp

from mmm_operator import names
from mmm_operator.kube.resources import WATCHED_CHILDREN, path
from mmm_operator.snapshot import Manifest, has_ended, is_fetcher
from tests.integration.objects import DONE, MERGE, READY, STRATEGIC, is_ready

T = TypeVar("T")

LINGER_SECONDS = 0.2

WATCHED = (names.KIND, *WATCHED_CHILDREN)


RUNNING: Manifest = {
    "status": {
        **READY["status"],
        "conditions": [{**READY["status"]["conditions"][0], "type": "PodScheduled"}, *READY["status"]["conditions"]],
    }
}


class Id(NamedTuple):
    """One object."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Entrance:
    """Where the API server is, and the administrator's way in."""

    server: str
    ca: str
    certificate: str
    key: str

    @classmethod
    def of(cls, kubeconfig: Path) -> "Entrance":
        """The one that a kubeconfig of the local cluster describes."""
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = cluster["certificate-authority"]
        return cls(cluster["server"], authority, user["client-certificate"], user["client-key"])

    def context(self, administrator: bool) -> ssl.SSLContext:
        """TLS to the API server, with or without the administrator's certificate."""
        context = ssl.create_default_context(cafile=self.ca)
        if administrator:
            context.load_cert_chain(self.certificate, self.key)
        return context


class Api:
    """Plain calls; an answer that is no success fails the test, except that what does not exist is None."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(cls, entrance: Entrance) -> AsyncIterator["Api"]:
        """A client for the duration of the block."""
        connector = aiohttp.TCPConnector(ssl=entrance.context(administrator=True), limit=0)
        async with aiohttp.ClientSession(entrance.server, connector=connector, read_bufsize=2**22) as session:
            yield cls(session)
        # Connections with TLS end a few turns of the loop later, and the loop of a test may end right now.
        await asyncio.sleep(LINGER_SECONDS)

    async def get(self, ref: Id) -> Manifest | None:
        """The object as it is now."""
        return await self._call("GET", path(ref.kind, ref.namespace, ref.name))

    async def create(self, namespace: str, manifest: Manifest) -> Manifest:
        """A new object."""
        return await self._done("POST", path(manifest["kind"], namespace), manifest)

    async def patch(self, ref: Id, change: Any, sub: str = "", how: str = MERGE) -> Manifest | None:
        """The changed object; None when it is gone."""
        return await self._call("PATCH", path(ref.kind, ref.namespace, ref.name, sub), change, how)

    async def delete(self, ref: Id, policy: str = "Background") -> None:
        """Deletion, also of what is gone already."""
        await self._call("DELETE", path(ref.kind, ref.namespace, ref.name), {"propagationPolicy": policy})

    async def there(self, where: str) -> bool:
        """Whether there is something of this path."""
        return await self._call("GET", where) is not None

    async def post(self, where: str, manifest: Manifest) -> Manifest:
        """Creation in a collection that is named by its path."""
        return await self._done("POST", where, manifest)

    async def remove(self, where: str) -> None:
        """Deletion of what is named by its path."""
        await self._call("DELETE", where)

    async def _done(self, method: str, where: str, body: Any) -> Manifest:
        found = await self._call(method, where, body)
        assert found is not None, f"{method} {where}: not found"
        return found

    async def _call(self, method: str, where: str, body: Any = None, how: str = "application/json") -> Manifest | None:
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": how}
        async with self._session.request(method, where, data=content, headers=headers) as answer:
            text = await answer.text()
            if answer.status == 404:
                return None
            assert answer.ok, f"{method} {where}: {answer.status} {text[:500]}"
            found: Manifest = json.loads(text)
            return found

    async def events(self, kind: str) -> AsyncGenerator[tuple[str, Manifest], None]:
        """What there is, as `LISTED` with all of it, and then what changes; ends when the connection does."""
        listed = await self._call("GET", path(kind, None))
        assert listed is not None
        yield "LISTED", listed
        query = {"watch": "true", "resourceVersion": listed["metadata"]["resourceVersion"]}
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(path(kind, None), params=query, timeout=timeout) as answer:
            while line := await answer.content.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]


class World:
    """What there is now in all namespaces."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.objects: dict[Id, Manifest] = {}
        self.births: Counter[tuple[str, str, str]] = Counter()
        self.deaths: Counter[tuple[str, str, str]] = Counter()
        self._waiting: set[asyncio.Event] = set()
        self._on_pod: list[Callable[[Manifest], Awaitable[None]]] = []
        self._calls: set[asyncio.Future[None]] = set()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator["World"]:
        """Kept up to date while the block runs."""
        tasks = [asyncio.create_task(self._watch(kind)) for kind in WATCHED]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def on_pod(self, call: Callable[[Manifest], Awaitable[None]]) -> None:
        """Have `call` hear of every pod that is new or changed."""
        self._on_pod.append(call)

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The object, or None."""
        return self.objects.get(Id(kind, namespace, name))

    def of(self, kind: str, namespace: str, model: str | None = None) -> Iterator[Manifest]:
        """The objects of a kind in a namespace, of one MultimodalModel or of all."""
        for ref, item in self.objects.items():
            if ref.kind == kind and ref.namespace == namespace and model in (None, model_of(item)):
                yield item

    async def until(self, look: Callable[[], T | None], seconds: float, what: str = "") -> T:
        """What `look` returns, once that is true; it is called after every change."""
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            async with asyncio.timeout(seconds):
                while not (found := look()):
                    changed.clear()
                    await changed.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"not within {seconds:g} s: {what}") from None
        finally:
            self._waiting.discard(changed)

    def counts(self, namespace: str, model: str) -> dict[str, int]:
        """How many children a MultimodalModel got, and how many were deleted, by kind."""
        return {
            f"{kind} {word}": counter[namespace, model, kind]
            for word, counter in (("created", self.births), ("deleted", self.deaths))
            for kind in WATCHED_CHILDREN
            if counter[namespace, model, kind]
        }

    async def _watch(self, kind: str) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, AssertionError, ValueError):
                async with aclosing(self.api.events(kind)) as events:
                    async for type_, thing in events:
                        if type_ == "LISTED":
                            self._relist(kind, thing["items"])
                        else:
                            self._take(kind, type_, thing)
                        for event in self._waiting:
                            event.set()
            await asyncio.sleep(0.2)  # the API server is away

    def _relist(self, kind: str, items: list[Manifest]) -> None:
        listed = {_id(kind, item): item for item in items}
        for ref, item in list(self.objects.items()):
            if ref.kind == kind and _uid(listed.get(ref)) != _uid(item):
                self._take(kind, "DELETED", item)
        for item in items:
            self._take(kind, "ADDED", item)

    def _take(self, kind: str, type_: str, item: Manifest) -> None:
        ref, before = _id(kind, item), self.objects.get(_id(kind, item))
        place = (ref.namespace, model_of(item), kind)
        if type_ == "DELETED":
            self.deaths[place] += before is not None
            self.objects.pop(ref, None)
            return
        self.births[place] += before is None
        self.objects[ref] = item
        if kind == "Pod":
            for call in self._on_pod:
                task = asyncio.ensure_future(call(item))
                self._calls.add(task)
                task.add_done_callback(self._calls.discard)


class Kubelet:
    """Says of every pod that it runs and is ready, or has fetched, at once, except of those that are held.

    It looks after the namespaces whose names begin with `prefix`. There is no scheduler, which would go on saying of
    pods that run that they have no node; one that somebody asks for by another name is not there either.
    """

    def __init__(self, world: World, prefix: str) -> None:
        self._world = world
        self._prefix = prefix
        self._held: set[tuple[str, str, str]] = set()
        world.on_pod(self._look)

    def hold(self, namespace: str, model: str, version: str) -> None:
        """From now on no pod of this version of this MultimodalModel becomes ready."""
        self._held.add((namespace, model, version))

    async def _look(self, pod: Manifest) -> None:
        meta = pod["metadata"]
        version = meta.get("labels", {}).get(names.LABEL_VERSION, "")
        held = (meta["namespace"], model_of(pod), version) in self._held
        if held or "deletionTimestamp" in meta or not meta["namespace"].startswith(self._prefix):
            return
        if not is_ready(pod) and not has_ended(pod) and pod["spec"].get("schedulerName") == "default-scheduler":
            with contextlib.suppress(AssertionError, aiohttp.ClientError):  # deleted meanwhile, or looked at twice
                await self._world.api.patch(_id("Pod", pod), DONE if is_fetcher(pod) else RUNNING, "status", STRATEGIC)


def model_of(item: Manifest) -> str:
    """The MultimodalModel that an object belongs to, by label; its own name without one."""
    meta = item["metadata"]
    return str(meta.get("labels", {}).get(names.LABEL_MODEL, meta["name"]))


def _id(kind: str, item: Manifest) -> Id:
    return Id(kind, item["metadata"].get("namespace", ""), item["metadata"]["name"])


def _uid(item: Manifest | None) -> str | None:
    return item["metadata"]["uid"] if item else None
