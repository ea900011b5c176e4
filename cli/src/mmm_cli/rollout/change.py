"""What to write into the spec of a MultimodalModel so that its rollout goes on, stands still or goes back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmm_cli.failures import Failure
from mmm_cli.rollout.view import UNSEEN, is_seen
from mmm_operator.api.conditions import MEASURED
from mmm_operator.api.status import FailedModel, ModelState
from mmm_operator.api.v1alpha1 import MultimodalModel, UpdatePolicy

# Of what was measured a person may think otherwise; a version that cannot run is not made to by any word.
OVERRULABLE = {reason.value for reason in MEASURED}
SAME = "has the same version and differs in its digest or in other fields: apply the file that was used then"


@dataclass(frozen=True, slots=True)
class Change:
    """A merge patch of the object's spec, and what it means in a sentence; an empty one when nothing is to do."""

    spec: dict[str, Any]
    said: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A version to go back to; `digest` is empty where only a part of it is known."""

    version: str
    digest: str = ""


def pause(mmm: MultimodalModel, paused: bool) -> Change:
    """The change after which the rollout stands still, or goes on."""
    if mmm.spec.rollout.paused is paused:
        return Change({}, "is paused already" if paused else "is not paused")
    # A field that nobody set is as it was before anybody paused.
    return Change({"rollout": {"paused": True if paused else None}}, "is paused" if paused else "goes on")


def promote(mmm: MultimodalModel) -> Change:
    """The change after which the revision that shall serve waits for nobody."""
    current, target = mmm.status.model.current, mmm.status.model.target
    if not is_seen(mmm):
        raise Failure("NotYet", f"{UNSEEN}: run it again in a moment")
    if target is None:
        raise Failure("NothingToPromote", "no version was found yet that could serve: see mmm rollout status")
    if current is not None and current.revision == target.revision:
        return Change({}, f"has nothing to promote: version {current.version} serves")
    _check_not_hopeless(mmm.status.model.failed, target)
    if mmm.spec.rollout.promote == target.revision:
        return Change({}, f"is promoting version {target.version}, revision {target.revision}, already")
    said = f"promotes version {target.version}, revision {target.revision}"
    return Change({"rollout": {"promote": target.revision}}, said)


def _check_not_hopeless(failures: Sequence[FailedModel], target: ModelState) -> None:
    for failed in failures:
        same = (failed.revision, failed.digest) == (target.revision, target.digest)
        if same and failed.reason not in OVERRULABLE:
            why = f"{failed.reason}: {failed.message}"
            raise Failure("HasFailed", f"version {target.version} has failed and cannot be promoted: {why}")


def undo(mmm: MultimodalModel, revision: str | None = None, version: str | None = None) -> Change:
    """The change after which an earlier version serves: that of the revision, the one named, or the one before.

    Raises Failure where the spec does not name a version, or nobody knows which one to go back to.
    """
    before = mmm.spec.model.version
    choice = Choice(version) if version else _revision(mmm, revision) if revision else _before(mmm)
    if mmm.spec.model.update_policy is UpdatePolicy.AUTO or before is None:
        raise Failure(
            "FollowsNewest",
            f"{mmm.metadata.name} follows the newest version, so it would not stay there: write updatePolicy: Manual "
            f'and version: "{choice.version}" into spec.model',
        )
    model: dict[str, Any] = {"version": choice.version}
    if choice.version == before:
        return Change({}, f"asks for version {before} already")
    if mmm.spec.model.digest is not None:
        model["digest"] = choice.digest or _digest(mmm, choice.version)
    return Change({"model": model}, f"goes back from version {before} to version {choice.version}")


def _before(mmm: MultimodalModel) -> Choice:
    """What serves while another version comes, else what served before."""
    found = mmm.status.model
    if found.current is not None and found.current.version != mmm.spec.model.version:
        return Choice(found.current.version, found.current.digest)
    if not is_seen(mmm):
        raise Failure("NotYet", f"{UNSEEN}: run it again in a moment")
    if found.current is not None and found.target is not None and found.current.revision != found.target.revision:
        # Another version is not what served until now.
        raise Failure("SameVersion", f"revision {found.current.revision}, which serves, {SAME}")
    if found.previous is None:
        raise Failure("NothingBefore", "no version is known that served before: name one with --to-version")
    return Choice(found.previous.version, found.previous.digest)


def _revision(mmm: MultimodalModel, revision: str) -> Choice:
    found = next((item for item in mmm.status.revisions if item.revision == revision), None)
    if found is None:
        known = ", ".join(item.revision for item in mmm.status.revisions) or "none"
        raise Failure("NoSuchRevision", f"there is no revision {revision}; there are: {known}")
    if found.version == mmm.spec.model.version:
        raise Failure("SameVersion", f"revision {revision} {SAME}")
    return Choice(found.version)


def _digest(mmm: MultimodalModel, version: str) -> str:
    """The digest of the version, as the status knows it."""
    found = next((digest for known, digest in _digests(mmm) if known == version), None)
    if found is None:
        raise Failure(
            "DigestPinned",
            f"spec.model.digest pins the version, and the digest of version {version} is not known here: write both, "
            "as mmm versions prints them",
        )
    return found


def _digests(mmm: MultimodalModel) -> Iterator[tuple[str, str]]:
    model = mmm.status.model
    yield from ((state.version, state.digest) for state in (model.current, model.previous) if state)
    yield from ((failed.version, failed.digest) for failed in model.failed)
