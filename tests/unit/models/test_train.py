from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPModel

from dev.models.architecture import IMAGE_SIZE, save
from dev.models.shapes import CLASSES, draw_all
from dev.models.train import Reader, Recipe, Training, contrastive_loss

MEGABYTE = 1_000_000


@pytest.fixture(autouse=True)
def restore_threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_few_steps_make_the_loss_fall() -> None:
    training = Training(Recipe(steps=40, warm_up=10))
    losses = [training.step() for _ in range(40)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5
    assert training.validate() > 2 / len(CLASSES)


def test_the_same_seed_trains_the_same_model() -> None:
    one, other = Training(Recipe()), Training(Recipe())
    assert [one.step() for _ in range(3)] == [other.step() for _ in range(3)]


def test_the_rate_warms_up_and_comes_down() -> None:
    recipe = Recipe(steps=100, warm_up=10, learning_rate=1.0)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.01


def test_the_loss_is_smallest_when_each_picture_matches_its_own_caption() -> None:
    matched = 10 * torch.eye(4)
    assert contrastive_loss(matched) < 0.01 < contrastive_loss(torch.zeros(4, 4)) < contrastive_loss(-matched)


def test_a_version_directory_is_small_and_holds_safetensors_only(tmp_path: Path) -> None:
    save(Training(Recipe()).model, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    expected = {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert names == expected
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < MEGABYTE


def test_a_saved_model_answers_as_it_did_in_training(tmp_path: Path) -> None:
    training = Training(Recipe())
    save(training.model, tmp_path)
    loaded = CLIPModel.from_pretrained(tmp_path, local_files_only=True)
    pictures = training.reader.pixels(draw_all(CLASSES, np.random.default_rng(0), IMAGE_SIZE))
    with torch.inference_mode():
        answers = [
            model(input_ids=training.reader.captions[0], pixel_values=pictures).logits_per_image
            for model in (training.model, loaded)
        ]
    assert torch.equal(*answers)


def test_training_sees_pictures_as_the_written_processor_does() -> None:
    reader = Reader()
    pictures = draw_all(CLASSES[:4], np.random.default_rng(0), IMAGE_SIZE)
    processed = reader.processor.image_processor(list(pictures), return_tensors="pt")["pixel_values"]
    assert torch.allclose(reader.pixels(pictures), processed, atol=1e-5)
