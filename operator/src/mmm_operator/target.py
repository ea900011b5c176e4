"""Which revision shall serve, and which one does."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmm_operator.api.status import Resolved
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.revision import Revision, revision_of
from mmm_operator.settings import Settings
from mmm_operator.snapshot import RevisionState, Snapshot


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
        image = choose_image(mmm, resolution.version, resolution.digest, snapshot.status.resolved, states, settings)
        revision = revision_of(mmm.spec, resolution.version, resolution.digest, image)
        return Target(revision.id, revision)
    known = {state.revision for state in states}
    remembered = (snapshot.status.model.target, snapshot.status.model.current)
    running = max(states, key=lambda state: (state.ready, state.wanted, state.created), default=None)
    # Without a memory, what runs goes on, whether it serves already or not.
    ids = [*(item.revision for item in remembered if item), *([running.revision] if running else [])]
    return Target(next((id_ for id_ in ids if id_ in known), ""), None)


def choose_image(
    mmm: MultimodalModel,
    version: str,
    digest: str,
    resolved: Resolved | None,
    states: Sequence[RevisionState],
    settings: Settings,
) -> str:
    """The server image: the spec's, or the one that this very revision runs already, or the default.

    The second case is why an upgrade of the operator, which brings a new default, restarts no pod.
    """
    if mmm.spec.runtime.image is not None:
        return mmm.spec.runtime.image
    # What an earlier spec named is no default: who takes `runtime.image` back wants the operator's.
    defaults = [state for state in states if state.default_image]
    known = {state.revision for state in defaults}
    images = [*([resolved.server_image] if resolved else []), *sorted({state.image for state in defaults})]
    running = (image for image in images if revision_of(mmm.spec, version, digest, image).id in known)
    return next(running, settings.server_image)


def serving_revision(snapshot: Snapshot, target: str, wanted: int, states: Sequence[RevisionState]) -> str:
    """The revision that answers requests: the target once it carries the load, until then the one before."""
    by_id = {state.revision: state for state in states}
    before = snapshot.status.model.current
    old = before.revision if before and before.revision in by_id else _most_available(states, target)
    goal = by_id.get(target)
    if goal is None or goal.available == 0 or old == target:
        return old
    return target if goal.available >= wanted or by_id[old].available == 0 else old


def _most_available(states: Sequence[RevisionState], target: str) -> str:
    # The status was lost: whoever serves most, and not the newcomer, is the one that served.
    serving = [state for state in states if state.available > 0]
    ranked = sorted(serving, key=lambda s: (s.revision == target, -s.available, s.created))
    return ranked[0].revision if ranked else ""
