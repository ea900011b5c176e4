"""What pods are told is looked for where there may be something, and what they said is forgotten with the object."""

from datetime import timedelta
from typing import Any, cast

import pytest

from mmm_operator import names
from mmm_operator.kube.observe import Observer, Pages
from mmm_operator.kube.port import Kube, Sources
from mmm_operator.kube.rollout_config import AGAIN, ref_of
from mmm_operator.kube.store import Id, Store, seen
from mmm_operator.snapshot import Key, Manifest, Snapshot
from tests.unit.operator.core.build import NOW
from tests.unit.operator.kube.test_rollout_config import KEY, ApiServer, Quiet, config, play

CANARY = {"type": "Canary", "canary": {"steps": [{"weight": 10}]}}


class Forgetful(Quiet):
    """Remembers what it was told to forget."""

    def __init__(self) -> None:
        self.forgotten: list[Key] = []

    def forget(self, key: Key) -> None:
        self.forgotten.append(key)


def observed(store: Store, server: ApiServer, answers: Quiet) -> Observer:
    quiet = cast("Any", Quiet())
    return Observer(store, cast("Kube", server), cast("Sources", quiet), Pages(quiet, quiet, cast("Any", answers)))


def stored(status: Manifest, **rollout: Any) -> Manifest:
    meta = {"name": "clip", "namespace": "shop", "uid": "u", "resourceVersion": "1"}
    spec = {"model": {"uri": "s3://models/clip", "version": "1"}, "rollout": {**CANARY, **rollout}}
    return {"metadata": meta, "spec": spec, "status": {"rollout": {"type": "Canary", **status}}}


async def looks(observer: Observer, number: int) -> Snapshot:
    """The last of so many looks, each long after the one before."""
    found = [await observer.observe(KEY, (), NOW + 2 * turn * AGAIN) for turn in range(number)]
    assert found[-1] is not None
    return found[-1]


def test_what_pods_answered_is_forgotten_with_the_object() -> None:
    async def scenario() -> None:
        store, answers = Store(), Forgetful()
        observer = observed(store, ApiServer(None), answers)
        store.put(seen(names.KIND, stored({})))
        await looks(observer, 2)
        assert answers.forgotten == []
        store.remove(Id(names.KIND, "shop", "clip"), 2)
        assert await observer.observe(KEY, (), NOW + timedelta(hours=1)) is None
        assert answers.forgotten == [KEY]

    play(scenario)


def test_of_a_canary_that_mirrors_nothing_nobody_asks_what_pods_are_told() -> None:
    async def scenario() -> None:
        store, server = Store(), ApiServer(None)
        store.put(seen(names.KIND, stored({})))
        await looks(observed(store, server, Quiet()), 5)
        assert server.asked == 0

    play(scenario)


@pytest.mark.parametrize("known", [True, False], ids=["in the store", "as the status says"])
def test_what_pods_were_told_is_found_once_nothing_is_mirrored_any_more(known: bool) -> None:
    async def scenario() -> None:
        store, server = Store(), ApiServer(config(2))
        status: Manifest = {} if known else {"mirror": {"compared": 0, "differing": 0}}
        store.put(seen(names.KIND, stored(status)))
        if known:
            store.put(seen("ConfigMap", config(2)))
        assert ref_of(KEY) in (await looks(observed(store, server, Quiet()), 1)).children

    play(scenario)
