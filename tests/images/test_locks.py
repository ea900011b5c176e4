"""The images' locks keep the two halves of the project apart, and the CPU image in step with the lock."""

import re

import pytest

from .dockerfile import ROOT

# Called by the CPU part of PyTorch, so they stay where everything else for a GPU goes.
CALLED_WITHOUT_A_GPU = {"nvidia-cuda-runtime", "nvidia-cuda-cupti"}


def locked(name: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / f"requirements/{name}.lock").read_text(), re.MULTILINE))


def gpu_only() -> set[str]:
    lines = (ROOT / "dev/images/inside/slim/gpu-only.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_the_operator_needs_no_deep_learning() -> None:
    heavy = {"torch", "transformers", "triton", "numpy", "pillow", "fastapi"}
    assert locked("operator") & heavy == set()
    assert not [package for package in locked("operator") if package.startswith("nvidia-")]


def test_the_server_needs_no_kubernetes() -> None:
    assert locked("server") & {"kubernetes", "kubernetes-asyncio", "kopf"} == set()


@pytest.mark.parametrize("name", ["operator", "server", "uv"])
def test_every_locked_package_has_hashes(name: str) -> None:
    text = (ROOT / f"requirements/{name}.lock").read_text()
    assert len(re.findall(r"^[a-z0-9._-]+==\S+ \\\n    --hash=sha256:", text, re.MULTILINE)) == len(locked(name))


def test_the_cpu_image_leaves_out_every_gpu_package_of_the_lock_but_two() -> None:
    for_gpus = {package for package in locked("server") if re.match(r"(nvidia|cuda)-|triton$", package)}
    assert for_gpus - CALLED_WITHOUT_A_GPU == gpu_only()
