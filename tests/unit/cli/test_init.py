"""`mmm init`: what it writes is valid, says what it is about, and grows with the model."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from mmm_cli.app import app
from mmm_cli.sample import Model, Place, memory, object_name, sample
from mmm_cli.validate import findings_in
from mmm_operator.api.rollout import Rollout
from tests.repository.samples import make_model

GIB = 2**30


def init(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["init", *map(str, arguments)])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return make_model(tmp_path / "CLIP_base.v2", weights=3_000_000)


def test_it_writes_a_valid_object_to_standard_output(directory: Path) -> None:
    result = init(directory, "--endpoint", "http://s3.storage:9000", "--version", "7")
    assert result.exit_code == 0, result.stderr
    assert findings_in(result.stdout) == []
    document = yaml.safe_load(result.stdout)
    assert document["metadata"]["name"] == "clip-base-v2"
    assert document["spec"]["model"] == {"uri": "s3://models/clip-base-v2", "version": "7"}
    assert document["spec"]["storage"]["endpoint"] == "http://s3.storage:9000"
    assert document["spec"]["resources"]["requests"] == {"cpu": "1", "memory": "768Mi"}
    assert "3.0 M parameters" in result.stdout
    assert "tasks: [ImageEmbedding, TextEmbedding, ZeroShotImageClassification]" in result.stdout
    assert result.stderr == ""


def test_what_is_in_comments_is_valid_too(directory: Path) -> None:
    text = init(directory).stdout
    for comment, setting in (
        ("# tasks:", "tasks:"),
        ("# endpoint:", "endpoint:"),
        ("# accelerator:\n  #   count", "accelerator:\n    count"),
        ("# rollout:\n  #   type", "rollout:\n    type"),
        ("#   whenNoCapacity", "  whenNoCapacity"),
        ("#   capacityTimeout", "  capacityTimeout"),
        ("#   autoRollback", "  autoRollback"),
    ):
        assert comment in text
        text = text.replace(comment, setting)
    assert findings_in(text) == []
    spec = yaml.safe_load(text)["spec"]
    assert spec["accelerator"] == {"count": 1}
    assert len(spec["model"]["tasks"]) == 3
    assert spec["rollout"].items() <= Rollout().to_json().items(), "the comments show the defaults"
    assert len(spec["rollout"]) == 4


def test_it_writes_a_file_and_never_over_one(directory: Path, tmp_path: Path) -> None:
    file = tmp_path / "clip.yaml"
    assert init(directory, "-f", file).exit_code == 0
    written = file.read_text()
    again = init(directory, "-f", file, "--version", "2")
    assert again.exit_code == 1
    assert again.stderr == f"{file} cannot be written: File exists. Name another file.\n"
    assert file.read_text() == written


@pytest.mark.parametrize(
    "wrong",
    [
        ("--name", "Clip"),
        ("--name", "x\n  labels: {a: b}"),
        ("--uri", "models/clip"),
        ("--version", "a/b"),
        ("--endpoint", "s3:9000"),
        ("--secret", "other/secret"),
        ("--accelerator", "gpu"),
    ],
)
def test_an_option_that_would_be_refused_is_wrong_usage(directory: Path, wrong: tuple[str, str]) -> None:
    result = init(directory, *wrong)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_a_directory_that_could_not_be_published_gets_no_object(directory: Path, tmp_path: Path) -> None:
    (directory / "modeling.py").write_text("")
    assert "UnsafeArtifact" in init(directory).stderr
    assert init(tmp_path / "nowhere").exit_code == 1


def test_without_weights_there_is_nothing_to_size(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    assert "holds no weights" in init(directory).stderr


def test_an_architecture_that_the_server_does_not_know_is_said(directory: Path) -> None:
    (directory / "config.json").write_text('{"architectures": ["Whisper"]}')
    result = init(directory)
    assert result.exit_code == 0
    assert "The operator's own server knows CLIPModel, SiglipModel, not Whisper." in result.stderr
    assert "set runtime.image to one that does" in result.stdout
    assert findings_in(result.stdout) == []


def test_with_an_accelerator_the_weights_are_not_counted_in_the_request(directory: Path) -> None:
    spec = yaml.safe_load(init(directory, "--accelerator", "amd.com/gpu").stdout)["spec"]
    assert spec["accelerator"] == {"resourceName": "amd.com/gpu", "count": 1}
    assert spec["resources"]["requests"]["memory"] == "512Mi"


@given(st.integers(1, 10**11), st.integers(1, 4), st.booleans())
def test_memory_holds_the_weights_and_a_limit_the_loading(parameters: int, width: int, on_device: bool) -> None:
    model = Model("m", "CLIPModel", parameters, parameters * width)
    request, limit = memory(model, on_device=on_device)
    assert request >= (0 if on_device else model.computed_bytes)
    assert limit >= request + model.stored_bytes
    assert limit <= 4 * model.computed_bytes + 2 * GIB, "not wasteful either"


@settings(deadline=None)
@given(st.text(max_size=80), st.text(max_size=20))
def test_any_directory_of_any_model_has_a_valid_object(directory: str, architecture: str) -> None:
    place = Place(object_name(directory), "s3://models/x", "1", None, "s3", None)
    assert findings_in(sample(Model(directory, architecture, 1, 1), place)) == []
