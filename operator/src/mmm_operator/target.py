"""Which revision shall serve, and which one does."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmm_operator.api.conditions import REASONS, Reason
from mmm_operator.api.rollout import Promotion, Rollout, RolloutType
from mmm_operator.api.status import FailedModel, Resolved
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.revision import Revision, revision_of
from mmm_operator.revisions import RevisionState
from mmm_operator.rollout.verdict import Verdict
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Resolution, Snapshot


@dataclass(frozen=True, slots=True)
class Target:
    """The revision to move to.

    `revision` is what the spec asks for; None while that cannot be known, and then `id` names the
    revision that goes on serving ("" when there is none).
    """

    id: str
    revision: Revision | None


def choose_target(snapshot: Snapshot, states: Sequence[RevisionState], settings: Settings) -> Target:
    """The target of `snapshot`; a version that cannot be resolved never replaces one that serves."""
    mmm, resolution = snapshot.mmm, snapshot.resolution
    if mmm is not None and resolution is not None and resolution.digest is not None:
        version, digest = resolution.version, resolution.digest
        first = _first_digest(snapshot, mmm, states, digest)
        image = choose_image(mmm, resolution, snapshot.status.resolved, states, settings, first)
        revision = revision_of(mmm.spec, version, digest, image, first)
        return Target(revision.id, revision)
    known = {state.revision for state in states}
    remembered = (snapshot.status.model.target, snapshot.status.model.current)
    running = max(states, key=lambda state: (state.ready, state.wanted, state.created), default=None)
    # Without a memory, what runs goes on, whether it serves already or not.
    ids = [*(item.revision for item in remembered if item), *([running.revision] if running else [])]
    return Target(next((id_ for id_ in ids if id_ in known), ""), None)


def _first_digest(snapshot: Snapshot, mmm: MultimodalModel, states: Sequence[RevisionState], digest: str) -> str:
    """What tells the revisions of HotSwap apart that differ in nothing else: the digest that their pods began with.

    It is empty, unless two versions did not fit into a pod: then new pods take over, with the version that they begin
    with, and go on as those that swap.
    """
    if mmm.spec.rollout.type is not RolloutType.HOT_SWAP:
        return ""
    swaps = [report.swap for report in snapshot.reports.values() if report.swap and report.swap.digest == digest]
    if any(swap.reason == Reason.NO_ROOM_FOR_SWAP for swap in swaps):
        return digest
    target, current = snapshot.status.model.target, snapshot.status.model.current
    images = {state.image for state in states}

    def is_of(first: str, revision: str) -> bool:
        return revision in {revision_of(mmm.spec, "", "", image, first).id for image in images}

    if target is not None and target.digest == digest and is_of(digest, target.revision):
        return digest  # on the way there
    running = [state for state in states if state.wanted]
    serving = [current.revision] if current is not None else [state.revision for state in running if state.available]
    began = sorted({state.digest for state in running})
    return next((first for first in began for revision in serving if is_of(first, revision)), "")


def choose_image(
    mmm: MultimodalModel,
    wanted: Resolution,
    resolved: Resolved | None,
    states: Sequence[RevisionState],
    settings: Settings,
    first: str = "",
) -> str:
    """The server image: the spec's, or the one that this very revision runs already, or the default.

    The second case is why an upgrade of the operator, which brings a new default, restarts no pod.
    """
    if mmm.spec.runtime.image is not None:
        return mmm.spec.runtime.image
    # What an earlier spec named is no default: who takes `runtime.image` back wants the operator's.
    defaults = [state for state in states if state.default_image]
    known, version, digest = {state.revision for state in defaults}, wanted.version, wanted.digest or ""
    images = [*([resolved.server_image] if resolved else []), *sorted({state.image for state in defaults})]
    running = (image for image in images if revision_of(mmm.spec, version, digest, image, first).id in known)
    return next(running, settings.server_image)


def serving_revision(snapshot: Snapshot, target: Target, wanted: int, states: Sequence[RevisionState]) -> str:
    """The revision that answers requests: the target once it carries the load, until then the one before.

    It carries the load no earlier than its rollout lets it have all of it.
    """
    by_id = {state.revision: state for state in states}
    before = snapshot.status.model.current
    old = before.revision if before and before.revision in by_id else _most_available(states, target.id)
    goal = by_id.get(target.id)
    if goal is None or goal.available == 0 or old == target.id:
        return old
    if failure_of(target, snapshot.status.model.failed) or (
        by_id[old].wanted and _is_held_back(snapshot, target, wanted)
    ):
        return old
    return target.id if goal.available >= wanted or _is_down(snapshot, by_id[old]) else old


def _is_down(snapshot: Snapshot, old: RevisionState) -> bool:
    """Whether nothing is to be expected of those that served.

    All of them may be away for a moment, with their node for instance: who took the one new pod for the one that
    serves then would end them, and have nothing to go back to. Where one revision gets all requests, it is not waited.
    """
    alone = snapshot.mmm is not None and snapshot.mmm.spec.rollout.type is RolloutType.BLUE_GREEN
    return old.available == 0 and (alone or old.stuck or not old.wanted)


def failure_of(target: Target, failed: Sequence[FailedModel]) -> Verdict | None:
    """Why the target was given up before; None if it was not."""
    digest = target.revision.digest if target.revision else ""
    for item in failed:
        # While the spec asks for nothing that is there, what was given up before must not come back either.
        if item.revision == target.id and digest in ("", item.digest):
            return Verdict(REASONS.get(item.reason, Reason.ROLLED_BACK), item.message)
    return None


def _is_held_back(snapshot: Snapshot, target: Target, wanted: int) -> bool:
    """Whether the target may not have all the traffic yet, however many pods it has."""
    policy, status = snapshot.mmm.spec.rollout if snapshot.mmm else Rollout(), snapshot.status
    if policy.promote == target.id and not policy.paused:
        return False
    if policy.type is RolloutType.BLUE_GREEN:
        return policy.paused or policy.blue_green.promotion is Promotion.MANUAL
    if policy.type is not RolloutType.CANARY or policy.canary is None or not wanted:
        return False
    same = status.model.target is not None and status.model.target.revision == target.id
    return not (same and status.rollout.passed)


def _most_available(states: Sequence[RevisionState], target: str) -> str:
    # The status was lost: whoever serves most, and not the newcomer, is the one that served.
    serving = [state for state in states if state.available > 0]
    ranked = sorted(serving, key=lambda s: (s.revision == target, -s.available, s.created))
    return ranked[0].revision if ranked else ""
