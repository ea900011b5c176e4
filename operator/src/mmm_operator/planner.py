"""`plan`: from what is to what to do. Pure and total: any snapshot gives a plan, and a settled one gives none."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from mmm_operator.api.rollout import tells
from mmm_operator.api.status import Status
from mmm_operator.api.storage import CacheType
from mmm_operator.api.v1alpha1 import Spec
from mmm_operator.assess import Facts
from mmm_operator.builders.deployment import rebuild_deployment
from mmm_operator.builders.disruption import needs_disruption_budget
from mmm_operator.builders.told import Told, build_touch
from mmm_operator.course import NO_SURGE, Scene, plan_course
from mmm_operator.desired import Wish, desired_children, mirror_url, needs_budget
from mmm_operator.diagnose import fetching_pods, next_look
from mmm_operator.drift import first_difference, with_applied_hash
from mmm_operator.moments import timestamp
from mmm_operator.plan import Apply, Delete, Plan
from mmm_operator.prefetch import has_failed, plan_prefetch
from mmm_operator.report import report_events, report_status
from mmm_operator.revisions import RevisionState, parse_revision
from mmm_operator.rollout.step import surplus_revisions
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Manifest, Ref, Snapshot, revision_id
from mmm_operator.swap import config_of, what_to_tell
from mmm_operator.target import choose_target, serving_revision

# A ready pod whose status page has not been read yet is asked again after this many seconds.
UNREAD_SECONDS = 10.0
# How far a fetch is, is read and told this often.
PROGRESS_SECONDS = 10.0
# Claims of users are not watched.
UNSEEN_SECONDS = 15.0
# What pods are told is not watched either, and nobody else should change it.
TOLD_SECONDS = 240.0
# Why a Job has no pod, only events say.
JOB_EVENTS_SECONDS = 15.0


def plan(snapshot: Snapshot, settings: Settings, now: datetime) -> Plan:
    """What to do about `snapshot`. `now` dates what changes, and tells what is overdue."""
    states = tuple(_revisions(snapshot, now))
    target = choose_target(snapshot, states, settings)
    wanted = _wanted(snapshot.mmm.spec) if snapshot.mmm else _kept_size(snapshot)
    serving = serving_revision(snapshot, target, wanted, states)
    prefetch = plan_prefetch(snapshot, target, states, wanted, now)
    course = plan_course(Scene(snapshot, target, serving, wanted, states, now), prefetch)
    told = what_to_tell(snapshot, target, serving, course.swap, mirror_url(snapshot, course, target))
    desired = tuple(desired_children(Wish(snapshot, course, target, prefetch, told), settings))
    taken = snapshot.foreign & {Ref.of(manifest) for manifest in desired}
    facts = Facts(snapshot, wanted, target.id, serving, course, taken, prefetch)
    applies = tuple(_applies(facts, desired))
    deletes = tuple(_deletes(facts, desired))
    status = report_status(facts, target.revision.image if target.revision else "", now)
    changed = status != snapshot.status
    return Plan(
        apply=applies,
        delete=deletes,
        status=status if changed else None,
        events=report_events(snapshot.status.conditions, status.conditions) if changed else (),
        requeue_after=_requeue_after(facts, now),
        touch=tuple(_touches(facts, told)),
        urgent=_is_urgent(snapshot.status, status),
        because="; ".join([a.because for a in applies] + [d.because for d in deletes]) or course.step.because,
    )


def _touches(facts: Facts, told: Told) -> Iterator[Manifest]:
    """The pods that have not been made to look at what they are told, once it is there to be seen."""
    config = config_of(facts.snapshot)
    if config is not None and (config.get("data") or {}) == told.files():
        yield from (touch for pod in facts.living if (touch := build_touch(pod, told)))


def _is_urgent(before: Status, after: Status) -> bool:
    """Whether the next look needs to know what this one found out."""
    return _memory(before) != _memory(after)


def _memory(status: Status) -> tuple[object, ...]:
    rollout = status.rollout
    return rollout.strategy_in_effect == NO_SURGE, rollout.step, rollout.step_started_at, status.model.failed


def _revisions(snapshot: Snapshot, now: datetime) -> Iterator[RevisionState]:
    target, progress_at = snapshot.status.model.target, _progress_at(snapshot, now)
    for deployment in snapshot.of_kind("Deployment"):
        moves = target is not None and target.revision == revision_id(deployment)
        yield parse_revision(deployment, snapshot.pods, now, progress_at if moves else None)


def _progress_at(snapshot: Snapshot, now: datetime) -> str | None:
    """When there was progress last, as the status knows it: now, where another version is asked for or no clock ran."""
    rollout, target, resolution = snapshot.status.rollout, snapshot.status.model.target, snapshot.resolution
    other = target is not None and resolution is not None and resolution.digest not in (None, target.digest)
    stood = rollout.started_at is not None and rollout.last_progress_at is None
    return timestamp(now) if other or stood else rollout.last_progress_at


def _wanted(spec: Spec) -> int:
    return 0 if spec.suspend else spec.replicas


def _kept_size(snapshot: Snapshot) -> int:
    # The spec cannot be read: what runs goes on at the size that it has.
    return sum(item["spec"].get("replicas", 0) for item in snapshot.of_kind("Deployment"))


def _requeue_after(facts: Facts, now: datetime) -> float | None:
    return min(_waits(facts, now), default=None)


def _waits(facts: Facts, now: datetime) -> Iterator[float]:
    mmm = facts.snapshot.mmm
    if mmm is not None and not facts.resolved:
        yield float(mmm.spec.model.poll_interval_seconds)
    unread = facts.step.done and facts.wanted > 0 and not facts.snapshot.reports
    if unread and facts.snapshot.status.acceleration is None:
        yield UNREAD_SECONDS
    if facts.goal is not None and facts.goal.due is not None and not facts.goal.stuck:
        yield max(1.0, (facts.goal.due - now).total_seconds())
    if (look := next_look((*facts.snapshot.pods, *facts.snapshot.fetchers), now)) is not None:
        yield look
    if facts.step.held and facts.prefetch is None:
        yield UNSEEN_SECONDS
    if facts.course.look is not None:
        yield facts.course.look
    if mmm is not None and tells(facts.policy):
        yield TOLD_SECONDS
    yield from _fetch_waits(facts, now)


def _fetch_waits(facts: Facts, now: datetime) -> Iterator[float]:
    if fetching_pods((*facts.snapshot.pods, *facts.snapshot.fetchers)):
        yield PROGRESS_SECONDS
    prefetch = facts.prefetch
    if not facts.step.held or prefetch is None or prefetch.due is None:
        return
    if not prefetch.stuck:
        yield max(1.0, (prefetch.due - now).total_seconds())
    if not facts.snapshot.fetchers:
        yield JOB_EVENTS_SECONDS


def _applies(facts: Facts, desired: Sequence[Manifest]) -> Iterator[Apply]:
    snapshot = facts.snapshot
    for manifest in desired:
        ref = Ref.of(manifest)
        if ref not in facts.taken and (apply := _apply(manifest, snapshot.children.get(ref))):
            yield apply
    built = {Ref.of(manifest) for manifest in desired}
    for live in snapshot.of_kind("Deployment") if snapshot.mmm else ():
        size = facts.step.sizes.get(revision_id(live))
        if Ref.of(live) not in built and size is not None and (apply := _apply_old(facts, live, size)):
            yield apply


def _apply_old(facts: Facts, live: Manifest, size: int) -> Apply | None:
    """A Deployment that the spec speaks of no more: as it was built, at the size that the rollout wants."""
    apply = _apply(rebuild_deployment(facts.snapshot.meta, live, size), live)
    if apply is not None and size != live["spec"].get("replicas", 1):
        return replace(apply, because=f"{Ref.of(live)} to {size} pods: {facts.step.because}")
    return apply


def _apply(manifest: Manifest, live: Manifest | None) -> Apply | None:
    desired = with_applied_hash(manifest)
    if live is None:
        return Apply(desired, create=True, because=f"create {Ref.of(manifest)}")
    difference = first_difference(desired, live)
    if difference is None:
        return None
    # The hash of the wish differs whenever the wish does: what people want to hear is in which field.
    difference = first_difference(manifest, live) or difference
    return Apply(desired, create=False, because=f"{Ref.of(manifest)}: {difference}")


def _deletes(facts: Facts, desired: Sequence[Manifest]) -> Iterator[Delete]:
    mmm, snapshot = facts.snapshot.mmm, facts.snapshot
    if mmm is None:
        return
    if mmm.spec.autoscaling is None or mmm.spec.suspend:
        # It would write replicas, which is the size to come back to.
        yield from (_delete(item, "autoscaling is off") for item in snapshot.of_kind("HorizontalPodAutoscaler"))
    if mmm.spec.network_policy is None:
        yield from (_delete(item, "it is not asked for any more") for item in snapshot.of_kind("NetworkPolicy"))
    wished = {Ref.of(manifest) for manifest in desired}
    for service in snapshot.of_kind("Service"):
        if Ref.of(service) not in wished:
            yield _delete(service, "no rollout needs an address of its own any more")
    if not needs_budget(snapshot):
        why = "one node has all pods" if needs_disruption_budget(mmm.spec) else "one pod needs no budget"
        yield from (_delete(item, why) for item in snapshot.of_kind("PodDisruptionBudget"))
    yield from _delete_jobs(facts)
    remembered = snapshot.status.model.current, snapshot.status.model.previous
    served = [item.revision for item in remembered if item]
    surplus = surplus_revisions(facts.target, facts.serving, facts.states, mmm.spec.revision_history_limit, served)
    old = {state.revision for state in surplus}
    yield from (
        _delete(item, "beyond revisionHistoryLimit")
        for item in snapshot.of_kind("Deployment")
        if revision_id(item) in old
    )


def _delete_jobs(facts: Facts) -> Iterator[Delete]:
    snapshot, prefetch = facts.snapshot, facts.prefetch
    on_claim = snapshot.mmm is not None and snapshot.mmm.spec.cache.type is CacheType.PERSISTENT_VOLUME_CLAIM
    if on_claim and not facts.resolved:
        return  # nobody knows what to fetch: what is under way goes on
    for job in snapshot.of_kind("Job"):
        if "deletionTimestamp" in job["metadata"]:
            continue
        if prefetch is None or job["metadata"]["name"] != prefetch.job:
            yield _delete(job, "what it fetches is not asked for any more")
        elif has_failed(job):
            yield _delete(job, "it has given up: another one goes on from where it was")
        elif facts.wanted == 0 and not prefetch.done:
            yield _delete(job, "no pods are wanted")


def _delete(live: Manifest, why: str) -> Delete:
    return Delete(Ref.of(live), live["metadata"]["uid"], f"delete {Ref.of(live)}: {why}")
