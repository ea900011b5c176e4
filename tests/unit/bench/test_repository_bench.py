"""How the bench of the repository counts; its figures decide what is changed, so they must not flatter."""

from pathlib import Path

import pytest

from dev.bench.repository.contenders import CONTENDERS, Turn
from dev.bench.repository.figures import figures
from dev.bench.repository.measured import Measured
from dev.bench.repository.run import turned
from dev.bench.repository.stage import MEGABYTE, make_model


def measured(files: int = 1) -> Measured:
    found = Measured(megabytes=100, files=files, again=[0.4, 0.1, 0.2])
    for action in ("publish", "fetch"):
        found.turns[action, "mmm"] = [Turn(2.0, 1.0, 90.0), Turn(1.0, 3.0, 120.0), Turn(9.0, 2.0, 80.0)]
        found.turns[action, "boto3"] = [Turn(8.0, 1.0, 500.0)]
        found.turns[action, "plain"] = [Turn(1.0, 1.0, 10.0)]
    return found


def test_a_ratio_is_of_medians_and_higher_is_faster() -> None:
    found = figures(measured())
    assert found["fetch, boto3's time / ours, 100 MB in 1 files"].value == pytest.approx(4.0)
    assert found["fetch, plain time / ours, 100 MB in 1 files"].value == pytest.approx(0.5)
    assert found["fetch, 100 MB in 1 files"].value == pytest.approx(50.0)


def test_memory_is_the_worst_turn_of_ours() -> None:
    assert figures(measured())["fetch, memory, 100 MB in 1 files"].value == 120.0


@pytest.mark.parametrize(("files", "seconds"), [(1, 0.2), (100, 0.2), (5_000, 0.4), (10_000, 0.2)])
def test_a_look_at_few_files_is_not_stretched_but_one_at_many_is(files: int, seconds: float) -> None:
    found = figures(measured(files))[f"complete cache by sizes, 100 MB in {files} files"]
    assert found.value == pytest.approx(seconds)


def test_each_contender_goes_first_in_turn() -> None:
    assert {turned(number)[0] for number in range(3)} == set(CONTENDERS)
    assert all(set(turned(number)) == set(CONTENDERS) for number in range(4))


@pytest.mark.parametrize("files", [1, 2, 50])
def test_a_model_has_its_size_and_its_files(tmp_path: Path, files: int) -> None:
    make_model(tmp_path / "model", MEGABYTE, files)
    there = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert len(there) == max(2, files)
    assert sum(path.stat().st_size for path in there) == pytest.approx(MEGABYTE, rel=0.01)
    assert len({path.read_bytes() for path in there}) == len(there)
