"""What shall be there beside the old revisions: the children that the spec and its rollout ask for. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from mmm_operator import names
from mmm_operator.api.rollout import RolloutType, tells
from mmm_operator.api.storage import CacheType
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.builders.autoscaler import build_autoscaler
from mmm_operator.builders.claim import build_claim
from mmm_operator.builders.deployment import build_deployment
from mmm_operator.builders.disruption import build_disruption_budget, needs_disruption_budget
from mmm_operator.builders.network import build_network_policy
from mmm_operator.builders.prefetch import build_prefetch_job
from mmm_operator.builders.service import build_preview, build_service
from mmm_operator.builders.told import Told, build_rollout_config
from mmm_operator.course import Course
from mmm_operator.prefetch import Prefetch, is_on_one_node, shared_volume
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Manifest, Snapshot, revision_id
from mmm_operator.swap import config_of
from mmm_operator.target import Target


@dataclass(frozen=True, slots=True)
class Wish:
    """What the children follow from, beside the settings."""

    snapshot: Snapshot
    course: Course
    target: Target
    prefetch: Prefetch | None
    told: Told


def desired_children(wish: Wish, settings: Settings) -> Iterator[Manifest]:
    """The desired children, in the order in which they are needed; none while the spec cannot be read."""
    snapshot, course, prefetch = wish.snapshot, wish.course, wish.prefetch
    mmm, revision = snapshot.mmm, wish.target.revision
    if mmm is None:
        return
    spec, step = mmm.spec, course.step
    if spec.cache.type is CacheType.PERSISTENT_VOLUME_CLAIM and spec.cache.claim_template is not None:
        yield build_claim(mmm, spec.cache.claim_template)
    yield build_service(mmm, course.only)
    yield from _rollout_children(wish, mmm)
    if needs_budget(snapshot):
        yield build_disruption_budget(mmm)
    if spec.network_policy is not None:
        yield build_network_policy(mmm, spec.network_policy)
    volume = shared_volume(snapshot, course.states)
    if revision is not None and prefetch is not None and (step.held or prefetch.live is not None):
        yield build_prefetch_job(mmm, revision, settings, prefetch.job, volume, prefetch.live)
    if revision is not None and revision.id in step.sizes:
        live = next((item for item in snapshot.of_kind("Deployment") if revision_id(item) == revision.id), None)
        yield build_deployment(mmm, revision, step.sizes[revision.id], settings, live, volume)
    if spec.autoscaling is not None and not spec.suspend:
        yield build_autoscaler(mmm, spec.autoscaling)


def needs_budget(snapshot: Snapshot) -> bool:
    """Whether evictions have to be held back: where all pods must be on one node, its drain takes all of them."""
    spec = snapshot.mmm.spec if snapshot.mmm else None
    return spec is not None and needs_disruption_budget(spec) and not is_on_one_node(spec, snapshot.claim)


def _rollout_children(wish: Wish, mmm: MultimodalModel) -> Iterator[Manifest]:
    """What a rollout needs beside pods: words for those that run, and an address for new ones alone."""
    if tells(mmm.spec.rollout) or config_of(wish.snapshot) is not None:
        yield build_rollout_config(mmm.metadata, wish.told)
    if _has_preview(wish, mmm):
        yield build_preview(mmm, wish.target.id)


def _has_preview(wish: Wish, mmm: MultimodalModel) -> bool:
    """Whether the new pods can be reached past the Service: by those that mirror, and by people before a switch."""
    blue_green = mmm.spec.rollout.type is RolloutType.BLUE_GREEN and wish.course.only not in ("", wish.target.id)
    return bool(wish.target.id) and (blue_green or wish.told.mirror is not None)


def mirror_url(snapshot: Snapshot, course: Course, target: Target) -> str | None:
    """Where old pods send copies of their requests; None while no canary wants any."""
    canary = snapshot.mmm.spec.rollout.canary if snapshot.mmm else None
    if canary is None or not canary.mirror or course.canary is None or course.canary.limit is None or course.failed:
        return None
    return names.service_url(names.preview_name(snapshot.meta.name, target.id), snapshot.meta.namespace, 80)
