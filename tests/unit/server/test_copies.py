"""Copies of requests that another version has answered: they fill what is free, and nobody waits for them."""

import pytest

from mmm_server.backends.base import Kind
from mmm_server.errors import Overloaded
from tests.unit.server.test_admission import PATIENT, make_admission

ONE = {Kind.IMAGE: 1}
BATCH = 4  # images, as make_admission expects them


def test_a_copy_enters_only_while_nothing_real_is_inside() -> None:
    admission = make_admission()
    own = admission.admit(ONE, PATIENT)
    with pytest.raises(Overloaded):
        admission.check_copy()
    with pytest.raises(Overloaded):
        admission.admit(ONE, PATIENT, copied=True)
    assert admission.items == 1, "what is refused takes no place"
    admission.release(own)
    admission.check_copy()
    admission.admit(ONE, PATIENT, copied=True)
    assert admission.items == 1


def test_copies_share_one_batch_so_that_a_request_waits_for_no_more() -> None:
    admission = make_admission()
    places = [admission.admit(ONE, PATIENT, copied=True) for _ in range(BATCH)]
    with pytest.raises(Overloaded):
        admission.admit(ONE, PATIENT, copied=True)
    admission.release(places[0])
    admission.admit(ONE, PATIENT, copied=True)
    assert admission.items == BATCH


def test_an_empty_server_takes_a_copy_of_any_size() -> None:
    admission = make_admission()
    admission.admit({Kind.IMAGE: BATCH + 1, Kind.TEXT: 3}, PATIENT, copied=True)
    with pytest.raises(Overloaded):
        admission.admit({Kind.TEXT: 1}, PATIENT, copied=True)


def test_copies_take_no_place_of_a_request() -> None:
    admission = make_admission(max_items=4, max_seconds=100.0)
    for _ in range(BATCH):
        admission.admit(ONE, PATIENT, copied=True)
    admission.admit({Kind.IMAGE: 3}, PATIENT)
    admission.admit(ONE, PATIENT)
    with pytest.raises(Overloaded):
        admission.admit(ONE, PATIENT)
