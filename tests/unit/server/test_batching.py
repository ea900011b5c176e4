import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_server.backends.base import Kind
from mmm_server.engine.batching import BatchLimits, Seen, Waiting, patience
from mmm_server.engine.ticket import Item
from tests.unit.server.builders import make_item, names

LIMITS = BatchLimits(max_images=3, max_tokens=64)


def waiting_of(*items: Item) -> Waiting:
    waiting = Waiting()
    waiting.add(items)
    return waiting


def all_batches(waiting: Waiting, now: float = 0.0) -> list[list[str]]:
    found = []
    while len(waiting):
        found.append(names(waiting.choose(LIMITS, now).batch))
    return found


def test_nothing_waiting_is_an_empty_choice() -> None:
    choice = Waiting().choose(LIMITS, 0.0)
    assert (choice.batch, choice.dropped) == ([], [])


def test_a_lone_item_is_chosen_at_once() -> None:
    assert names(waiting_of(make_item("only")).choose(LIMITS, 0.0).batch) == ["only"]


def test_the_oldest_come_first_up_to_the_limit() -> None:
    assert all_batches(waiting_of(*map(make_item, "abcde"))) == [["a", "b", "c"], ["d", "e"]]


def test_only_equal_shapes_share_a_batch() -> None:
    waiting = waiting_of(
        make_item("image 1"),
        make_item("short", kind=Kind.TEXT, bucket=8),
        make_item("image 2"),
        make_item("long", kind=Kind.TEXT, bucket=77),
    )
    assert all_batches(waiting) == [["image 1", "image 2"], ["short"], ["long"]]


def test_a_flood_of_one_shape_delays_another_by_one_batch() -> None:
    waiting = waiting_of(*map(make_item, "abcdefghi"), make_item("text", kind=Kind.TEXT, bucket=8))
    assert all_batches(waiting) == [["a", "b", "c"], ["text"], ["d", "e", "f"], ["g", "h", "i"]]


def test_what_comes_later_joins_the_batch_that_has_not_begun() -> None:
    waiting = waiting_of(*map(make_item, "abcd"))
    waiting.choose(LIMITS, 0.0)
    waiting.add([make_item("e")])
    assert names(waiting.choose(LIMITS, 0.0).batch) == ["d", "e"]


def test_texts_are_limited_by_tokens() -> None:
    waiting = waiting_of(*(make_item(str(index), kind=Kind.TEXT, bucket=16) for index in range(9)))
    assert len(waiting.choose(LIMITS, 0.0).batch) == 64 // 16


def test_what_nobody_wants_is_dropped_and_takes_no_place() -> None:
    waiting = waiting_of(make_item("late", deadline=5.0), make_item("gone", gone=True), *map(make_item, "abc"))
    choice = waiting.choose(LIMITS, 5.0)
    assert names(choice.dropped) == ["late", "gone"]
    assert names(choice.batch) == ["a", "b", "c"]


SEEN = Seen(seconds=0.1, items=8)


@pytest.mark.parametrize(
    ("count", "seen", "idle", "wanted"),
    [
        (1, None, 0.0, 0.0),
        (1, Seen(0.1, 1), 0.0, 0.0),
        (4, SEEN, 0.0, 0.01),
        (4, SEEN, 0.004, 0.006),
        (4, SEEN, 0.5, 0.0),
        (8, SEEN, 0.0, 0.0),
        (4, Seen(60.0, 8), 0.0, 0.02),
    ],
)
def test_company_is_waited_for_where_it_was_seen(count: int, seen: Seen | None, idle: float, wanted: float) -> None:
    assert patience(count, 8, seen, idle) == pytest.approx(wanted)


def test_nobody_waits_where_another_shape_could_be_computed() -> None:
    first = make_item("a")
    waiting = waiting_of(first, make_item("b"))
    assert waiting.only() == (first.prepared, 2)
    waiting.add([make_item("text", kind=Kind.TEXT, bucket=8)])
    assert waiting.only() is None


def test_a_full_batch_waits_for_nobody() -> None:
    assert patience(3, 3, Seen(0.1, 30), 0.0) == 0.0


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
def test_every_item_goes_to_exactly_one_place(items: list[Item], size: int) -> None:
    limits = BatchLimits(max_images=size, max_tokens=32)
    waiting, seen = waiting_of(*items), []
    for _ in range(len(items) + 1):
        choice = waiting.choose(limits, 5.0)
        seen += choice.batch + choice.dropped
        assert len({item.prepared.shape for item in choice.batch}) <= 1
        assert all(item.ticket.wanted(5.0) for item in choice.batch)
        assert not any(item.ticket.wanted(5.0) for item in choice.dropped)
        assert choice.batch or not len(waiting), "an empty batch means that nothing is left"
        if choice.batch:
            assert len(choice.batch) <= limits.capacity(choice.batch[0].prepared)
    assert sorted(map(id, seen)) == sorted(map(id, items))
    assert len(waiting) == 0


@given(st.lists(ITEMS, max_size=30))
def test_items_of_one_shape_keep_their_order(items: list[Item]) -> None:
    waiting, seen = waiting_of(*items), []
    while len(waiting):
        seen += waiting.choose(LIMITS, -1.0).batch
    for shape in {item.prepared.shape for item in items}:
        wanted = [item for item in items if item.prepared.shape == shape and not item.ticket.gone]
        assert [item for item in seen if item.prepared.shape == shape] == wanted


@given(st.lists(ITEMS, max_size=30))
def test_clearing_gives_everything_back(items: list[Item]) -> None:
    waiting = waiting_of(*items)
    assert sorted(map(id, waiting.clear())) == sorted(map(id, items))
    assert len(waiting) == 0
