"""Clients as their users have them, against the real process.

The clients live in an environment of their own (dev/conformance.sh); the server runs with the Python that serves, which
MMM_TEST_PYTHON names.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.conformance.samples import BASE64, TEXTS
from tests.server.harness import ServerProcess
from tests.server.models import write_fake

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("MMM_TEST_PYTHON", str(ROOT / ".venv/bin/python"))
CLIENTS = ("tritonclient", "kserve", "openai", "schemathesis")
REFERENCE_SECONDS = 120.0

MISSING = [name for name in CLIENTS if find_spec(name) is None]
collect_ignore_glob = ["test_*.py"] if MISSING else []


def pytest_report_header() -> str | None:
    return f"tests/conformance is left out, {', '.join(MISSING)} are missing: make conformance" if MISSING else None


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models") / "clip"


@pytest.fixture(scope="session")
def reference(model_directory: Path) -> Mapping[str, np.ndarray]:
    """What transformers says; makes the model on the way."""
    done = subprocess.run(
        [PYTHON, "-m", "tests.conformance.reference", str(model_directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=REFERENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return {name: np.asarray(values) for name, values in json.loads(done.stdout.splitlines()[-1]).items()}


@pytest.fixture(scope="session")
def server(
    model_directory: Path, reference: Mapping[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A tiny CLIP, served."""
    environment = {"MMM_MODEL_NAME": "clip", "MMM_MODEL_VERSION": "7"}
    arguments = ["--model", str(model_directory)]
    with ServerProcess(tmp_path_factory.mktemp("clip"), environment, arguments, PYTHON) as process:
        yield process.wait_ready()


@pytest.fixture(scope="session")
def own(server: ServerProcess) -> Mapping[str, np.ndarray]:
    """What the server's friendly routes say."""
    body = {"images": BASE64, "texts": TEXTS}
    found = httpx.post(f"{server.url}/v1/embed", json=body).json()["embeddings"]
    scores = [
        list(one["scores"].values())
        for one in httpx.post(f"{server.url}/v1/classify", json={"images": BASE64, "labels": TEXTS}).json()[
            "predictions"
        ]
    ]
    return {
        "image_embeds": np.asarray([one["embedding"] for one in found if one["type"] == "image"]),
        "text_embeds": np.asarray([one["embedding"] for one in found if one["type"] == "text"]),
        "probabilities": np.asarray(scores),
    }


@pytest.fixture
def slow_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A fake that computes for a long time and lets hardly anything wait."""
    model = write_fake(tmp_path / "model", delay_seconds=1.0)
    environment = {"MMM_MODEL_NAME": "fake", "MMM_MAX_QUEUE_ITEMS": "1", "MMM_TEXT_CACHE_ITEMS": "0"}
    with ServerProcess(tmp_path / "slow", environment, ["--model", str(model)], PYTHON) as process:
        yield process.wait_ready()
