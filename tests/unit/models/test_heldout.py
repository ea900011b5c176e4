import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from dev.models import CLASSES, ensure_heldout
from dev.models.cache import cache_root
from dev.models.card import ModelCard, read_card
from dev.models.heldout import SIZE, read_held_out, write_held_out


def test_held_out_pictures_are_jpegs_with_labels(tmp_path: Path) -> None:
    samples = write_held_out(tmp_path, 12)
    assert samples == read_held_out(tmp_path)
    assert json.loads((tmp_path / "classes.json").read_text()) == list(CLASSES)
    for sample in samples:
        with Image.open(sample.path) as picture:
            assert (picture.format, picture.size, picture.mode) == ("JPEG", (SIZE, SIZE), "RGB")


def test_thirty_six_pictures_show_every_class_once(tmp_path: Path) -> None:
    assert {sample.label for sample in write_held_out(tmp_path, 36)} == set(CLASSES)


def test_asking_for_more_keeps_the_first_ones(tmp_path: Path) -> None:
    few, many = write_held_out(tmp_path / "few", 2), write_held_out(tmp_path / "many", 4)
    assert [one.path.read_bytes() for one in few] == [one.path.read_bytes() for one in many[:2]]


def test_parallel_callers_get_one_whole_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(ensure_heldout, [5] * 4))
    assert all(result == results[0] for result in results)
    assert all(sample.path.exists() for sample in results[0])
    assert [path.name for path in cache_root().iterdir() if path.is_dir()] == ["heldout-5"]


def test_what_a_killed_caller_left_behind_is_not_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    leftover = cache_root() / ".heldout-3.partial" / "half.jpg"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    samples = ensure_heldout(3)
    assert len(samples) == 3
    assert not (samples[0].path.parent / "half.jpg").exists()


def test_a_card_reads_back_as_written(tmp_path: Path) -> None:
    card = ModelCard(accuracy=0.95, trainedSteps=10, parameters=100)
    card.write(tmp_path)
    assert read_card(tmp_path) == card
    document = json.loads((tmp_path / "model_card.json").read_text())
    assert document["task"] == "ZeroShotImageClassification"
    assert document["architecture"] == "CLIPModel"
    assert document["classes"] == list(CLASSES)
