"""Where one plan after the other is played: a namespace, a proxy, an operator, and MultimodalModels in it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.chaos.operators import Nursery, OperatorProcess
from tests.chaos.proxy import Proxy, Request
from tests.chaos.relay import Relay
from tests.chaos.world import WATCHED, Entrance, Id, Kubelet, World
from tests.integration.bucket import Bucket

PREFIX = "stage-"
QUIET_SECONDS = 1.0
# Of a machine on which five others work as well; what takes long on a quiet one has limits of its own.
PATIENCE_SECONDS = 180.0
# What differs between two worlds that are the same. What the operator notes for itself covers the owner's uid and name.
NOTES = {value for name, value in vars(names).items() if name.startswith("ANNOTATION_")} - {names.ANNOTATION_DIGEST}
INCIDENTAL = NOTES | {
    *("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "namespace"),
    *(
        "lastTransitionTime",
        "since",
        "startedAt",
        "createdAt",
        "clusterIP",
        "clusterIPs",
        "deployment.kubernetes.io/revision",
    ),
    # Hashes and uids of what has other names.
    *(names.LABEL_VOLUME, "controller-uid", "batch.kubernetes.io/controller-uid"),
}


@dataclass(frozen=True)
class Ground:
    """What all stages stand on."""

    world: World
    kubelet: Kubelet
    nursery: Nursery
    entrance: Entrance
    account: Path
    bucket: Bucket
    folder: Path


class Stage:
    """One namespace with its operator; `model` is the name of the MultimodalModel that is played now."""

    def __init__(self, ground: Ground, namespace: str, proxy: Proxy, operator: OperatorProcess) -> None:
        self.ground = ground
        self.world = ground.world
        self.kubelet = ground.kubelet
        self.namespace = namespace
        self.proxy = proxy
        self.operator = operator
        self.model = "clip"
        # Who ends and starts operators: the story, and the plan that kills them.
        self._succession = asyncio.Lock()
        self._open = AsyncExitStack()
        self._wanted = "", 0
        self._endpoint = ""

    @classmethod
    @asynccontextmanager
    async def open(cls, ground: Ground, namespace: str, **settings: str) -> AsyncIterator["Stage"]:
        """A stage for the duration of the block; the operator does not run yet."""
        await _make_namespace(ground, namespace)
        proxy = Proxy(ground.entrance.server, ground.entrance.context(administrator=False))
        folder = ground.folder / namespace
        folder.mkdir()
        async with proxy.running():
            config = json.loads(ground.account.read_text())
            config["clusters"][0]["cluster"] = {"server": proxy.url}
            (folder / "kubeconfig").write_text(json.dumps(config))
            wanted = {f"MMM_OPERATOR_{name.upper()}": value for name, value in settings.items()}
            wanted.setdefault("MMM_OPERATOR_NAMESPACES", namespace)
            operator = OperatorProcess(ground.nursery, folder / "kubeconfig", folder / "operator.log", wanted)
            stage = cls(ground, namespace, proxy, operator)
            try:
                yield stage
            finally:
                await stage._open.aclose()
                if operator.pid is not None:
                    operator.kill()
                    await operator.ended()
        await ground.world.api.remove(f"/api/v1/namespaces/{namespace}")

    def mmm(self) -> Manifest | None:
        """The MultimodalModel as it is now."""
        return self.world.get(names.KIND, self.namespace, self.model)

    def children(self, kind: str) -> list[Manifest]:
        """Its children of one kind."""
        return list(self.world.of(kind, self.namespace, self.model))

    def deployment(self, version: str) -> Manifest | None:
        """The Deployment of a model version."""
        found = self.children("Deployment")
        return next((item for item in found if item["metadata"]["labels"][names.LABEL_VERSION] == version), None)

    def mine(self, request: Request) -> bool:
        """Whether a request writes about the MultimodalModel that is played now."""
        mark = re.compile(rf"\b{self.model}\b")
        return request.is_write and bool(mark.search(request.path) or mark.search(request.body.decode()))

    async def create(self, version: str = "1", **spec: Any) -> None:
        """Make the MultimodalModel."""
        bucket = self.ground.bucket
        model = {"uri": "s3://models/chaos", "version": version, "pollIntervalSeconds": 5, **spec.pop("model", {})}
        made = await self.world.api.create(
            self.namespace,
            {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "metadata": {"name": self.model},
                "spec": {"model": model, "storage": {**bucket.storage, **spec.pop("storage", {})}, **spec},
            },
        )
        self._wanted = made["metadata"]["uid"], made["metadata"]["generation"]

    async def edit(self, **spec: Any) -> None:
        """Merge a change into its spec."""
        changed = await self.world.api.patch(self.ref(names.KIND), {"spec": spec})
        assert changed is not None
        self._wanted = changed["metadata"]["uid"], changed["metadata"]["generation"]

    async def delete(self, policy: str = "Background") -> None:
        """Delete the MultimodalModel."""
        await self.world.api.delete(self.ref(names.KIND), policy)

    def gone(self) -> bool:
        """Whether the MultimodalModel that was made last is there no more."""
        mmm = self.mmm()
        return mmm is None or bool(mmm["metadata"]["uid"] != self._wanted[0])

    async def remove_namespace(self) -> None:
        """End the namespace; return once nothing is left of it."""
        where = f"/api/v1/namespaces/{self.namespace}"
        await self.world.api.remove(where)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self.world.api.there(where):  # noqa: ASYNC110  (namespaces are not watched)
                await asyncio.sleep(0.2)

    async def make_namespace(self) -> None:
        """The namespace as it was at first."""
        await _make_namespace(self.ground, self.namespace)

    async def relay(self) -> Relay:
        """A way to the bucket that can be closed, for as long as the stage is there."""
        relay = await self._open.enter_async_context(Relay(self.ground.bucket.server.endpoint).running())
        self._endpoint = relay.endpoint
        return relay

    async def put_secret(self, name: str, content: Mapping[str, str]) -> None:
        """A Secret that holds this, whatever it held before."""
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(content)}
        if await self.world.api.patch(self.ref("Secret", name), {"stringData": dict(content)}) is None:
            await self.world.api.create(self.namespace, secret)

    def hold(self, version: str) -> None:
        """From now on no pod of this version becomes ready."""
        self.kubelet.hold(self.namespace, self.model, version)

    async def restart(self, **settings: str) -> None:
        """Another operator in place of this one, with other settings; the old one may have been killed meanwhile."""
        async with self._succession:
            self.operator.settings.update(settings)
            if self.operator.pid is not None:
                await self.operator.stop()
            await self.operator.start()

    async def succeed(self, pid: int) -> None:
        """Another operator in place of the dead one; nothing when somebody took care of that already."""
        async with self._succession:
            if self.operator.pid == pid:
                await self.operator.ended()
                await self.operator.start()

    async def watching(self) -> None:
        """Return once the operator that was started last has begun to watch."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(  # noqa: ASYNC110  (the proxy's record tells nobody)
                seen.at > self.operator.started
                for seen in reversed(self.proxy.seen)
                if seen.request.is_watch and seen.request.resource == names.PLURAL
            ):
                await asyncio.sleep(0.05)

    def reason(self, condition: str) -> str:
        """The reason of a condition that is not True; empty for one that is, or is not there."""
        conditions = ((self.mmm() or {}).get("status") or {}).get("conditions", [])
        found = (item["reason"] for item in conditions if item["type"] == condition and item["status"] != "True")
        return next(found, "")

    def ref(self, kind: str, name: str = "") -> Id:
        """One of its objects; its own name, unless another is given."""
        return Id(kind, self.namespace, name or self.model)

    async def until(self, look: Callable[[], object], what: str = "", seconds: float = PATIENCE_SECONDS) -> None:
        """Return once `look` is true."""
        try:
            await self.world.until(look, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.describe()}") from None

    async def settled(self, version: str = "1") -> None:
        """Return once this version serves at the wanted size, and the status says so of the present generation."""
        await self.until(lambda: self.serves(version), f"version {version} serves")

    def serves(self, version: str) -> bool:
        """Whether it does by now."""
        mmm = self.mmm()
        # The picture may lag behind what was just asked for.
        if mmm is None or (mmm["metadata"]["uid"], mmm["metadata"]["generation"]) != self._wanted:
            return False
        status = mmm.get("status", {})
        ready = next((item for item in status.get("conditions", []) if item["type"] == "Ready"), None)
        current = (status.get("model", {}).get("current") or {}).get("version")
        return (
            ready is not None
            and ready["status"] == "True"
            and ready["observedGeneration"] == mmm["metadata"]["generation"]
            and current == version
        )

    async def quiet(self, seconds: float = QUIET_SECONDS) -> None:
        """Return once the operator has written nothing for so long, counted from when it last began to watch."""
        await self.watching()
        loop = asyncio.get_running_loop()
        while (rest := self._active() + seconds - loop.time()) > 0:  # noqa: ASYNC110  (silence makes no event)
            await asyncio.sleep(rest)

    def _active(self) -> float:
        watches = (seen.at for seen in reversed(self.proxy.seen) if seen.request.is_watch)
        return max(self.proxy.last_write, next(watches, 0.0))

    def essence(self) -> Mapping[str, Any]:
        """Everything that is there of the MultimodalModel, without what differs by nature."""
        there = {
            # What other controllers say of the children is theirs.
            f"{kind} {item['metadata']['name']}": _essence(item if kind == names.KIND else {**item, "status": None})
            for kind in WATCHED
            if kind != "Pod"
            for item in self.children(kind)
        }
        text = json.dumps(there, sort_keys=True)
        for own, neutral in self._own_words():
            text = text.replace(own, neutral)
        found: Mapping[str, Any] = json.loads(text)
        return found

    def _own_words(self) -> Iterator[tuple[str, str]]:
        yield self.model, "MODEL"
        yield self.namespace, "NAMESPACE"
        if self._endpoint:
            yield self._endpoint, "ENDPOINT"
        # Addresses and names of Secrets are part of what a revision is made from; so it is named by its place instead.
        for number, item in enumerate(self.children("Deployment")):
            yield item["metadata"]["labels"][names.LABEL_REVISION], f"revision{number}"

    def describe(self) -> str:
        """What the status says, for a failure's message."""
        conditions = ((self.mmm() or {}).get("status") or {}).get("conditions", [])
        return ", ".join(f"{item['type']}={item['status']} ({item['reason']})" for item in conditions) or "no status"


def _essence(thing: Any) -> Any:
    if isinstance(thing, dict):
        return {key: _essence(value) for key, value in thing.items() if key not in INCIDENTAL}
    if isinstance(thing, list):
        # What the autoscaler says changes when it has looked for the first time, after a quarter of a minute.
        return [_essence(item) for item in thing if not _is_autoscalers(item)]
    return thing


def _is_autoscalers(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "AutoscalingActive"


async def _make_namespace(ground: Ground, namespace: str) -> None:
    api = ground.world.api
    await api.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    secret = {"metadata": {"name": "s3"}, "stringData": dict(ground.bucket.credentials)}
    await api.create(namespace, {"apiVersion": "v1", "kind": "Secret", **secret})
