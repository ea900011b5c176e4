"""Which revision shall serve, and which one does."""

from dataclasses import replace
from typing import Any

import pytest

from mmm_operator.api.status import ModelState, ModelStatus, Resolved, Status
from mmm_operator.revisions import RevisionState
from mmm_operator.snapshot import Resolution
from mmm_operator.target import Target, choose_image, serving_revision
from tests.unit.operator.core.build import BORN, IMAGE, SETTINGS, digest_of, make_mmm, make_snapshot
from tests.unit.operator.core.test_step import rev

CLIP = make_mmm()


def remembered(revision: str) -> Status:
    known: dict[str, Any] = {"version": "1", "digest": digest_of("1"), "short_digest": "", "since": BORN}
    return Status(model=ModelStatus(current=ModelState(revision=revision, **known) if revision else None))


SERVING: list[tuple[str, str, list[RevisionState], str]] = [
    # what it shows · who served, by the status · what is · who serves B being the target and 2 being wanted
    ("nobody yet", "", [], ""),
    ("the first pods load", "", [rev("B", 2, 0)], ""),
    ("the first pod serves", "", [rev("B", 2, 1)], "B"),
    ("the old one, while the new one loads", "A", [rev("A", 2), rev("B", 1, 0)], "A"),
    ("the old one, while the new one is small", "A", [rev("A", 1), rev("B", 2, 1)], "A"),
    ("the new one, once it carries the load", "A", [rev("A", 1), rev("B", 2)], "B"),
    ("the old one, when it is away for a moment", "A", [rev("A", 2, 0), rev("B", 1)], "A"),
    ("the new one, when the old one is down", "A", [replace(rev("A", 2, 0), stuck=True), rev("B", 1)], "B"),
    ("the new one, when the old one has been taken away", "A", [rev("A", 0, 0), rev("B", 1)], "B"),
    ("still the old one, when both are down", "A", [rev("A", 2, 0), rev("B", 1, 0)], "A"),
    ("it does not give up the load again", "B", [rev("A", 1), rev("B", 2, 0)], "B"),
    ("the old one was deleted: who is left", "A", [rev("C", 1), rev("B", 2, 0)], "C"),
    ("the status is lost: not the newcomer", "", [rev("A", 1), rev("B", 2, 1)], "A"),
    ("the status is lost: who serves most", "", [rev("A", 1), rev("C", 2), rev("B", 1, 0)], "C"),
    ("the status is lost: nobody serves", "", [rev("A", 2, 0), rev("B", 1, 0)], ""),
]


@pytest.mark.parametrize(("before", "states", "serves"), [row[1:] for row in SERVING], ids=[row[0] for row in SERVING])
def test_who_serves(before: str, states: list[RevisionState], serves: str) -> None:
    snapshot = make_snapshot(CLIP, status=remembered(before))
    assert serving_revision(snapshot, Target("B", None), 2, states) == serves


def image(states: list[RevisionState], resolved: str = "", own: str | None = None) -> str:
    mmm = CLIP.having(runtime={"image": own} if own else {}).build()
    memory = Resolved(server_image=resolved) if resolved else None
    return choose_image(mmm, Resolution("", "1", digest_of("1")), memory, states, SETTINGS)


def running(image: str) -> RevisionState:
    """The revision that CLIP asks for with this image."""
    return rev(CLIP.revision(image).id, 1, image=image)


def test_the_image_is_the_spec_s() -> None:
    assert image([running("old:1")], "old:1", own="own:1") == "own:1"


def test_the_image_is_the_one_that_this_very_revision_runs_already() -> None:
    assert image([running("old:1")]) == "old:1"
    assert image([running("old:1"), running("older:1")], "older:1") == "older:1"


def test_an_image_that_the_spec_named_once_is_no_default() -> None:
    own = replace(running("own:1"), default_image=False)
    assert image([own]) == IMAGE
    assert image([own, running("old:1")], "old:1") == "old:1"


def test_the_image_of_a_new_revision_is_the_operator_s() -> None:
    assert image([]) == IMAGE
    assert image([rev("other", 1, image="old:1")], "old:1") == IMAGE
