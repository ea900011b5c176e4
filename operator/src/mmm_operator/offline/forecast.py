"""What the operator would do about one object: its Snapshot, put together from files, and the plan for it."""

from dataclasses import dataclass
from datetime import datetime

from mmm_operator.api.conditions import Reason
from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel, ObjectMeta
from mmm_operator.kube.observe import parse, parse_status, sort_out
from mmm_operator.offline.state import State
from mmm_operator.plan import Plan
from mmm_operator.planner import plan
from mmm_operator.prefetch import claim_to_read
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key, Manifest, Resolution, Snapshot
from mmm_operator.sources.question import Question

# What an object that does not exist yet has instead of a uid.
NO_UID = "not-created-yet"
DELETED = "the object is being deleted: its children go with it, by the garbage collector"


@dataclass(frozen=True, slots=True)
class Forecast:
    """The plan for one object, the snapshot that it was made for, and what the reader should know of both."""

    snapshot: Snapshot
    plan: Plan
    notes: tuple[str, ...]


def forecast(key: Key, raw: Manifest, state: State, digest: str | None, settings: Settings, now: datetime) -> Forecast:
    """What the operator would do once `raw` is applied to a cluster in that state.

    `digest` names the bytes of the version; without it they are what the status of the live object says, or the pin
    in the spec, or unknown, and then the forecast ends where the operator would ask the repository.
    """
    notes: list[str] = []
    live = state.live(key)
    raw = _applied(raw, live, notes)
    mmm, invalid = parse(raw)
    status = parse_status(live or {})
    meta = _meta(key, mmm, live, state, notes)
    ours, foreign = sort_out(meta.uid, state.others(key.namespace))
    if mmm is not None:
        mmm = mmm.model_copy(update={"metadata": meta})
    snapshot = Snapshot(
        key=key,
        meta=meta,
        mmm=mmm,
        status=status,
        invalid=invalid,
        resolution=_resolution(mmm, status, digest, notes) if mmm else None,
        children=ours,
        foreign=foreign,
        pods=state.pods(key),
        fetchers=state.fetchers(key),
        claim=state.claim(key.namespace, claim_to_read(mmm.spec)) if mmm else None,
        pod_events=state.warnings(key.namespace),
    )
    if meta.deletion_timestamp is not None:
        return Forecast(snapshot, Plan(because=DELETED), tuple(notes))
    return Forecast(snapshot, plan(snapshot, settings, now), tuple(notes))


def _applied(raw: Manifest, live: Manifest | None, notes: list[str]) -> Manifest:
    """What the API server would store: a size that the file leaves open stays as it is."""
    size = (live or {}).get("spec", {}).get("replicas")
    if size is None or raw is live or "replicas" in (raw.get("spec") or {}):
        return raw
    notes.append(f"replicas stays {size}, as in the cluster: the file does not say")
    return {**raw, "spec": {**raw["spec"], "replicas": size}}


def _meta(key: Key, mmm: MultimodalModel | None, live: Manifest | None, state: State, notes: list[str]) -> ObjectMeta:
    if live is None:
        uid = state.owner_uid(key)
        if uid is not None:
            notes.append("the state holds children of this object but not the object itself: it counts as unchanged")
        return ObjectMeta(name=key.name, namespace=key.namespace, uid=uid or NO_UID, generation=1)
    meta = ObjectMeta.model_validate(live["metadata"])
    before, _ = parse(live)
    changed = mmm is not None and (before is None or before.spec != mmm.spec)
    return meta.model_copy(update={"generation": meta.generation + 1}) if changed else meta


def _followed(mmm: MultimodalModel, status: Status) -> str | None:
    """The version that an object without one of its own went for last."""
    return next((state.version for state in (status.model.target, status.model.current) if state), None)


def _resolution(mmm: MultimodalModel, status: Status, digest: str | None, notes: list[str]) -> Resolution:
    pin, states = mmm.spec.model.digest, (status.model.current, status.model.target, status.model.previous)
    question = Question.of(mmm, None if mmm.spec.model.version else _followed(mmm, status))
    stored = next((found for found in map(question.answered_by, states) if found), None)
    known = digest or stored or pin
    if known is None:
        notes.append(
            f"{f'version {question.version}' if question.version else 'the newest version'} of {question.uri} would be "
            "resolved first: "
            "give its digest with --digest to see the rest"
        )
        return question.missing(Reason.RESOLVING, "The repository is being asked.")
    if pin not in (None, known):
        message = f"Version {question.version} is {known}, but spec.model.digest is {pin}."
        return question.missing(Reason.DIGEST_MISMATCH, message)
    return question.found(known)
