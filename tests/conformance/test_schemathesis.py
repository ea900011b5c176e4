"""schemathesis finds nothing: what the OpenAPI document says is what the server does, and no input makes it fail."""

import os
import subprocess
import sys
from pathlib import Path

import httpx

from tests.conformance.conftest import PYTHON, ROOT
from tests.server.harness import ServerProcess
from tests.server.models import write_fake

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "40")  # per operation, besides the cases that it knows to be hard
SECONDS = 300.0


def test_no_input_contradicts_the_document(tmp_path: Path) -> None:
    environment = {"MMM_MODEL_NAME": "fake", "MMM_MODEL_VERSION": "1"}
    arguments = ["--model", str(write_fake(tmp_path / "model"))]
    with ServerProcess(tmp_path / "server", environment, arguments, PYTHON) as server:
        url = f"{server.wait_ready().url}/openapi.json"
        described = httpx.get(url).json()["paths"].items()
        operations = sum(len(methods) for path, methods in described if path != "/openapi.json")  # it has read that one
        config = ["--config-file", str(Path(__file__).with_name("schemathesis.toml"))]
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", *config, "run", url, "--max-examples", EXAMPLES],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
    assert done.returncode == 0, done.stdout  # with the seed, and a curl line for each finding
    assert f"{operations} selected" in done.stdout
