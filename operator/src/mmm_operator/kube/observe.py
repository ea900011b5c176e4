"""What is: one MultimodalModel and everything around it, as the store has it.

The API server is asked in a few rare cases only: about names where a write met something else than the store shows,
about pods that hang without saying why, for their events, about what pods are told and about claims of users, which
are not watched, and whether an object at rest still is what it was before anything is done about it.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mmm_operator import names
from mmm_operator.api.rollout import RolloutType, tells
from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel, ObjectMeta
from mmm_operator.diagnose import fetching_pods, idle_jobs, unexplained
from mmm_operator.errors import Forbidden
from mmm_operator.kube import resources
from mmm_operator.kube.port import Answers, Fetches, Kube, Reports, Sources
from mmm_operator.kube.rollout_config import RolloutConfigs, ref_of
from mmm_operator.kube.store import Id, Store, seen
from mmm_operator.prefetch import claim_to_read
from mmm_operator.snapshot import (
    Key,
    Manifest,
    Ref,
    ServerReport,
    Snapshot,
    is_fetcher,
    is_living,
    is_ready,
    pod_revision,
)
from mmm_operator.traffic import Traffic, born_since

# Every pod of a revision hangs for the same few reasons: so many are asked about.
MOST_ASKED = 3
# A right that is missing is missing for all pods of a namespace, at every look.
COMPLAIN_EVERY = dt.timedelta(minutes=10)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pages:
    """What pods say about themselves: what they serve, how far they have fetched, and what they have answered."""

    reports: Reports
    fetches: Fetches
    answers: Answers


class Observer:
    """Where snapshots come from."""

    def __init__(self, store: Store, kube: Kube, sources: Sources, pages: Pages) -> None:
        self._store = store
        self._kube = kube
        self._sources = sources
        self._pages = pages
        self._configs = RolloutConfigs(store, kube)
        self._complain_at: dict[str, dt.datetime] = {}

    async def observe(self, key: Key, doubtful: Collection[Ref], now: dt.datetime) -> Snapshot | None:
        """Everything that a decision about `key` needs; None when the object is gone or on its way out.

        `doubtful` are names of which the store shows something else than a write met: they are looked up.
        Children of a deleted object are the garbage collector's: they all have an ownerReference.
        """
        live = await self._look_up(doubtful)
        raw, children, around = self._store.around(key)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            self._sources.forget(key)
            self._configs.forget(key)
            self._pages.answers.forget(key)
            return None
        meta = ObjectMeta.model_validate(raw["metadata"])
        status = parse_status(raw)
        mmm, invalid = parse(raw)
        resolution, update = await self._sources.look(key, mmm, status) if mmm else (None, None)
        if mmm is not None and may_be_told(mmm, status, any(Ref.of(child) == ref_of(key) for child in children)):
            children = await self._with_config(key, meta.uid, children, now)
        ours, foreign = sort_out(meta.uid, [*children, *live])
        pods = tuple(pod for pod in around if is_of_its_time(pod, meta))
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
            fetches=await self._pages.fetches.fetches(key, fetching_pods(pods)),
            reports=await self._read_reports(key, mmm, status, servers),
            traffic=await self._read_traffic(key, status, servers),
            pod_events=await self._read_events(pods, idle_jobs(ours.values(), fetchers), now),
        )

    async def version_now(self, key: Key) -> str:
        """The resourceVersion that the MultimodalModel has, as the store has it then, too; empty when it is gone."""
        listed = await self._kube.list(names.KIND, key.namespace, key.name)
        if not listed.items:
            self._store.remove(Id(names.KIND, key.namespace, key.name), listed.version)
            return ""
        self._store.put(listed.items[0])
        return str(listed.items[0].version)

    async def _look_up(self, doubtful: Iterable[Ref]) -> list[Manifest]:
        refs = sorted(doubtful)
        found = await together(*(self._kube.get(ref) for ref in refs))
        for ref, item in zip(refs, found, strict=True):
            if item is None:
                self._store.forget(Id(ref.kind, ref.namespace, ref.name))
        return [item for item in found if item is not None]

    async def _read_reports(
        self, key: Key, mmm: MultimodalModel | None, status: Status, pods: Iterable[Manifest]
    ) -> Mapping[str, ServerReport]:
        """The status pages of the ready pods of the revision that shall serve; again and again while they swap."""
        target, current = status.model.target, status.model.current
        wanted = [pod for pod in pods if target and pod_revision(pod) == target.revision and is_ready(pod)]
        swaps = mmm is not None and mmm.spec.rollout.type is RolloutType.HOT_SWAP
        changing = swaps and target is not None and current is not None and target.digest != current.digest
        reports = await self._pages.reports.reports(key, wanted, again=changing)
        if swaps and not changing and any(target and report.digest != target.digest for report in reports.values()):
            return await self._pages.reports.reports(key, wanted, again=True)  # on its way back, as far as is known
        return reports

    async def _with_config(
        self, key: Key, uid: str, children: Sequence[Manifest], now: dt.datetime
    ) -> tuple[Manifest, ...]:
        """The children, and what running pods are told: it is not watched."""
        # What another object of this name left in the store goes with that one.
        ref, known = ref_of(key), sort_out(uid, children)[0]
        found = await self._configs.read(key, known.get(ref), now)
        others = (child for child in children if Ref.of(child) != ref)
        return (*others, *([] if found is None else [found]))

    async def _read_traffic(self, key: Key, status: Status, pods: Sequence[Manifest]) -> Mapping[str, Traffic]:
        """What the ready pods have answered since the step of the canary began; nothing where none is watched."""
        since = status.rollout.step_started_at
        if since is None:
            return {}
        ready = [pod for pod in pods if is_ready(pod) and is_living(pod)]
        return await self._pages.answers.traffic(key, ready, since, born_since(ready, since))

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


def may_be_told(mmm: MultimodalModel, status: Status, known: bool) -> bool:
    """Whether running pods may have been told anything, or shall be; `known` means that the store has a ConfigMap.

    An operator that has just begun has none, as they are not watched: there the status says that there may be one.
    """
    before = status.rollout.type == RolloutType.HOT_SWAP or status.rollout.mirror is not None
    return tells(mmm.spec.rollout) or before or known


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


def is_of_its_time(pod: Manifest, meta: ObjectMeta) -> bool:
    """Whether the pod can be one of this very object: those of an earlier one of its name may take minutes to end."""
    born: str = pod["metadata"].get("creationTimestamp", "")
    return born >= (meta.creation_timestamp or "")


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
