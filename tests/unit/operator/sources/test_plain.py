"""What is said of versions without a manifest, and which digest the wanted one has."""

from typing import Any

import pytest

from mmm_operator.api.conditions import Reason
from mmm_operator.api.status import ModelState, ModelStatus, Status
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.snapshot import Resolution
from mmm_operator.sources.follower import Heard
from mmm_operator.sources.newest import newest_resolution, update_of
from mmm_operator.sources.plain import marked, pinned_resolution
from mmm_operator.sources.question import Question
from mmm_repository.follow import Seen, Sight
from mmm_repository.unverified import Plain

URI = "s3://models/clip"
A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
MISSING = ("IncompleteUpload", "Version 1: config.json is missing.")


def make_mmm(**model: Any) -> MultimodalModel:
    spec = {"model": {"uri": URI, "pollIntervalSeconds": 30, **model}}
    return MultimodalModel.model_validate({"metadata": {"name": "clip", "namespace": "default"}, "spec": spec})


MANUAL = make_mmm(version="1")


def state(digest: str, *, unverified: bool | None = True) -> ModelState:
    return ModelState(
        version="1", digest=digest, short_digest="", revision="a", since="", uri=URI, unverified=unverified
    )


def status(**states: ModelState) -> Status:
    return Status(model=ModelStatus(**states))


def seen(digest: str, *, settled: bool, trouble: tuple[str, str] | None = None) -> Heard:
    """A repository whose only version 1 has no manifest."""
    plain, here = Plain("1", digest, 7, 2, trouble), Seen("1", digest, 7, settled=settled)
    newest = here if settled and not trouble else None
    pinned = {} if trouble else {"1": here}
    return Heard(Sight(newest=newest, whole=newest, pinned=pinned, plain=(plain,), incomplete=("1",)))


def answered(reason: Reason, digest: str | None = None) -> Resolution:
    return Resolution(URI, "1", digest, reason=reason, message="what the repository said")


INCOMPLETE = answered(Reason.INCOMPLETE_UPLOAD)
NOTHING = status()


@pytest.mark.parametrize(
    ("stored", "found", "heard", "digest", "reason"),
    [
        (NOTHING, INCOMPLETE, seen(A, settled=True), A, Reason.RESOLVED_WITHOUT_MANIFEST),
        (NOTHING, INCOMPLETE, seen(A, settled=False), None, Reason.INCOMPLETE_UPLOAD),
        (NOTHING, INCOMPLETE, Heard(), None, Reason.INCOMPLETE_UPLOAD),
        (NOTHING, INCOMPLETE, seen(A, settled=False, trouble=("UnsafeArtifact", "x")), None, Reason.UNSAFE_ARTIFACT),
        # What serves stays, and so does what was wanted until something else has stood.
        (status(current=state(A)), answered(Reason.RESOLVED, A), seen(B, settled=True), A, "marked"),
        (status(target=state(A)), answered(Reason.RESOLVED, A), seen(B, settled=False), A, "marked"),
        (status(target=state(A)), answered(Reason.RESOLVED, A), seen(B, settled=True), B, "marked"),
        (status(target=state(A)), answered(Reason.RESOLVED, A), Heard(), A, "marked"),
        # A manifest that was read says more than a listing.
        (status(target=state(A)), answered(Reason.RESOLVED, C), seen(A, settled=True), C, Reason.RESOLVED),
        (status(target=state(C, unverified=None)), answered(Reason.RESOLVED, C), Heard(), C, Reason.RESOLVED),
        # Another trouble is told as it is.
        (NOTHING, answered(Reason.ACCESS_DENIED), seen(A, settled=False), None, Reason.ACCESS_DENIED),
    ],
)
def test_the_wanted_version(
    stored: Status, found: Resolution, heard: Heard, digest: str | None, reason: Reason | str
) -> None:
    resolution = marked(pinned_resolution(MANUAL, stored, found, heard), stored, heard)
    expected = Reason.RESOLVED_WITHOUT_MANIFEST if reason == "marked" else reason
    assert (resolution.digest, resolution.reason) == (digest, expected)


def test_what_is_waited_for_is_said_in_seconds() -> None:
    heard = seen(A, settled=False)
    expected = "Version 1: no manifest; it counts as whole once two listings 30 seconds apart agree."
    assert pinned_resolution(MANUAL, NOTHING, INCOMPLETE, heard).message == expected
    assert newest_resolution(make_mmm(updatePolicy="Auto"), NOTHING, heard).message == expected


def test_what_is_missing_is_said_and_who_cannot_be_looked_at() -> None:
    broken = seen(A, settled=False, trouble=MISSING)
    assert pinned_resolution(MANUAL, NOTHING, INCOMPLETE, broken).message == MISSING[1]
    assert newest_resolution(make_mmm(updatePolicy="Auto"), NOTHING, broken).message == MISSING[1]
    many = Heard(Sight(unlisted=("InvalidManifest", "too many")))
    assert pinned_resolution(MANUAL, NOTHING, INCOMPLETE, many).reason is Reason.INVALID_MANIFEST


@pytest.mark.parametrize(("pin", "digest", "reason"), [(A, A, Reason.RESOLVED), (B, None, Reason.DIGEST_MISMATCH)])
def test_who_names_the_digest_of_a_listing_need_not_wait(pin: str, digest: str | None, reason: Reason) -> None:
    for settled in (False, True):
        found = pinned_resolution(make_mmm(version="1", digest=pin), NOTHING, INCOMPLETE, seen(A, settled=settled))
        assert found.digest == digest
    assert found.reason is reason


def test_auto_serves_what_has_stood_and_keeps_it() -> None:
    auto = make_mmm(updatePolicy="Auto")
    heard = seen(A, settled=True)
    found = marked(newest_resolution(auto, NOTHING, heard), NOTHING, heard)
    assert (found.digest, found.reason) == (A, Reason.RESOLVED_WITHOUT_MANIFEST)
    serving = status(current=state(A), target=state(A))
    changed = marked(newest_resolution(auto, serving, seen(B, settled=True)), serving, seen(B, settled=True))
    assert (changed.digest, changed.reason) == (A, Reason.RESOLVED_WITHOUT_MANIFEST)


@pytest.mark.parametrize("settled", [False, True])
def test_another_listing_under_what_serves_is_changed_content_at_once(settled: bool) -> None:
    resolution = Question.of(MANUAL).found(A)
    update = update_of(MANUAL, resolution, seen(B, settled=settled))
    assert update is not None
    assert update.changed == B
    same = update_of(MANUAL, resolution, seen(A, settled=settled))
    assert same is not None
    assert same.changed == ""
