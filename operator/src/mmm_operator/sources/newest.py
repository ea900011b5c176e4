"""Which version to serve and what to say of others, from what was heard of the repository."""

from mmm_operator.api.conditions import REASONS, ConditionType, Reason
from mmm_operator.api.status import ModelState, Status
from mmm_operator.api.v1alpha1 import MultimodalModel, UpdatePolicy
from mmm_operator.snapshot import Resolution, Update
from mmm_operator.sources.follower import Heard
from mmm_operator.sources.plain import why_waiting
from mmm_operator.sources.question import Question
from mmm_repository.order import is_newer


def follows(mmm: MultimodalModel) -> bool:
    """Whether the object wants the newest version, whatever it is called."""
    return mmm.spec.model.update_policy is UpdatePolicy.AUTO


def serving(mmm: MultimodalModel, status: Status) -> ModelState | None:
    """The version that serves, if it is of the same place: behind it nothing goes by itself."""
    return _kept(mmm, status.model.current)


def _kept(mmm: MultimodalModel, state: ModelState | None) -> ModelState | None:
    return state if state is not None and state.digest and Question.of(mmm).same_place(state) else None


def newest_resolution(mmm: MultimodalModel, status: Status, heard: Heard) -> Resolution:
    """The newest version that is whole; while the repository cannot be seen, the one that was wanted last.

    A target that is taken back before it serves is forgotten; one that serves stays, even when all versions are gone.
    """
    current, target = serving(mmm, status), _kept(mmm, status.model.target)
    newest = heard.sight.newest if heard.sight else None
    if newest is not None and (current is None or is_newer(newest.version, current.version)):
        question = Question.of(mmm, newest.version)
        if newest.mistake:
            return question.missing(Reason.INVALID_MANIFEST, f"Version {newest.version}: {newest.mistake}")
        return question.found(newest.digest, newest.total_bytes)
    kept = (current or target) if newest is not None else (target or current)
    if kept is not None:
        return Question.of(mmm, kept.version).found(kept.digest)
    return Question.of(mmm).missing(*_why_none(mmm, heard))


def _why_none(mmm: MultimodalModel, heard: Heard) -> tuple[Reason, str]:
    if heard.trouble is not None:
        return heard.trouble.reason, heard.trouble.message
    if heard.sight is None:
        return Reason.RESOLVING, "The repository is being asked."
    if heard.sight.unlisted is not None:
        reason, message = heard.sight.unlisted
        return REASONS.get(reason, Reason.INTERNAL_ERROR), message
    if heard.sight.plain:
        return why_waiting(mmm, heard.sight.plain[0])
    started = ", ".join(heard.sight.incomplete)
    return Reason.INCOMPLETE_UPLOAD, f"No version is whole yet; without a manifest: {started}."


def update_of(mmm: MultimodalModel, resolution: Resolution, heard: Heard) -> Update | None:
    """What there is beside the wanted version; None while nothing was heard."""
    sight, trouble = heard.sight, heard.standing
    if sight is None:
        return Update(trouble=(trouble.reason, trouble.message)) if trouble else None
    whole, here = sight.whole, sight.pinned.get(resolution.version)
    newer = whole is not None and is_newer(whole.version, resolution.version)
    changed = here is not None and resolution.digest is not None and here.digest != resolution.digest
    why = (trouble.reason, trouble.message) if trouble else None
    if why is None and sight.unlisted is not None:
        why = REASONS.get(sight.unlisted[0], Reason.INTERNAL_ERROR), sight.unlisted[1]
    return Update(
        latest=(whole.version, whole.digest) if whole is not None else None,
        newer=whole.version if whole is not None and newer and not follows(mmm) else "",
        changed=(here.digest or here.mistake) if here is not None and changed else "",
        incomplete=sight.incomplete,
        trouble=why,
    )


def stored_refusal(mmm: MultimodalModel, status: Status, heard: Heard) -> Resolution | None:
    """What an earlier process said of why there is no version, as long as this one has heard nothing."""
    if heard != Heard():
        return None
    found = (c for c in status.conditions if c.type == ConditionType.MODEL_RESOLVED and c.status != "True")
    said = next((c for c in found if c.reason in REASONS), None)
    return Question.of(mmm).missing(REASONS[said.reason], said.message) if said else None
