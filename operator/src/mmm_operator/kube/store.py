"""What was last seen of every watched object, so that a look at a MultimodalModel reads nothing.

Three sources feed it: the lists at the start, the watches, and the API server's answers to our own writes, so that a
look after a write sees what it wrote (client-go calls the lack of this a stale cache). Sources may overtake each
other: a resourceVersion says which of two is newer (Kubernetes 1.35 promises that they compare as numbers), and a
deletion is remembered until the next full list, lest a late echo raise the dead.

Objects are kept as compact JSON text: a thousand models with their children take 10 MB instead of 100.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from mmm_operator import names
from mmm_operator.kube.resources import RESOURCES
from mmm_operator.snapshot import Key, Manifest


class Id(NamedTuple):
    """What object it is; of whatever uid, since a name has one object at a time."""

    kind: str
    namespace: str
    name: str


class Seen(NamedTuple):
    """An object as it was at one moment; `key` is the MultimodalModel that it matters to, if any."""

    id: Id
    uid: str
    version: int
    key: Key | None
    text: bytes

    def parse(self) -> Manifest:
        """The object as the API server sent it, without its field managers."""
        found: Manifest = orjson.loads(self.text)
        return found


class Surroundings(NamedTuple):
    """A MultimodalModel as it is stored, and all that belongs to it by owner or label."""

    mmm: Manifest | None
    children: tuple[Manifest, ...]
    pods: tuple[Manifest, ...]


def seen(kind: str, raw: Mapping[str, Any]) -> Seen:
    """The object in the form that the store keeps."""
    meta = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
    kept = {**raw, "apiVersion": RESOURCES[kind].api_version, "kind": kind, "metadata": meta}
    identity = Id(kind, meta.get("namespace", ""), meta["name"])
    return Seen(identity, meta.get("uid", ""), version_of(meta), key_of(kind, meta), orjson.dumps(kept))


def version_of(meta: Mapping[str, Any]) -> int:
    """The resourceVersion as the number that it is."""
    return int(meta.get("resourceVersion") or 0)


def key_of(kind: str, meta: Mapping[str, Any]) -> Key | None:
    """The MultimodalModel that an object matters to: itself, its controller or, by label, its model."""
    if kind == names.KIND:
        return Key(meta["namespace"], meta["name"])
    for owner in meta.get("ownerReferences") or ():
        group = owner["apiVersion"].partition("/")[0]
        if owner.get("controller") and owner["kind"] == names.KIND and group == names.GROUP:
            return Key(meta["namespace"], owner["name"])
    name = (meta.get("labels") or {}).get(names.LABEL_MODEL)
    return Key(meta["namespace"], name) if name else None


class Store:
    """The picture of the cluster; lives in one event loop. What changes it tells whose business that is."""

    def __init__(self) -> None:
        self._objects: dict[Id, Seen] = {}
        self._gone: dict[Id, int] = {}
        self._doubted: set[Key] = set()
        self._of: defaultdict[Key, set[Id]] = defaultdict(set)
        self._changes: dict[Key, int] = {}
        self._count = 0

    def put(self, found: Seen) -> set[Key]:
        """Take note of an object; the answer is whose business that is, if it was news."""
        before = self._objects.get(found.id)
        if found.id.kind == names.KIND and (before is None or found.version >= before.version):
            self._doubted.discard(Key(found.id.namespace, found.id.name))
        # An object that lost the labels that its watch goes by is gone for the watch, at the version that it now has.
        if found.version < self._gone.get(found.id, 0) or (before is not None and found.version <= before.version):
            return set()
        self._gone.pop(found.id, None)
        if before is not None:
            self._detach(before)
        self._objects[found.id] = found
        self._attach(found)
        return {item.key for item in (before, found) if item is not None and item.key is not None}

    def remove(self, identity: Id, version: int) -> set[Key]:
        """Take note that an object is gone as of `version`; the answer is whose business that is, if it was news."""
        self._gone[identity] = max(version, self._gone.get(identity, -1))
        before = self._objects.get(identity)
        if before is None or before.version > version:
            return set()
        del self._objects[identity]
        self._detach(before)
        self._doubt(before)
        return {before.key} if before.key is not None else set()

    def forget(self, identity: Id) -> None:
        """Take note that an object is gone in the state in which it was seen last."""
        if (before := self._objects.get(identity)) is not None:
            self.remove(identity, before.version)

    def replace(self, kind: str, namespace: str | None, items: Iterable[Seen], version: int) -> set[Key]:
        """Take note of a whole list of a kind as of `version`; the answer is everybody whom that surprises."""
        found = {item.id: item for item in items}
        changed = [self.put(item) for item in found.values()]
        if kind == names.KIND:
            # Until a watch has told of it, nobody would tell that it is gone.
            self._doubted |= {item.key for item in found.values() if item.key is not None}
        lost = [item for item in self._within(kind, namespace) if item.id not in found and item.version <= version]
        changed += [self.remove(item.id, version) for item in lost]
        self._gone = {identity: at for identity, at in self._gone.items() if identity.kind != kind or at > version}
        return set().union(*changed)

    def missed(self, kind: str, namespace: str | None, listed: Mapping[Id, int], version: int) -> set[Id]:
        """Where a list of a kind as of `version`, id by id with its own version, knows more than the store."""
        gone = {item.id for item in self._within(kind, namespace) if item.id not in listed and item.version <= version}
        return gone | {identity for identity, at in listed.items() if at > self._known(identity)}

    def doubts(self, key: Key) -> bool:
        """Whether the MultimodalModel may be gone without a word: children go when it goes, and it may go unseen."""
        return key in self._doubted

    def _doubt(self, lost: Seen) -> None:
        if lost.key is None or lost.id.kind == "Pod":
            return
        if Id(names.KIND, lost.key.namespace, lost.key.name) in self._objects:
            self._doubted.add(lost.key)
        else:
            self._doubted.discard(lost.key)

    def knows(self, kind: str, meta: Mapping[str, Any]) -> bool:
        """Whether an object with this metadata would be no news; may be asked from any thread."""
        found = self._objects.get(Id(kind, meta.get("namespace", ""), meta["name"]))
        return found is not None and found.version == version_of(meta)

    def _known(self, identity: Id) -> int:
        found = self._objects.get(identity)
        return max(found.version if found else -1, self._gone.get(identity, -1))

    def around(self, key: Key) -> Surroundings:
        """Everything about one MultimodalModel, in a stable order."""
        found = [self._objects[identity] for identity in sorted(self._of.get(key, ()))]
        mmm = [item.parse() for item in found if item.id.kind == names.KIND]
        pods = [item.parse() for item in found if item.id.kind == "Pod"]
        children = [item.parse() for item in found if item.id.kind not in (names.KIND, "Pod")]
        return Surroundings(mmm[0] if mmm else None, tuple(children), tuple(pods))

    def changes(self, key: Key) -> int:
        """A number that moves whenever anything about the MultimodalModel does."""
        return self._changes.get(key, 0)

    def _within(self, kind: str, namespace: str | None) -> Iterator[Seen]:
        for item in self._objects.values():
            if item.id.kind == kind and namespace in (None, item.id.namespace):
                yield item

    def _attach(self, item: Seen) -> None:
        if item.key is not None:
            self._of[item.key].add(item.id)
            self._touch(item.key)

    def _detach(self, item: Seen) -> None:
        if item.key is None:
            return
        self._touch(item.key)
        rest = self._of[item.key]
        rest.discard(item.id)
        if not rest:
            del self._of[item.key]
            self._changes.pop(item.key, None)

    def _touch(self, key: Key) -> None:
        # Never reused, so that an object that comes back is not taken for the one that was.
        self._count += 1
        self._changes[key] = self._count
