"""What pods are told is read when nobody knows it, or when that was too long ago; nobody says when it changes."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, cast

from mmm_operator import names
from mmm_operator.kube.observe import Observer, Pages
from mmm_operator.kube.port import Kube, Sources
from mmm_operator.kube.rollout_config import AGAIN, RolloutConfigs, ref_of
from mmm_operator.kube.store import Store, seen
from mmm_operator.snapshot import Key, Manifest, Ref, Resolution, Snapshot, Update
from tests.unit.operator.core.build import NOW

KEY = Key("shop", "clip")


def config(version: int, uid: str = "u") -> Manifest:
    owner = {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": "clip", "uid": uid, "controller": True}
    meta = {"name": "clip-rollout", "namespace": "shop", "ownerReferences": [owner], "uid": "c"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "resourceVersion": str(version)}}


class ApiServer:
    """Has one ConfigMap, or none, and counts who asks for it."""

    def __init__(self, there: Manifest | None) -> None:
        self.there = there
        self.asked = 0

    async def get(self, ref: Ref) -> Manifest | None:
        assert ref == ref_of(KEY)
        self.asked += 1
        return self.there


class Quiet:
    """A repository and pods that say nothing."""

    async def look(self, *_: Any) -> tuple[Resolution | None, Update | None]:
        return None, None

    async def reports(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}

    fetches = traffic = reports

    def forget(self, key: Key) -> None:
        """There is nothing to forget."""


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def test_it_is_read_once_a_minute_and_not_at_every_look() -> None:
    async def scenario() -> None:
        server = ApiServer(config(1))
        configs = RolloutConfigs(Store(), cast("Kube", server))
        known = await configs.read(KEY, None, NOW)
        for seconds in range(0, 60, 2):
            assert await configs.read(KEY, known, NOW + timedelta(seconds=seconds)) == known
        assert server.asked == 1
        server.there = config(2)
        assert await configs.read(KEY, known, NOW + AGAIN) == config(2)
        assert await configs.read(KEY, None, NOW + AGAIN) == config(2)
        assert server.asked == 3

    play(scenario)


async def look(observer: Observer, later: timedelta = timedelta()) -> Manifest | None:
    snapshot = await observer.observe(KEY, (), NOW + later)
    assert isinstance(snapshot, Snapshot)
    assert not snapshot.foreign
    return snapshot.children.get(ref_of(KEY))


def stored(uid: str, version: int) -> Manifest:
    meta = {"name": "clip", "namespace": "shop", "uid": uid, "resourceVersion": str(version)}
    spec = {"model": {"uri": "s3://models/clip", "version": "1"}, "rollout": {"type": "HotSwap"}}
    return {"metadata": meta, "spec": spec}


def test_what_was_written_is_not_read_again_and_what_somebody_removed_is_missed() -> None:
    async def scenario() -> None:
        store, server, quiet = Store(), ApiServer(None), cast("Any", Quiet())
        observer = Observer(store, cast("Kube", server), cast("Sources", quiet), Pages(quiet, quiet, quiet))
        store.put(seen(names.KIND, stored("u", 1)))
        assert await look(observer) is None
        store.put(seen("ConfigMap", config(2)))
        assert await look(observer) is not None
        assert server.asked == 1
        assert await look(observer, AGAIN) is None
        assert server.asked == 2

    play(scenario)


def test_the_successor_of_an_object_is_not_kept_from_the_name() -> None:
    async def scenario() -> None:
        store, server, quiet = Store(), ApiServer(None), cast("Any", Quiet())
        observer = Observer(store, cast("Kube", server), cast("Sources", quiet), Pages(quiet, quiet, quiet))
        store.put(seen(names.KIND, stored("u", 1)))
        await look(observer)
        store.put(seen("ConfigMap", config(2)))
        store.put(seen(names.KIND, stored("v", 3)))
        assert await look(observer) is None

    play(scenario)
