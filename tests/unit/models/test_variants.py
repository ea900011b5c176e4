import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoConfig, CLIPModel

from dev.models import variants
from dev.models.architecture import build_model, save


@pytest.fixture
def version(tmp_path: Path) -> Path:
    save(build_model(seed=7), tmp_path)
    return tmp_path


def load(directory: Path) -> CLIPModel:
    return CLIPModel.from_pretrained(directory, local_files_only=True)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def tensor_shapes(directory: Path) -> dict[str, list[int]]:
    with safe_open(directory / "model.safetensors", framework="pt") as weights:
        return {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118


def test_corrupt_flips_one_bit_behind_a_readable_header(version: Path) -> None:
    before = contents(version)
    variants.corrupt(version)
    after = contents(version)
    pairs = zip(before["model.safetensors"], after["model.safetensors"], strict=True)
    assert [one ^ other for one, other in pairs if one != other] == [0x10]
    assert "logit_scale" in tensor_shapes(version)
    assert {name for name in before if before[name] != after[name]} == {"model.safetensors"}


def test_pickled_leaves_a_pickle_as_the_only_weights(version: Path) -> None:
    variants.pickled(version)
    names = contents(version).keys()
    assert "pytorch_model.bin" in names
    assert "model.safetensors" not in names


def test_without_backend_names_an_unknown_architecture(version: Path) -> None:
    variants.without_backend(version)
    assert json.loads((version / "config.json").read_text())["architectures"] == ["NopeModel"]


def test_random_weights_load_but_are_not_the_trained_ones(version: Path) -> None:
    before = load(version)
    variants.random_weights(version)
    after = load(version)
    assert not torch.equal(before.visual_projection.weight, after.visual_projection.weight)
    assert all(torch.isfinite(weight).all() for weight in after.parameters())


def test_crashing_passes_every_look_from_outside_and_fails_to_load(version: Path) -> None:
    names = tensor_shapes(version).keys()
    variants.crashing(version)
    assert AutoConfig.from_pretrained(version, local_files_only=True).architectures == ["CLIPModel"]
    assert tensor_shapes(version).keys() == names
    with pytest.raises(RuntimeError, match="mismatched"):
        load(version)


@pytest.mark.parametrize(
    "spoil",
    [variants.corrupt, variants.pickled, variants.without_backend, variants.random_weights, variants.crashing],
)
def test_a_variant_keeps_its_hands_off_the_tokenizer(version: Path, spoil: Callable[[Path], None]) -> None:
    before = (version / "tokenizer.json").read_bytes()
    spoil(version)
    assert (version / "tokenizer.json").read_bytes() == before
