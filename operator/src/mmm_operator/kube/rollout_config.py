"""The ConfigMaps with which running pods are told something: read by name, since nobody may watch them.

What was written or read last stands in the store, and is read again when that is too long ago: somebody else may have
changed it. A write that meets something else than that looks it up anyway.
"""

import datetime as dt

from mmm_operator import names
from mmm_operator.kube import resources
from mmm_operator.kube.port import Kube
from mmm_operator.kube.store import Id, Store, seen
from mmm_operator.snapshot import Key, Manifest, Ref

AGAIN = dt.timedelta(minutes=1)


class RolloutConfigs:
    """What pods are told, as it was not long ago."""

    def __init__(self, store: Store, kube: Kube) -> None:
        self._store = store
        self._kube = kube
        self._read_at: dict[Key, dt.datetime] = {}

    async def read(self, key: Key, known: Manifest | None, now: dt.datetime) -> Manifest | None:
        """The ConfigMap of an object, or None; `known` is what the store has of it."""
        read_at = self._read_at.get(key)
        if known is not None and read_at is not None and now < read_at + AGAIN:
            return known
        found = await self._kube.get(ref_of(key))
        self._read_at[key] = now
        if found is None:
            self._store.forget(_id(key))
        else:
            self._store.put(seen("ConfigMap", found))
        return found

    def forget(self, key: Key) -> None:
        """The object is gone, and its ConfigMap goes with it."""
        self._read_at.pop(key, None)
        self._store.forget(_id(key))


def ref_of(key: Key) -> Ref:
    """The ConfigMap of an object."""
    return resources.ref("ConfigMap", key.namespace, names.rollout_config_name(key.name))


def _id(key: Key) -> Id:
    return Id("ConfigMap", key.namespace, names.rollout_config_name(key.name))
