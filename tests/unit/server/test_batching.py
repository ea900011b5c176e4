from hypothesis import given
from hypothesis import strategies as st

from mmm_server.backends.base import Kind
from mmm_server.engine.batching import BatchLimits, choose
from mmm_server.engine.ticket import Item
from tests.unit.server.builders import make_item, names

LIMITS = BatchLimits(max_images=3, max_tokens=64)


def test_nothing_waiting_is_an_empty_choice() -> None:
    choice = choose([], LIMITS, 0.0)
    assert (choice.batch, choice.dropped, choice.waiting) == ([], [], [])


def test_a_lone_item_is_chosen_at_once() -> None:
    assert names(choose([make_item("only")], LIMITS, 0.0).batch) == ["only"]


def test_the_oldest_come_first_up_to_the_limit() -> None:
    choice = choose([make_item(name) for name in "abcde"], LIMITS, 0.0)
    assert (names(choice.batch), names(choice.waiting)) == (["a", "b", "c"], ["d", "e"])


def test_only_equal_shapes_share_a_batch_and_the_others_keep_their_order() -> None:
    waiting = [
        make_item("image 1"),
        make_item("short", kind=Kind.TEXT, bucket=8),
        make_item("image 2"),
        make_item("long", kind=Kind.TEXT, bucket=77),
    ]
    choice = choose(waiting, LIMITS, 0.0)
    assert names(choice.batch) == ["image 1", "image 2"]
    assert names(choice.waiting) == ["short", "long"]


def test_texts_are_limited_by_tokens() -> None:
    texts = [make_item(str(index), kind=Kind.TEXT, bucket=16) for index in range(9)]
    assert len(choose(texts, LIMITS, 0.0).batch) == 64 // 16


def test_what_nobody_wants_is_dropped_and_takes_no_place() -> None:
    waiting = [make_item("late", deadline=5.0), make_item("gone", gone=True), *(make_item(name) for name in "abc")]
    choice = choose(waiting, LIMITS, 5.0)
    assert names(choice.dropped) == ["late", "gone"]
    assert names(choice.batch) == ["a", "b", "c"]


def test_halving_ends_at_one() -> None:
    limits = BatchLimits(max_images=8, max_tokens=100)
    for _ in range(20):
        limits = limits.halved()
    assert limits.capacity(make_item().prepared) == 1
    assert limits.capacity(make_item(kind=Kind.TEXT, bucket=77).prepared) == 1


ITEMS = st.builds(
    make_item,
    name=st.text("xyz", max_size=3),
    kind=st.sampled_from(Kind),
    bucket=st.sampled_from([8, 16]),
    deadline=st.sampled_from([0.0, 10.0]),
    gone=st.booleans(),
)


@given(st.lists(ITEMS, max_size=30), st.integers(1, 5))
def test_every_item_goes_to_exactly_one_place(waiting: list[Item], size: int) -> None:
    limits = BatchLimits(max_images=size, max_tokens=32)
    choice = choose(waiting, limits, 5.0)
    assert {id(item) for item in choice.batch + choice.dropped + choice.waiting} == {id(item) for item in waiting}
    assert len(choice.batch) + len(choice.dropped) + len(choice.waiting) == len(waiting)
    assert len({(item.prepared.kind, item.prepared.bucket) for item in choice.batch}) <= 1
    assert all(item.ticket.wanted(5.0) for item in choice.batch + choice.waiting)
    assert bool(choice.batch) == any(item.ticket.wanted(5.0) for item in waiting)
    if choice.batch:
        assert len(choice.batch) <= limits.capacity(choice.batch[0].prepared)


@given(st.lists(ITEMS, max_size=30))
def test_the_queue_always_empties(waiting: list[Item]) -> None:
    for _ in range(len(waiting) + 1):
        waiting = choose(waiting, LIMITS, 5.0).waiting
    assert waiting == []
