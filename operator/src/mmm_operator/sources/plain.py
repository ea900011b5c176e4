"""What is said of versions without a manifest: when one is served, what is waited for, and that it is unverified."""

from dataclasses import replace

from mmm_operator.api.conditions import REASONS, Reason
from mmm_operator.api.status import ModelState, Status
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.snapshot import Resolution
from mmm_operator.sources.follower import Heard
from mmm_operator.sources.question import Question
from mmm_repository.unverified import Plain


def pinned_resolution(mmm: MultimodalModel, status: Status, found: Resolution, heard: Heard) -> Resolution:
    """What the wanted version is: `found`, unless it has no manifest and its listing has stood long enough.

    The version that serves stays what it is; one that does not serve yet follows what lies there, as with manifests.
    """
    question, pin = Question.of(mmm), mmm.spec.model.digest
    if found.reason is Reason.INCOMPLETE_UPLOAD and heard.sight is not None and heard.sight.unlisted is not None:
        reason, message = heard.sight.unlisted
        return question.missing(REASONS.get(reason, Reason.INTERNAL_ERROR), message)
    plain = next((p for p in heard.sight.plain if p.version == question.version), None) if heard.sight else None
    told = {state.digest for state in unverified_states(status)}
    serves = found.digest is not None and found.digest == question.answered_by(status.model.current)
    if heard.sight is None or plain is None or serves or (found.digest is not None and found.digest not in told):
        return found
    seen = heard.sight.pinned.get(question.version)
    # Who names the digest of this very listing vouches for it.
    if seen is not None and (seen.settled or seen.digest == pin):
        return question.pinned(question.found(seen.digest, seen.total_bytes), pin)
    return question.missing(*why_waiting(mmm, plain)) if found.reason is Reason.INCOMPLETE_UPLOAD else found


def why_waiting(mmm: MultimodalModel, plain: Plain) -> tuple[Reason, str]:
    """Why a version without a manifest is not served, or not yet."""
    if plain.trouble is not None:
        reason, message = plain.trouble
        return REASONS.get(reason, Reason.INTERNAL_ERROR), message
    return Reason.INCOMPLETE_UPLOAD, (
        f"Version {plain.version}: no manifest; it counts as whole once two listings "
        f"{mmm.spec.model.poll_interval_seconds} seconds apart agree."
    )


def marked(resolution: Resolution, status: Status, heard: Heard) -> Resolution:
    """The answer, called unverified where its digest is one of a listing: by what is heard, or by what was written."""
    listed = {plain.digest for plain in heard.sight.plain} if heard.sight else set()
    listed.update(state.digest for state in unverified_states(status))
    if resolution.digest is None or resolution.digest not in listed:
        return resolution
    return replace(resolution, reason=Reason.RESOLVED_WITHOUT_MANIFEST)


def unverified_states(status: Status) -> tuple[ModelState, ...]:
    """The versions that earlier reconciles found without a manifest."""
    states = (status.model.current, status.model.target, status.model.previous)
    return tuple(state for state in states if state is not None and state.unverified)
