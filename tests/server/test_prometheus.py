"""Prometheus reads the server's metrics, and its linter finds nothing to say about them."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dev.localcluster.layout import free_ports
from dev.tools.packages import require_system_packages
from tests.server.harness import ServerProcess, wait_for

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: server
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
QUERY = 'mmm_requests_total{route="/v1/embed",code="200"}'


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    require_system_packages(["prometheus"])


@pytest.fixture
def prometheus(tmp_path: Path, clip_server: ServerProcess) -> Iterator[str]:
    """The address of a Prometheus that scrapes the server."""
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG.format(port=clip_server.ports()[1]))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [
        *(shutil.which("prometheus") or "prometheus", f"--config.file={config}", f"--web.listen-address={address}"),
        f"--storage.tsdb.path={tmp_path / 'store'}",
    ]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield f"http://{address}"
        finally:
            process.terminate()


def test_the_linter_of_prometheus_has_nothing_to_say(clip_server: ServerProcess, clip: httpx.Client) -> None:
    for texts in (["a"], [""]):
        clip.post("/v1/embed", json={"texts": texts})
    page = httpx.get(f"{clip_server.operations_url}/metrics").content
    lint = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (lint.returncode, lint.stdout + lint.stderr) == (0, b"")


def test_prometheus_scrapes_the_server_and_answers_a_query(prometheus: str, clip: httpx.Client) -> None:
    assert clip.post("/v1/embed", json={"texts": ["for Prometheus"]}).status_code == 200

    def found(query: str) -> float:
        try:
            result = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}).json()["data"]["result"]
        except (httpx.TransportError, json.JSONDecodeError, KeyError):
            return 0.0  # it is still starting
        return sum(float(one["value"][1]) for one in result)

    wait_for(lambda: found(QUERY) >= 1, 30, "a count of requests")
    wait_for(lambda: found("up") == 1, 30, "a scrape in time")  # one that took over a second says 0
