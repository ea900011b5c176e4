"""Every example of docs/http.md works as it is written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.conftest import ROOT
from tests.server.harness import ServerProcess
from tests.server.pictures import jpeg

PAGE = (ROOT / "docs/http.md").read_text()
EXAMPLES = [
    (found["kind"], found["code"]) for found in re.finditer(r"```(?P<kind>bash|python)\n(?P<code>.*?)```", PAGE, re.S)
]
SECONDS = 60.0


def test_the_page_has_examples_of_both_kinds() -> None:
    assert {kind for kind, _ in EXAMPLES} == {"bash", "python"}
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_works(server: ServerProcess, tmp_path: Path, number: int) -> None:
    kind, code = EXAMPLES[number]
    if kind == "bash" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "cat.jpg").write_bytes(jpeg())
    address = server.url.removeprefix("http://")
    code = (
        code.replace("clip:80", address)
        .replace("http://clip", server.url)
        .replace("curl ", "curl -sS --fail-with-body ")
    )
    command = [sys.executable, "-c", code] if kind == "python" else ["bash", "-euo", "pipefail", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
