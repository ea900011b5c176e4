"""Which versions there are, as the status tells it."""

from mmm_operator import names
from mmm_operator.api.conditions import Reason
from mmm_operator.api.status import (
    MAX_FAILURES,
    MAX_REVISIONS,
    FailedModel,
    LatestVersion,
    ModelState,
    ModelStatus,
    RevisionStatus,
)
from mmm_operator.api.text import one_line
from mmm_operator.api.v1alpha1 import UpdatePolicy
from mmm_operator.facts import Facts
from mmm_operator.revisions import RevisionState
from mmm_operator.snapshot import Update
from mmm_operator.swap import Swap


def report_model(facts: Facts, moment: str) -> ModelStatus:
    """Which versions serve, shall serve, have served and have failed; `moment` dates what is new."""
    old = facts.snapshot.status.model
    target = _model_state(facts, facts.target, old.target, moment)
    swap = facts.course.swap
    # Pods that go over to another version serve the one before until all of them have.
    current = _model_state(facts, facts.serving, old.current, moment)
    if swap and not swap.finished:
        current = _before_swap(facts, swap, moment)
    replaced = old.current is not None and current is not None and _bytes_of(old.current) != _bytes_of(current)
    return ModelStatus(
        current=current,
        target=target,
        previous=old.current if replaced else old.previous,
        latest=_latest(facts.snapshot.update) or (None if facts.snapshot.moved else old.latest),
        failed=_report_failed(facts, target, moment),
    )


def _report_failed(facts: Facts, target: ModelState | None, moment: str) -> tuple[FailedModel, ...]:
    """The revisions that were given up. Asking for another one forgets them, so that asking again tries again.

    Who follows the newest version never asks for another: it must not be tried again by itself.
    """
    snapshot, failed = facts.snapshot, facts.course.failed
    follows = snapshot.mmm is not None and snapshot.mmm.spec.model.update_policy is UpdatePolicy.AUTO
    known = [item for item in snapshot.status.model.failed if target is None or follows or _same(item, target)]
    if failed is None or target is None:
        return tuple(item for item in known if target is None or not (_same(item, target) and facts.resolved))
    if any(_same(item, target) for item in known):
        return tuple(known)
    new = FailedModel(
        version=target.version,
        digest=target.digest,
        revision=target.revision,
        reason=failed.reason.value,
        message=one_line(failed.message, 512),
        at=moment,
    )
    return (new, *known)[:MAX_FAILURES]


def _same(item: FailedModel, state: ModelState) -> bool:
    return (item.revision, item.digest) == (state.revision, state.digest)


def report_revisions(facts: Facts) -> tuple[RevisionStatus, ...]:
    """The revisions that are there: who serves, then who shall, then the newest."""

    def rank(state: RevisionState) -> tuple[bool, bool, str, str, str]:
        served, target = state.revision == facts.serving, state.revision == facts.target
        return served, target, state.created, state.version, state.revision

    ranked = sorted(facts.states, key=rank, reverse=True)
    return tuple(_revision_status(facts, state) for state in ranked[:MAX_REVISIONS])


def _revision_status(facts: Facts, state: RevisionState) -> RevisionStatus:
    target = state.revision == facts.target
    given_up = "Failed" if facts.course.failed else "Target"
    current = facts.snapshot.status.model.current
    # Pods that swap began with another version than they serve.
    swapped = facts.swaps and current is not None and current.revision == state.revision
    version, digest = (current.version, current.digest) if swapped and current else (state.version, state.digest)
    word = "Serving" if state.revision == facts.serving else given_up if target else "Kept"
    return RevisionStatus(
        revision=state.revision[:16],
        version=version[:63],
        short_digest=names.short_digest(digest),
        state=word,
        replicas=state.wanted,
        ready=state.ready,
        created_at=state.created[:32],
    )


def _latest(update: Update | None) -> LatestVersion | None:
    if update is None or update.latest is None:
        return None
    version, digest = update.latest
    return LatestVersion(version=version[:128], digest=digest)


def _model_state(facts: Facts, revision: str, old: ModelState | None, moment: str) -> ModelState | None:
    if not revision:
        return None
    known, new = facts.snapshot.status.model, _new_model_state(facts, revision, moment)
    states = [state for state in (old, known.target, known.current, known.previous) if state]
    if new is not None and facts.swaps and revision == facts.target:
        states = [state for state in states if state.digest == new.digest]  # one revision for many versions
    seen = next((state for state in states if state.revision == revision), None)
    if seen is None:
        return new
    # One that was told of by its Deployment alone, which does not say where the model was found.
    found = new if new is not None and new.uri and not seen.uri else seen
    return found.model_copy(update={"since": seen.since if seen is old else moment})


def _before_swap(facts: Facts, swap: Swap, moment: str) -> ModelState:
    """The version that pods serve which have not gone over to another one yet."""
    old, (version, digest) = facts.snapshot.status.model.current, swap.before
    if old is not None and (old.revision, old.digest) == (facts.serving, digest):
        return old
    return ModelState(
        version=version[:63],
        digest=digest[:71],
        short_digest=names.short_digest(digest),
        revision=facts.serving[:16],
        since=moment,
        uri=old.uri if old else "",
        endpoint=old.endpoint if old else "",
    )


def _bytes_of(state: ModelState) -> tuple[str, str]:
    return state.revision, state.digest


def _new_model_state(facts: Facts, revision: str, moment: str) -> ModelState | None:
    state = next((s for s in facts.states if s.revision == revision), None)
    mmm, resolution = facts.snapshot.mmm, facts.snapshot.resolution
    asked = revision == facts.target and mmm is not None and resolution is not None and resolution.digest is not None
    if asked and mmm is not None and resolution is not None:
        version, digest = resolution.version, resolution.digest or ""
        uri, endpoint = mmm.spec.model.uri, mmm.spec.storage.endpoint or ""
        unverified = True if resolution.reason is Reason.RESOLVED_WITHOUT_MANIFEST else None
    elif state is not None:
        version, digest, uri, endpoint, unverified = state.version, state.digest, "", "", None
    else:
        return None
    # Cut, since labels and annotations of a Deployment can be edited by anybody.
    return ModelState(
        version=version[:63],
        digest=digest[:71],
        short_digest=names.short_digest(digest),
        revision=revision[:16],
        since=moment,
        uri=uri,
        endpoint=endpoint,
        unverified=unverified,
    )
