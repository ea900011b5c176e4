"""Every number format answers what the reference answers in float32, within what the format can say."""

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPModel

from mmm_server.backends import clip, devices
from mmm_server.backends.base import Device, Kind, Threads, Wishes
from mmm_server.backends.clip import LEAST_COSINE, load
from mmm_server.backends.devices import WORTH_REDUCING, choose_dtype, threads_for
from mmm_server.backends.patches import FoldedEmbeddings
from mmm_server.backends.pixels import samples
from mmm_server.backends.quantize import Int8Linear, quantize_linears
from mmm_server.errors import ModelLoadFailed
from tests.server.models import write_clip, write_siglip
from tests.server.pictures import picture
from tests.server.test_answers import LABELS, Reference

SEEN = [picture(96, 80, seed) for seed in range(6)]
FORMATS = [
    ("float32", "none", 0.99999),
    ("bfloat16", "none", 0.995),
    ("float16", "none", 0.9995),
    ("float32", "int8", 0.995),
]


@pytest.fixture(scope="module", params=["CLIPModel", "SiglipModel"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    write = write_clip if request.param == "CLIPModel" else write_siglip
    return write(tmp_path_factory.mktemp("precision") / request.param, amplify=2.0), request.param


@pytest.mark.parametrize(("dtype", "quantization", "least"), FORMATS, ids=[f"{a}-{b}" for a, b, _ in FORMATS])
def test_answers_agree_with_the_reference(model: tuple[Path, str], dtype: str, quantization: str, least: float) -> None:
    directory, architecture = model
    backend = load(directory, architecture, Wishes(dtype=dtype, quantization=quantization))
    reference = Reference(directory)
    ours = backend.launch([backend.prepare_image(one) for one in SEEN])()
    assert (ours * reference.embeddings(SEEN)).sum(axis=1).min() >= least
    assert backend.device.dtype == ("int8" if quantization == "int8" else dtype)
    assert backend.device.cosine is not None
    assert backend.device.cosine >= LEAST_COSINE
    texts = np.concatenate([backend.launch([one])() for one in backend.prepare_texts(LABELS)])
    wanted = reference.probabilities(SEEN, LABELS, sigmoid=architecture == "SiglipModel")
    np.testing.assert_allclose(backend.finish(ours, texts), wanted, atol=0.05)


def test_eight_bits_stay_eight_bits_in_the_recorded_program(model: tuple[Path, str]) -> None:
    backend = load(*model, Wishes(quantization="int8"))
    program = backend._programs[Kind.IMAGE]
    assert isinstance(program, torch.jit.ScriptModule)
    kept = [*program.buffers(), *program.parameters()]
    linears = sum(one.weight.numel() for one in backend._model.modules() if isinstance(one, Int8Linear))
    assert sum(tensor.numel() for tensor in kept if tensor.dtype == torch.int8) == linears > 0
    constants = [node for node in program.inlined_graph.nodes() if node.kind() == "prim::Constant"]
    tensors = [node.t("value") for node in constants if node.hasAttribute("value") and node.kindOf("value") == "t"]
    largest = max((tensor.numel() for tensor in tensors), default=0)
    assert largest < 1000, "nothing that was computed from weights is stored beside them"


@pytest.mark.parametrize("tower", ["text_model", "vision_model"])
def test_the_gate_looks_at_both_towers(model: tuple[Path, str], tower: str) -> None:
    backend = load(*model, Wishes())
    items = [*map(backend.prepare_image, samples()), *backend._texts.samples()]
    before = np.concatenate([backend.launch([item])() for item in items])
    assert backend.agreement(before) > 0.9999
    with torch.no_grad():
        for parameter in getattr(backend._model, tower).parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    assert backend.agreement(before) < LEAST_COSINE


def test_every_batch_size_and_length_gives_the_same_vectors(model: tuple[Path, str]) -> None:
    backend = load(*model, Wishes())
    images = [backend.prepare_image(one) for one in SEEN]
    alone = np.concatenate([backend.launch([one])() for one in images])
    for size in (2, 3, 5, 6):
        np.testing.assert_allclose(backend.launch(images[:size])(), alone[:size], atol=1e-5)
    short = backend.prepare_texts(["a", "b c"])
    np.testing.assert_allclose(backend.launch(short)()[:1], backend.launch(short[:1])(), atol=1e-5)


def test_a_format_that_answers_something_else_is_refused(tmp_path: Path) -> None:
    directory = write_clip(tmp_path / "clip", amplify=40.0)  # sums far beyond what sixteen bits resolve
    with pytest.raises(ModelLoadFailed, match="the answers differ from float32"):
        load(directory, "CLIPModel", Wishes(dtype="bfloat16"))


def test_a_model_that_must_be_loaded_again_is_let_go_of_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write_clip(tmp_path / "clip", amplify=8.0)
    monkeypatch.setattr(clip, "LEAST_COSINE", 0.9999)  # what sixteen bits cannot keep
    monkeypatch.setattr(devices, "WORTH_REDUCING", 0)
    monkeypatch.setattr(devices, "_cpu_flags", lambda: devices.BFLOAT16_FLAGS)
    loaded: list[weakref.ref[Any]] = []
    there: list[int] = []
    from_pretrained: Any = CLIPModel.from_pretrained

    def counted(*args: Any, **options: Any) -> Any:
        there.append(sum(one() is not None for one in loaded))
        model, report = from_pretrained(*args, **options)
        loaded.append(weakref.ref(model))
        return model, report

    monkeypatch.setattr(CLIPModel, "from_pretrained", counted)
    backend = load(directory, "CLIPModel", Wishes())
    assert backend.device.dtype == "float32"
    assert there == [0, 0], "before the first model, and before the second"


@pytest.mark.parametrize(
    ("beside", "parameters", "measured"),
    [
        (Threads(1, 100), 100, False),
        (Threads(1, 100), 10, False),
        (Threads(1, 100), 199, False),
        (Threads(1, 100), 200, True),
        (Threads(2, 100), 100, False),
        (Threads(2, 100), 1000, False),
        (Threads(2, 100), 51, False),
        (Threads(2, 100), 50, True),
        (None, 100, True),
    ],
)
def test_beside_a_model_that_serves_threads_are_not_measured_but_taken_over(
    beside: Threads | None, parameters: int, measured: bool
) -> None:
    passes: list[int] = []
    found = threads_for(lambda: passes.append(torch.get_num_threads()), parameters, 2, beside)
    assert (found is not beside) == measured
    assert (len(passes) > 1) == measured
    assert torch.get_num_threads() == found.count
    if not measured:
        assert passes == [found.count]


def test_the_preparation_of_pixels_is_folded_into_the_model(model: tuple[Path, str]) -> None:
    backend = load(*model, Wishes())
    assert isinstance(backend._model.vision_model.embeddings, FoldedEmbeddings)


def test_auto_reduces_large_models_where_the_hardware_computes_it() -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    native = any(flag in flags.split() for flag in ("avx512_bf16", "amx_bf16", "bf16"))
    cpu = Device("cpu", "any", "float32")
    assert choose_dtype("auto", cpu, WORTH_REDUCING) == ("bfloat16" if native else "float32")
    assert choose_dtype("auto", cpu, WORTH_REDUCING - 1) == "float32"
    assert choose_dtype("float16", cpu, 1) == "float16"


def test_eight_bits_take_a_quarter_of_the_memory_of_float32() -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 64))
    values = torch.randn(4, 256, generator=torch.Generator().manual_seed(1))
    before = layers(values)
    full = sum(one.numel() * one.element_size() for one in layers.parameters())
    assert quantize_linears(layers) == 2
    reduced = sum(one.numel() * one.element_size() for one in layers.buffers())
    assert reduced < 0.3 * full
    assert isinstance(layers[0], Int8Linear)
    assert torch.nn.functional.cosine_similarity(before, layers(values)).min() > 0.999
