"""Which version an object that follows goes for, and what it says of the others."""

from typing import Any

import pytest

from mmm_operator.api.conditions import Reason
from mmm_operator.api.status import ModelState, ModelStatus, Status
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.snapshot import Resolution
from mmm_operator.sources.follower import Heard, Trouble
from mmm_operator.sources.newest import newest_resolution, update_of
from mmm_repository.follow import Seen, Sight

URI = "s3://models/clip"
DOWN = Trouble(Reason.ENDPOINT_UNREACHABLE, "down")


def digest(version: str) -> str:
    return f"sha256:{version * 64}"


def make_mmm(**model: Any) -> MultimodalModel:
    spec = {"model": {"uri": URI, "updatePolicy": "Auto", **model}}
    return MultimodalModel.model_validate({"metadata": {"name": "clip", "namespace": "default"}, "spec": spec})


def state(version: str, uri: str = URI) -> ModelState:
    return ModelState(version=version, digest=digest(version), short_digest="", revision="a", since="", uri=uri)


def status(current: str = "", target: str = "", uri: str = URI) -> Status:
    states = {name: state(version, uri) for name, version in (("current", current), ("target", target)) if version}
    return Status(model=ModelStatus(**states))


def sight(newest: str = "", mistake: str = "", **fields: Any) -> Heard:
    seen = Seen(newest, "" if mistake else digest(newest), 7, mistake) if newest else None
    return Heard(Sight(newest=seen, whole=None if mistake else seen, **fields))


@pytest.mark.parametrize(
    ("stored", "heard", "wanted"),
    [
        (status(), sight("2"), "2"),
        (status("1", "1"), sight("2"), "2"),
        (status("2", "2"), sight("10"), "10"),
        # Nothing goes back by itself.
        (status("2", "2"), sight("1"), "2"),
        (status("2", "2"), sight(incomplete=("3",)), "2"),
        # A target that was taken back before it served.
        (status("1", "3"), sight("2"), "2"),
        (status("1", "3"), sight("1"), "1"),
        # While nobody can look, what was wanted is wanted.
        (status("1", "3"), Heard(), "3"),
        (status("1", "3"), Heard(None, DOWN), "3"),
        (status(target="3"), Heard(None, DOWN), "3"),
        # Another repository has nothing to do with it.
        (status("9", "9", uri="s3://other/clip"), sight("2"), "2"),
    ],
)
def test_it_goes_for_the_newest_and_never_back(stored: Status, heard: Heard, wanted: str) -> None:
    found = newest_resolution(make_mmm(), stored, heard)
    assert (found.version, found.digest) == (wanted, digest(wanted))


@pytest.mark.parametrize(
    ("stored", "heard", "reason"),
    [
        (status(), Heard(), Reason.RESOLVING),
        (status(), Heard(None, DOWN), Reason.ENDPOINT_UNREACHABLE),
        (status(), sight(incomplete=("1",)), Reason.INCOMPLETE_UPLOAD),
        (status(), sight(unlisted=("AccessDenied", "no")), Reason.ACCESS_DENIED),
        (status("1", "1"), sight("2", mistake="not JSON"), Reason.INVALID_MANIFEST),
        (status("9", "9", uri="s3://other/clip"), Heard(None, DOWN), Reason.ENDPOINT_UNREACHABLE),
    ],
)
def test_it_says_why_there_is_none(stored: Status, heard: Heard, reason: Reason) -> None:
    found = newest_resolution(make_mmm(), stored, heard)
    assert (found.digest, found.reason) == (None, reason)


def test_the_bytes_that_serve_stay_whatever_lies_there_now() -> None:
    here = Seen("1", digest("5"))
    heard = Heard(Sight(newest=here, whole=here, pinned={"1": here}))
    found = newest_resolution(make_mmm(), status("1", "1"), heard)
    assert found.digest == digest("1")
    update = update_of(make_mmm(), found, heard)
    assert update is not None
    assert update.changed == digest("5")


def resolved(version: str) -> Resolution:
    return Resolution(URI, version, digest(version))


@pytest.mark.parametrize(("wanted", "newest", "newer"), [("1", "2", "2"), ("2", "2", ""), ("10", "9", "")])
def test_a_newer_version_is_told_to_who_decides(wanted: str, newest: str, newer: str) -> None:
    manual = make_mmm(updatePolicy="Manual", version=wanted)
    update = update_of(manual, resolved(wanted), sight(newest))
    assert update is not None
    assert (update.newer, update.latest) == (newer, (newest, digest(newest)))
    auto = update_of(make_mmm(), resolved(wanted), sight(newest))
    assert auto is not None
    assert auto.newer == ""


def test_a_newer_manifest_that_is_none_is_no_update() -> None:
    update = update_of(make_mmm(updatePolicy="Manual", version="1"), resolved("1"), sight("2", mistake="not JSON"))
    assert update is not None
    assert (update.newer, update.latest) == ("", None)


def test_nothing_is_said_before_the_first_look_and_what_was_seen_is_not_unsaid() -> None:
    manual = make_mmm(updatePolicy="Manual", version="1")
    assert update_of(manual, resolved("1"), Heard(None, DOWN)) is None
    later = update_of(manual, resolved("1"), Heard(sight("2").sight, DOWN, is_standing=True))
    assert later is not None
    assert (later.newer, later.trouble) == ("2", (Reason.ENDPOINT_UNREACHABLE, "down"))
    unlisted = update_of(manual, resolved("1"), sight(unlisted=("AccessDenied", "no")))
    assert unlisted is not None
    assert unlisted.trouble == (Reason.ACCESS_DENIED, "no")
