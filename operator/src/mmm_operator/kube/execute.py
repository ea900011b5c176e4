"""What to do, done: the only place that writes."""

import datetime as dt
import logging
from collections.abc import Awaitable, Iterator

from mmm_operator import names
from mmm_operator.api.status import Status
from mmm_operator.errors import Conflict, KubeError, Refused, Transient
from mmm_operator.kube.events import build_event
from mmm_operator.kube.port import Kube
from mmm_operator.kube.store import Id, Store, seen
from mmm_operator.plan import Apply, Delete, Plan
from mmm_operator.snapshot import Manifest, Ref, Snapshot

UNPROCESSABLE = 422

log = logging.getLogger(__name__)


class Doubtful(Conflict):
    """What a write met is not what was seen, a taken name for instance; look closer at `refs`."""

    def __init__(self, message: str, refs: frozenset[Ref]) -> None:
        super().__init__(message, status=409)
        self.refs = refs


class Outdated(Conflict):
    """The object itself is not what was seen of it: it was changed meanwhile, or is another one of its name."""


class Executor:
    """Where plans become calls; what the API server answers is in the store before the next look."""

    def __init__(self, kube: Kube, store: Store) -> None:
        self._kube = kube
        self._store = store

    async def execute(self, plan: Plan, snapshot: Snapshot, *, defer_status: bool = False) -> None:
        """Writes the plan: children in its order, then deletions, the status, and events only after the status.

        The status is written even when a child could not be: it says why something is wrong. With `defer_status` it
        is written in that case only. Raises Doubtful before it, Outdated for it, Refused for the children that the API
        server refuses, Transient when another attempt may succeed.
        """
        failures = await self._write_children(plan, snapshot)
        await self._touch(plan, snapshot)
        _raise_doubtful(failures)
        if failures or not defer_status:
            await self._write_status(plan, snapshot)
        _raise(failures)

    async def _write_children(self, plan: Plan, snapshot: Snapshot) -> list[KubeError]:
        failures: list[KubeError] = []
        for ref, write in self._writes(plan, snapshot):
            try:
                await write
            except Transient as error:
                return [error]  # the API server is in trouble: more calls would only add to it
            except Conflict as error:
                failures.append(Doubtful(str(error), frozenset({ref})))
            except KubeError as error:
                failures.append(error)
        return failures

    async def _touch(self, plan: Plan, snapshot: Snapshot) -> None:
        for pod in plan.touch:
            try:
                await self._kube.apply(pod)
            except KubeError as error:
                # The kubelet looks by itself within a minute or two, and a pod may be gone by now.
                log.info("not touched: %s", error, extra={"key": str(snapshot.key)})

    def _writes(self, plan: Plan, snapshot: Snapshot) -> Iterator[tuple[Ref, Awaitable[None]]]:
        for apply in plan.apply:
            yield Ref.of(apply.manifest), self._apply(apply, snapshot)
        for delete in plan.delete:
            yield delete.ref, self._delete(delete, snapshot)

    async def _apply(self, step: Apply, snapshot: Snapshot) -> None:
        if step.create:
            written = await self._kube.create(step.manifest)
        else:
            written = await self._repair(_pinned(step.manifest, snapshot))
        self._store.put(seen(step.manifest["kind"], written))

    async def _repair(self, manifest: Manifest) -> Manifest:
        try:
            return await self._kube.apply(manifest)
        except KubeError as error:
            # A port whose number somebody edited is another port to an apply, which adds ours beside it: two of one
            # name, which is invalid. An object that cannot be mended item by item gets our lists as they are.
            if error.status != UNPROCESSABLE:
                raise
            return await self._kube.overwrite(manifest)

    async def _delete(self, step: Delete, snapshot: Snapshot) -> None:
        # In exactly the state that was seen: what looked superfluous then may be needed now.
        version = snapshot.children[step.ref]["metadata"].get("resourceVersion", "")
        if not await self._kube.delete(step.ref, step.uid, version):
            # One that lost the labels which its watch goes by ends unseen: nobody else would say that it is gone.
            self._store.forget(Id(step.ref.kind, step.ref.namespace, step.ref.name))

    async def _write_status(self, plan: Plan, snapshot: Snapshot) -> None:
        if plan.status is not None:
            try:
                written = await self._kube.apply_status(_status_manifest(snapshot, plan.status))
            except Conflict as error:
                raise Outdated(str(error), status=error.status) from error
            if written is not None:
                self._store.put(seen(names.KIND, written))
        for event in plan.events:
            try:
                await self._kube.create_event(build_event(event, snapshot, dt.datetime.now(dt.UTC)))
            except KubeError as error:
                # Events are for people and best effort; what matters is in the status.
                log.warning("event not written: %s", error, extra={"key": str(snapshot.key)})


def _pinned(manifest: Manifest, snapshot: Snapshot) -> Manifest:
    # With the uid the API server refuses to force our fields on an object that took the name meanwhile.
    seen = snapshot.children.get(Ref.of(manifest))
    if seen is None:
        return manifest
    pins = {"uid": seen["metadata"]["uid"]}
    if manifest.get("spec", {}).get("replicas") != seen.get("spec", {}).get("replicas"):
        # How many pods a revision needs follows from how many it has: an old sight of that must resize nothing.
        pins["resourceVersion"] = seen["metadata"].get("resourceVersion", "")
    return {**manifest, "metadata": {**manifest["metadata"], **pins}}


def _status_manifest(snapshot: Snapshot, status: Status) -> Manifest:
    meta = snapshot.meta
    # A uid would not do: the API server ignores it in a status, and what was said of one object would be said of the
    # next one of its name.
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": meta.name, "namespace": meta.namespace, "resourceVersion": meta.resource_version},
        "status": status.to_json(),
    }


def _raise_doubtful(failures: list[KubeError]) -> None:
    doubtful = [error for error in failures if isinstance(error, Doubtful)]
    if doubtful:
        raise Doubtful("; ".join(map(str, doubtful)), frozenset().union(*(error.refs for error in doubtful)))


def _raise(failures: list[KubeError]) -> None:
    again = [error for error in failures if isinstance(error, Transient)]
    if again:
        raise again[0]
    if failures:
        raise Refused("; ".join(map(str, failures)), status=failures[0].status) from failures[0]
