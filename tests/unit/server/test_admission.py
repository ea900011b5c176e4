import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_server.backends.base import Kind, Prepared
from mmm_server.engine.admission import Admission, CostModel
from mmm_server.errors import DeadlinePassed, Overloaded

PATIENT = 1e6
IMAGE = Prepared(Kind.IMAGE, 0, np.zeros(1, dtype=np.float32))
SHORT = Prepared(Kind.TEXT, 8, np.zeros(1, dtype=np.int64))
LONG = Prepared(Kind.TEXT, 77, np.zeros(1, dtype=np.int64))


def make_admission(*, max_items: int = 100, max_seconds: float = 2.0, seconds_per_image: float = 0.1) -> Admission:
    admission = Admission(max_items, max_seconds)
    admission.expect(Kind.IMAGE, 0, 4)
    for size in (1, 4):
        admission.observe(IMAGE, size, size * seconds_per_image)
    return admission


def test_a_server_that_knows_nothing_lets_everybody_in() -> None:
    admission = Admission(100, 2.0)
    admission.admit({Kind.IMAGE: 64}, PATIENT)
    assert admission.items == 64
    assert admission.estimated_wait() == 0.0


def test_the_wait_grows_with_what_is_inside() -> None:
    admission = make_admission()
    admission.admit({Kind.IMAGE: 8}, PATIENT)
    assert admission.estimated_wait() == pytest.approx(0.8, rel=0.01)


def test_a_longer_wait_than_allowed_is_refused_with_the_time_to_come_back() -> None:
    admission = make_admission(max_seconds=2.0)
    admission.admit({Kind.IMAGE: 60}, PATIENT)
    with pytest.raises(Overloaded) as refused:
        admission.admit({Kind.IMAGE: 1}, PATIENT)
    assert refused.value.retry_after == pytest.approx(4.0, rel=0.05)
    assert admission.items == 60, "what is refused takes no place"


def test_a_request_that_cannot_wait_is_refused_earlier() -> None:
    admission = make_admission(max_seconds=100)
    admission.admit({Kind.IMAGE: 20}, PATIENT)
    with pytest.raises(Overloaded):
        admission.admit({Kind.IMAGE: 1}, 1.0)


def test_a_request_whose_time_is_over_is_told_so_and_not_that_the_queue_is_long() -> None:
    with pytest.raises(DeadlinePassed):
        Admission(max_items=10, max_seconds=2.0).admit({Kind.IMAGE: 1}, -0.01)


def test_items_are_bounded_whatever_the_time() -> None:
    admission = Admission(max_items=10, max_seconds=100)
    admission.admit({Kind.IMAGE: 6, Kind.TEXT: 4}, PATIENT)
    with pytest.raises(Overloaded):
        admission.admit({Kind.TEXT: 1}, PATIENT)


def test_an_empty_server_takes_a_request_that_is_larger_than_its_queue() -> None:
    Admission(max_items=10, max_seconds=100).admit({Kind.IMAGE: 64}, PATIENT)


def test_what_is_answered_makes_room() -> None:
    admission = Admission(max_items=10, max_seconds=100)
    wanted = {Kind.IMAGE: 7, Kind.TEXT: 3}
    admission.release(admission.admit(wanted, PATIENT))
    assert admission.items == 0
    assert admission.estimated_wait() == 0.0
    admission.admit(wanted, PATIENT)


def test_texts_count_by_their_length_once_it_is_known() -> None:
    admission = Admission(max_items=100, max_seconds=100)
    for text, seconds in ((SHORT, 0.01), (LONG, 0.09)):
        admission.expect(Kind.TEXT, text.bucket, 1)
        admission.observe(text, 1, seconds)
    place = admission.admit({Kind.TEXT: 10}, PATIENT)
    unknown = admission.estimated_wait()
    admission.prepared(place, [SHORT] * 10)
    short = admission.estimated_wait()
    admission.release(place)
    place = admission.admit({Kind.TEXT: 10}, PATIENT)
    admission.prepared(place, [LONG] * 10)
    assert short == pytest.approx(0.1)
    assert admission.estimated_wait() == pytest.approx(0.9)
    assert short < unknown < 0.9


def test_what_was_released_is_not_counted_again_when_its_decoding_ends() -> None:
    admission = make_admission()
    place = admission.admit({Kind.IMAGE: 4}, PATIENT)
    admission.prepared(place, [IMAGE] * 2)
    admission.release(place)
    admission.prepared(place, [IMAGE] * 2)
    assert admission.items == 0
    assert admission.estimated_wait() == 0.0


def test_slow_decoding_counts_too() -> None:
    admission = Admission(max_items=1000, max_seconds=1.0, decode_threads=2)
    admission.decode.observe(1, 0.5)
    admission.decoding = 8
    assert admission.estimated_wait() == pytest.approx(2.0)
    with pytest.raises(Overloaded):
        admission.admit({Kind.IMAGE: 1}, PATIENT)


@given(st.floats(0.0001, 1.0), st.floats(0.0, 1.0), st.integers(1, 32))
def test_the_cost_model_finds_the_line(per_item: float, per_batch: float, capacity: int) -> None:
    model = CostModel()
    for size in (1, 8, 2, 4, 8, 1, 3):
        model.observe(size, per_item * size + per_batch)
    slope, base = model.coefficients()
    assert slope == pytest.approx(per_item, rel=0.01, abs=1e-6)
    assert base == pytest.approx(per_batch, rel=0.01, abs=1e-6)
    assert model.seconds(capacity, capacity) == pytest.approx(per_item * capacity + per_batch, rel=0.02, abs=1e-5)


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(0.0, 10.0)), min_size=1, max_size=50))
def test_the_cost_model_never_promises_negative_time(observed: list[tuple[int, float]]) -> None:
    model = CostModel()
    for size, seconds in observed:
        model.observe(size, seconds)
    assert min(model.coefficients()) >= 0.0
    assert model.seconds(10, 4) <= model.seconds(20, 4) + 1e-9
