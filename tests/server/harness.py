"""A real server process on free ports, and what a test needs to talk to it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

START_SECONDS = 60.0
END_SECONDS = 90.0
POLL_SECONDS = 0.02

# One for all: to make a client, and read the certificates of the system for it, costs ten times what a look does.
PROBE = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=30)


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Polls until `condition` holds; AssertionError with `what` after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(POLL_SECONDS)


@dataclass
class ServerProcess:
    """One `python -m mmm_server serve`."""

    directory: Path
    environment: dict[str, str]
    arguments: list[str] = field(default_factory=list)
    python: str = sys.executable

    def __enter__(self) -> "ServerProcess":
        self.directory.mkdir(parents=True, exist_ok=True)
        self.termination_path = self.directory / "termination"
        self.log_path = self.directory / "log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MMM_")}
        environment = {
            **clean,
            "MMM_HOST": "127.0.0.1",
            "MMM_HTTP_PORT": "0",
            "MMM_OPERATIONS_PORT": "0",
            "MMM_DRAIN_DELAY_SECONDS": "0",
            "MMM_TERMINATION_LOG": str(self.termination_path),
            **self.environment,
        }
        self.started_at = time.monotonic()
        with self.log_path.open("wb") as log:
            self.child = subprocess.Popen(
                [self.python, "-m", "mmm_server", "serve", *self.arguments],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """The complete log lines so far."""
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[:1] == "{" and line[-1] == "\n"]

    def log_line(self, message: str) -> dict[str, Any] | None:
        """The first log line with that message."""
        return next((line for line in self.log_lines if line["message"] == message), None)

    def ports(self) -> tuple[int, int]:
        """(http, operations), as soon as the process listens."""

        def listening() -> bool:
            assert self.child.poll() is None, self.log_path.read_text()
            return self.log_line("listening") is not None

        wait_for(listening, START_SECONDS, "listening")
        line = self.log_line("listening") or {}
        return int(line["http_port"]), int(line["operations_port"])

    @property
    def url(self) -> str:
        """Where inference is answered."""
        return f"http://127.0.0.1:{self.ports()[0]}"

    @property
    def operations_url(self) -> str:
        """Where metrics and status are."""
        return f"http://127.0.0.1:{self.ports()[1]}"

    def wait_ready(self) -> "ServerProcess":
        """Returns once /readyz says so."""
        url = self.url

        def ready() -> bool:
            assert self.child.poll() is None, self.log_path.read_text()
            try:
                return PROBE.get(f"{url}/readyz").status_code == 200
            except httpx.TransportError:
                return False  # if the process has ended, the next look says so

        wait_for(ready, START_SECONDS, "ready")
        return self

    def status(self) -> dict[str, Any]:
        """The status document."""
        document: dict[str, Any] = PROBE.get(f"{self.operations_url}/v1/status").json()
        return document

    def metric(self, name: str) -> float:
        """The sum over all labels of a metric's samples."""
        lines = PROBE.get(f"{self.operations_url}/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Sends a signal."""
        self.child.send_signal(number)

    def wait_exit(self, seconds: float = END_SECONDS) -> int:
        """The exit code."""
        return self.child.wait(timeout=seconds)

    def termination(self) -> dict[str, str]:
        """The last words."""
        words: dict[str, str] = json.loads(self.termination_path.read_text())
        return words
