"""What a swap does next, what a restart begins with, and whether there is room: all functions of values."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmm_server.engine.remembered import CONTAINER_FAILED, Remembered, first_version, recall, remember
from mmm_server.engine.room import Free, check_room, free_host_bytes, parameters_in
from mmm_server.engine.swap import Move, Sight, Swap, SwapState, next_move, rested
from mmm_server.engine.version import Version
from mmm_server.errors import NoRoomForSwap
from mmm_server.follow_state import Failure


def version(letter: str) -> Version:
    return Version(letter, "sha256:" + letter * 64)


A, B, C = map(version, "abc")
FAILED = Swap(B, SwapState.FAILED, "SmokeTestFailed", "It did not answer as expected.")
NOT_FETCHED = Swap(B, SwapState.FAILED, "AccessDenied", "The key is wrong.", final=False)
FAILURE = Failure(str(B.digest), "AccessDenied", "The key is wrong.")


def sight(
    wanted: Version,
    *,
    served: Version = A,
    kept: Version | None = None,
    swap: Swap | None = None,
    under_way: bool = False,
    there: bool = True,
    failure: Failure | None = None,
) -> Sight:
    return Sight(wanted, served, kept, swap, under_way, there, failure)


@pytest.mark.parametrize(
    ("seen", "move"),
    [
        (sight(A), Move.REST),
        (sight(A, swap=FAILED), Move.REST),
        (sight(B), Move.BEGIN),
        (sight(B, there=False), Move.WAIT),
        (sight(B, there=False, failure=FAILURE), Move.REPORT),
        (sight(C, there=False, failure=FAILURE), Move.WAIT),
        (sight(B, swap=NOT_FETCHED), Move.BEGIN),
        (sight(B, swap=NOT_FETCHED, there=False), Move.WAIT),
        (sight(B, swap=FAILED), Move.GO_ON),
        (sight(B, swap=FAILED, kept=B), Move.GO_ON),
        (sight(C, swap=FAILED), Move.BEGIN),
        (sight(B, swap=Swap(B, SwapState.LOADING), under_way=True), Move.GO_ON),
        (sight(C, swap=Swap(B, SwapState.LOADING), under_way=True), Move.ABANDON),
        (sight(A, swap=Swap(B, SwapState.LOADING), under_way=True), Move.ABANDON),
        (sight(B, kept=B, there=False), Move.RETURN),
        (sight(C, kept=B), Move.BEGIN),
        (sight(B, swap=Swap(B, SwapState.DONE)), Move.BEGIN),
    ],
)
def test_the_next_move_follows_from_what_is_seen(seen: Sight, move: Move) -> None:
    assert next_move(seen) is move


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.booleans(), st.booleans()), max_size=30))
def test_whatever_is_wanted_in_whatever_order_the_last_wish_is_served_unless_it_failed(
    wishes: list[tuple[str, bool, bool]],
) -> None:
    """A swap as a walk over values: (wish, whether its files are there, whether an attempt ends at this look)."""
    versions = {"A": A, "B": B, "C": C}
    served, kept, swap, under_way = A, None, None, False
    last = wishes[-1][0] if wishes else "A"
    for wish, there, ends in [*wishes, *[(last, True, True)] * 4]:
        if under_way and ends and swap is not None:
            served, kept, swap, under_way = swap.target, served, Swap(swap.target, SwapState.DONE), False
        seen = sight(versions[wish], served=served, kept=kept, swap=swap, under_way=under_way, there=there)
        move = next_move(seen)
        match move:
            case Move.REST:
                swap = rested(seen)
            case Move.ABANDON:
                swap, under_way = Swap(versions[wish], SwapState.WAITING), False
            case Move.BEGIN:
                swap, under_way = Swap(versions[wish], SwapState.LOADING), True
            case Move.RETURN:
                assert kept is not None
                served, kept, swap = kept, served, Swap(kept, SwapState.DONE)
            case Move.WAIT:
                swap = Swap(versions[wish], SwapState.WAITING)
    assert served == versions[last]
    assert next_move(sight(served, served=served, kept=kept, swap=swap)) is Move.REST, "and there is nothing left to do"


def test_the_swap_that_was_done_is_told_until_something_else_serves() -> None:
    done = Swap(B, SwapState.DONE)
    assert rested(sight(B, served=B, swap=done)) is done
    assert rested(sight(A, swap=done)) is None
    assert rested(sight(A, swap=FAILED)) is None


# What a restart begins with


@pytest.mark.parametrize(
    ("wanted", "remembered", "there", "first", "reason"),
    [
        (None, Remembered(), "abc", A, None),
        (B, Remembered(), "abc", B, None),
        (B, Remembered(), "a", A, None),
        (B, Remembered(served=A), "abc", A, None),
        (B, Remembered(served=A), "b", B, None),
        (C, Remembered(served=B), "ab", B, None),
        (C, Remembered(served=B, tried=C), "abc", B, CONTAINER_FAILED),
        (C, Remembered(served=B, tried=C, reason="WarmUpFailed"), "abc", B, "WarmUpFailed"),
        (C, Remembered(served=B, tried=A), "abc", B, None),
        (B, Remembered(served=B, tried=C), "abc", B, None),
        (C, Remembered(served=B, tried=C), "ac", C, None),
        (None, Remembered(served=B, tried=A), "abc", B, CONTAINER_FAILED),
        (None, Remembered(), "", A, None),
    ],
)
def test_what_a_process_loads_first(
    wanted: Version | None, remembered: Remembered, there: str, first: Version, reason: str | None
) -> None:
    found, failed = first_version(A, wanted, remembered, lambda one: one.name in there)
    assert (found, failed.reason if failed else None) == (first, reason)
    if failed is not None:
        assert (failed.target, failed.state) == (wanted or A, SwapState.FAILED)


@pytest.mark.parametrize("what", [Remembered(A), Remembered(A, B), Remembered(A, B, "WarmUpFailed", "Why.")])
def test_what_is_remembered_is_recalled(tmp_path: Path, what: Remembered) -> None:
    remember(tmp_path / "state", what)
    assert recall(tmp_path / "state") == what
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["swap.json"]


def test_a_memory_that_cannot_be_read_or_written_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    remember(tmp_path / "file", Remembered(A))
    assert recall(tmp_path / "file") == recall(tmp_path) == Remembered()
    for text in ("{", "[]", '{"served": {"version": "a", "digest": "b"}}', '{"tried": 1, "reason": "a b"}', "\xff"):
        (tmp_path / "swap.json").write_text(text, encoding="latin-1")
        assert recall(tmp_path) == Remembered()


# Room

MIB = 2**20


@pytest.mark.parametrize(
    ("parameters", "dtype", "free", "fits"),
    [
        (100 * MIB, "bfloat16", Free(), True),
        (100 * MIB, "bfloat16", Free(host=545 * MIB), True),
        (100 * MIB, "bfloat16", Free(host=543 * MIB), False),
        (100 * MIB, "bfloat16", Free(host=545 * MIB, device=305 * MIB), True),
        (100 * MIB, "bfloat16", Free(host=545 * MIB, device=303 * MIB), False),
        (100 * MIB, "float32", Free(host=545 * MIB, device=305 * MIB), False),
        (0, "float32", Free(host=63 * MIB), False),
        (0, "float32", Free(host=-5), False),
    ],
)
def test_a_second_version_needs_its_weights_in_full_and_a_margin(
    parameters: int, dtype: str, free: Free, fits: bool
) -> None:
    if fits:
        check_room(parameters, dtype, free)
    else:
        with pytest.raises(NoRoomForSwap, match=r"needs about \d+ MiB, \d+ MiB are free"):
            check_room(parameters, dtype, free)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_free_memory_is_the_least_of_what_anybody_says(tmp_path: Path) -> None:
    cgroup, proc = tmp_path / "cgroup", tmp_path / "proc"
    assert free_host_bytes(None, cgroup, proc) is None
    write(proc, {"meminfo": "MemTotal: 9000 kB\nMemAvailable: 5000 kB\n", "self/statm": "900 2 1 1 0 1 0"})
    assert free_host_bytes(None, cgroup, proc) == 5000 * 1024
    write(cgroup, {"memory.max": "max\n", "memory.current": "1000\n"})
    assert free_host_bytes(None, cgroup, proc) == 5000 * 1024
    write(cgroup, {"memory.max": "3000000\n", "memory.stat": "anon 5\ninactive_file 500\n"})
    assert free_host_bytes(None, cgroup, proc) == 3_000_000 - 1000 + 500
    v1 = {"limit_in_bytes": "2000", "usage_in_bytes": "1500", "stat": "inactive_file 9\ntotal_inactive_file 7\n"}
    write(cgroup, {f"memory/memory.{name}": text for name, text in v1.items()})
    assert free_host_bytes(None, cgroup, proc) == 507
    assert free_host_bytes(100_000, cgroup, proc) == 100_000 - 2 * 4096


def test_weights_that_cannot_be_read_are_left_to_the_loader(tmp_path: Path) -> None:
    assert parameters_in(tmp_path) == 0
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    assert parameters_in(tmp_path) == 0


def test_every_state_of_every_sight_has_a_move() -> None:
    swaps = [None, FAILED, NOT_FETCHED, *(Swap(one, state) for one in (A, B, C) for state in SwapState)]
    for wanted, served, kept, swap, under_way, there, failure in itertools.product(
        (A, B, C), (A, B), (None, A, B, C), swaps, (False, True), (False, True), (None, FAILURE)
    ):
        if under_way and swap is None:
            continue
        move = next_move(Sight(wanted, served, kept, swap, under_way, there, failure))
        assert (move is Move.RETURN) <= (kept is not None and kept == wanted)
        assert (move is Move.BEGIN) <= (there and wanted != served and not under_way)
        assert (move is Move.REPORT) <= (failure is not None)
        assert under_way <= (move in (Move.GO_ON, Move.ABANDON))
