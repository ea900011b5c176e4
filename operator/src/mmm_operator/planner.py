"""`plan`: from what is to what to do. Pure and total: any snapshot gives a plan, and a settled one gives none."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from mmm_operator.api.storage import CacheType
from mmm_operator.api.v1alpha1 import Spec
from mmm_operator.assess import Facts
from mmm_operator.builders.autoscaler import build_autoscaler
from mmm_operator.builders.claim import build_claim
from mmm_operator.builders.deployment import build_deployment, rebuild_deployment
from mmm_operator.builders.disruption import build_disruption_budget, needs_disruption_budget
from mmm_operator.builders.network import build_network_policy
from mmm_operator.builders.prefetch import build_prefetch_job
from mmm_operator.builders.service import build_service
from mmm_operator.diagnose import fetching_pods, next_look
from mmm_operator.drift import first_difference, with_applied_hash
from mmm_operator.plan import Apply, Delete, Plan
from mmm_operator.prefetch import Prefetch, has_failed, is_on_one_node, missing_source, plan_prefetch, shared_volume
from mmm_operator.report import report_events, report_status
from mmm_operator.rollout.step import Step, held_step, next_step, paused_step, surplus_revisions
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Manifest, Ref, RevisionState, Snapshot, parse_revision, revision_id
from mmm_operator.target import Target, choose_target, serving_revision

# A ready pod whose status page has not been read yet is asked again after this many seconds.
UNREAD_SECONDS = 10.0
# How far a fetch is, is read and told this often.
PROGRESS_SECONDS = 10.0
# Claims of users are not watched.
UNSEEN_SECONDS = 15.0
# Why a Job has no pod, only events say.
JOB_EVENTS_SECONDS = 15.0


def plan(snapshot: Snapshot, settings: Settings, now: datetime) -> Plan:
    """What to do about `snapshot`. `now` dates what changes, and tells what is overdue."""
    states = tuple(parse_revision(item, snapshot.pods, now) for item in snapshot.of_kind("Deployment"))
    target = choose_target(snapshot, states, settings)
    wanted = _wanted(snapshot.mmm.spec) if snapshot.mmm else _kept_size(snapshot)
    serving = serving_revision(snapshot, target.id, wanted, states)
    prefetch = plan_prefetch(snapshot, target, states, wanted, now)
    step = _choose_step(snapshot, target, serving, wanted, states, prefetch)
    desired = tuple(_children(snapshot, step, target, settings, states, prefetch))
    taken = snapshot.foreign & {Ref.of(manifest) for manifest in desired}
    facts = Facts(snapshot, wanted, target.id, serving, states, step, taken, prefetch)
    applies = tuple(_applies(facts, desired))
    deletes = tuple(_deletes(facts))
    status = report_status(facts, target.revision.image if target.revision else "", now)
    changed = status != snapshot.status
    return Plan(
        apply=applies,
        delete=deletes,
        status=status if changed else None,
        events=report_events(snapshot.status.conditions, status.conditions) if changed else (),
        requeue_after=_requeue_after(facts, now),
        because="; ".join([a.because for a in applies] + [d.because for d in deletes]) or step.because,
    )


def _choose_step(
    snapshot: Snapshot,
    target: Target,
    serving: str,
    wanted: int,
    states: Sequence[RevisionState],
    prefetch: Prefetch | None,
) -> Step:
    paused = snapshot.mmm is not None and snapshot.mmm.spec.rollout.paused
    step = (paused_step if paused else next_step)(target.id, serving, wanted, states)
    because = missing_source(snapshot, target, states, wanted)
    if prefetch is not None and prefetch.holds:
        because = f"Job {prefetch.job} brings the model to its claim; no pod is touched before"
    if step.paused or not because:
        return step
    return held_step(target.id, serving, wanted, states, because)


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


def _children(
    snapshot: Snapshot,
    step: Step,
    target: Target,
    settings: Settings,
    states: Sequence[RevisionState],
    prefetch: Prefetch | None,
) -> Iterator[Manifest]:
    """The desired children, in the order in which they are needed; none while the spec cannot be read."""
    mmm, revision = snapshot.mmm, target.revision
    if mmm is None:
        return
    spec = mmm.spec
    if spec.cache.type is CacheType.PERSISTENT_VOLUME_CLAIM and spec.cache.claim_template is not None:
        yield build_claim(mmm, spec.cache.claim_template)
    yield build_service(mmm)
    if _needs_budget(snapshot):
        yield build_disruption_budget(mmm)
    if spec.network_policy is not None:
        yield build_network_policy(mmm, spec.network_policy)
    volume = shared_volume(snapshot, states)
    if revision is not None and prefetch is not None and (step.held or prefetch.live is not None):
        yield build_prefetch_job(mmm, revision, settings, prefetch.job, volume, prefetch.live)
    if revision is not None and revision.id in step.sizes:
        live = next((item for item in snapshot.of_kind("Deployment") if revision_id(item) == revision.id), None)
        yield build_deployment(mmm, revision, step.sizes[revision.id], settings, live, volume)
    if spec.autoscaling is not None and not spec.suspend:
        yield build_autoscaler(mmm, spec.autoscaling)


def _needs_budget(snapshot: Snapshot) -> bool:
    """Whether evictions have to be held back: where all pods must be on one node, its drain takes all of them."""
    spec = snapshot.mmm.spec if snapshot.mmm else None
    return spec is not None and needs_disruption_budget(spec) and not is_on_one_node(spec, snapshot.claim)


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


def _deletes(facts: Facts) -> Iterator[Delete]:
    mmm, snapshot = facts.snapshot.mmm, facts.snapshot
    if mmm is None:
        return
    if mmm.spec.autoscaling is None or mmm.spec.suspend:
        # It would write replicas, which is the size to come back to.
        yield from (_delete(item, "autoscaling is off") for item in snapshot.of_kind("HorizontalPodAutoscaler"))
    if mmm.spec.network_policy is None:
        yield from (_delete(item, "it is not asked for any more") for item in snapshot.of_kind("NetworkPolicy"))
    if not _needs_budget(snapshot):
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
