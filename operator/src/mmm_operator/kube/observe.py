"""What is: one MultimodalModel and everything around it, as the store has it.

The API server is asked in three rare cases only: about names where a write met something else than the store shows,
about pods that hang without saying why, for their events, and whether an object at rest still is what it was before
anything is done about it.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mmm_operator import names
from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel, ObjectMeta
from mmm_operator.diagnose import fetching_pods, idle_jobs, unexplained
from mmm_operator.errors import Forbidden
from mmm_operator.kube import resources
from mmm_operator.kube.port import Fetches, Kube, Reports, Sources
from mmm_operator.kube.store import Id, Store, seen
from mmm_operator.prefetch import claim_to_read
from mmm_operator.snapshot import Key, Manifest, Ref, ServerReport, Snapshot, is_fetcher, is_ready, pod_revision

# Every pod of a revision hangs for the same few reasons: so many are asked about.
MOST_ASKED = 3
# A right that is missing is missing for all pods of a namespace, at every look.
COMPLAIN_EVERY = dt.timedelta(minutes=10)

log = logging.getLogger(__name__)


class Observer:
    """Where snapshots come from."""

    def __init__(self, store: Store, kube: Kube, sources: Sources, reports: Reports, fetches: Fetches) -> None:
        self._store = store
        self._kube = kube
        self._sources = sources
        self._reports = reports
        self._fetches = fetches
        self._complain_at: dict[str, dt.datetime] = {}

    async def observe(self, key: Key, doubtful: Collection[Ref], now: dt.datetime) -> Snapshot | None:
        """Everything that a decision about `key` needs; None when the object is gone or on its way out.

        `doubtful` are names of which the store shows something else than a write met: they are looked up.
        Children of a deleted object are the garbage collector's: they all have an ownerReference.
        """
        live = await self._look_up(doubtful)
        raw, children, pods = self._store.around(key)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            self._sources.forget(key)
            return None
        meta = ObjectMeta.model_validate(raw["metadata"])
        status = parse_status(raw)
        mmm, invalid = parse(raw)
        resolution, update = await self._sources.look(key, mmm, status) if mmm else (None, None)
        ours, foreign = sort_out(meta.uid, [*children, *live])
        servers, fetchers = tuple(p for p in pods if not is_fetcher(p)), tuple(filter(is_fetcher, pods))
        for child in live:
            if Ref.of(child) in ours:  # the watches are late, or it has lost the labels that they go by
                self._store.put(seen(child["kind"], child))
        return Snapshot(
            key=key,
            meta=meta,
            mmm=mmm,
            status=status,
            invalid=invalid,
            resolution=resolution,
            update=update,
            children=ours,
            foreign=foreign,
            pods=servers,
            fetchers=fetchers,
            claim=await self._read_claim(key, mmm),
            fetches=await self._fetches.fetches(key, fetching_pods(pods)),
            reports=await self._read_reports(key, status, servers),
            pod_events=await self._read_events(pods, idle_jobs(ours.values(), fetchers), now),
        )

    async def is_current(self, key: Key) -> bool:
        """Whether the MultimodalModel still is as the store shows it; afterwards the store shows it as it is."""
        listed = await self._kube.list(names.KIND, key.namespace, key.name)
        if not listed.items:
            return not self._store.remove(Id(names.KIND, key.namespace, key.name), listed.version)
        return not self._store.put(listed.items[0])

    async def _look_up(self, doubtful: Iterable[Ref]) -> list[Manifest]:
        refs = sorted(doubtful)
        found = await together(*(self._kube.get(ref) for ref in refs))
        for ref, item in zip(refs, found, strict=True):
            if item is None:
                self._store.forget(Id(ref.kind, ref.namespace, ref.name))
        return [item for item in found if item is not None]

    async def _read_reports(self, key: Key, status: Status, pods: Iterable[Manifest]) -> Mapping[str, ServerReport]:
        """The status pages of the ready pods of the revision that shall serve."""
        target = status.model.target
        wanted = [pod for pod in pods if target and pod_revision(pod) == target.revision and is_ready(pod)]
        return await self._reports.reports(key, wanted)

    async def _read_claim(self, key: Key, mmm: MultimodalModel | None) -> Manifest | None:
        """The claim that the user made, to know how it can be mounted."""
        name = claim_to_read(mmm.spec) if mmm else None
        if name is None:
            return None
        return await self._kube.get(resources.ref("PersistentVolumeClaim", key.namespace, name))

    async def _read_events(
        self, pods: Sequence[Manifest], jobs: Sequence[Manifest], now: dt.datetime
    ) -> tuple[Manifest, ...]:
        silent = [*unexplained(pods, now), *jobs][:MOST_ASKED]
        asked = (self._kube.warnings_about(pod["metadata"]["namespace"], pod["metadata"]["uid"]) for pod in silent)
        try:
            return tuple(event for events in await together(*asked) for event in events)
        except Forbidden as error:
            # They would only say more clearly what is wrong: the model itself must not suffer for that.
            self._complain(str(error), now)
            return ()

    def _complain(self, refusal: str, now: dt.datetime) -> None:
        if now >= self._complain_at.get(refusal, now):
            self._complain_at[refusal] = now + COMPLAIN_EVERY
            log.warning("what only the events of a pod tell stays unknown: %s", refusal)


async def together(*calls: Awaitable[Any]) -> list[Any]:
    """The results of all calls; the first error ends those that still run."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def parse(raw: Manifest) -> tuple[MultimodalModel | None, str]:
    """The object, or None and a sentence that names each field that does not fit."""
    try:
        # The status is ours and parsed apart: a broken one must not make the spec invalid.
        return MultimodalModel.model_validate({"metadata": raw["metadata"], "spec": raw.get("spec")}), ""
    except ValidationError as error:
        mistakes = (f"{_field_path(item['loc'])}: {item['msg']}" for item in error.errors(include_url=False))
        return None, "; ".join(mistakes)


def _field_path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


def parse_status(raw: Manifest) -> Status:
    """The stored status; an empty one when it fits no more, since all of it is observed anew anyway."""
    try:
        return Status.model_validate(raw.get("status") or {})
    except ValidationError:
        return Status()


def sort_out(uid: str, objects: Iterable[Manifest]) -> tuple[dict[Ref, Manifest], frozenset[Ref]]:
    """The objects that the owner `uid` controls, and references to the others."""
    ours = {Ref.of(item): item for item in objects if owner_uid(item) == uid}
    return ours, frozenset(map(Ref.of, objects)) - ours.keys()


def owner_uid(manifest: Manifest) -> str | None:
    """The uid of the owner that controls the object; when nobody does, of the one that our annotation names."""
    annotations = manifest["metadata"].get("annotations") or {}
    return controller_uid(manifest) or annotations.get(names.ANNOTATION_OWNER)


def controller_uid(manifest: Manifest) -> str | None:
    """The uid of the one owner that controls the object."""
    owners = manifest["metadata"].get("ownerReferences", ())
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)
