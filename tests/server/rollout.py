"""The directory that says what to serve, written as the kubelet writes a ConfigMap, and servers that follow it."""

import itertools
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmm_server.backends.fake import FakeBackend, Faults
from tests.server.harness import ServerProcess, wait_for
from tests.server.models import publish_fake

SWAP_SECONDS = 30.0


def vector(salt: str, text: str) -> list[float]:
    """What the fake version of that name answers for a text."""
    backend = FakeBackend("FakeDualEncoder", Faults(salt=salt))
    row: list[float] = backend.launch(backend.prepare_texts([text]))()[0].tolist()
    return row


def same(one: list[float], other: list[float]) -> bool:
    """Whether two vectors are one but for rounding."""
    return math.dist(one, other) < 1e-5


@dataclass
class Rollout:
    """A mounted ConfigMap: every file is a link through `..data`, which is replaced in one step."""

    directory: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def write(self, files: dict[str, str]) -> None:
        """Replaces all files at once."""
        self.directory.mkdir(parents=True, exist_ok=True)
        fresh = self.directory / f"..{next(self.numbers)}"
        fresh.mkdir()
        for name, text in files.items():
            (fresh / name).write_text(text)
        before = os.readlink(self.directory / "..data") if (self.directory / "..data").is_symlink() else None
        (self.directory / "..data_tmp").symlink_to(fresh.name)
        (self.directory / "..data_tmp").rename(self.directory / "..data")
        for name in files:
            if not (self.directory / name).is_symlink():
                (self.directory / name).symlink_to(f"..data/{name}")
        for path in self.directory.iterdir():
            if path.name[:2] != ".." and path.name not in files:
                path.unlink()
        if before is not None:
            shutil.rmtree(self.directory / before)


@dataclass
class Site:
    """Published versions, the rollout directory, and a server that follows it."""

    root: Path
    digests: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.models = self.root / "models"
        self.state = self.root / "state"
        self.rollout = Rollout(self.root / "rollout")
        self.starts = itertools.count()

    def publish(self, name: str, smoke: list[dict[str, Any]] | None = None, **faults: object) -> str:
        """A version of the fake; its digest."""
        self.digests[name] = publish_fake(self.models, name, smoke, **faults)
        return self.digests[name]

    def path(self, name: str) -> Path:
        """Where a version lies."""
        return self.models / self.digests[name].removeprefix("sha256:")

    def want(self, name: str) -> None:
        """Says what shall be served."""
        self.rollout.write({"wanted.json": json.dumps({"version": name, "digest": self.digests[name]})})

    def server(self, own: str, **environment: str) -> ServerProcess:
        """A server of a pod that was made with one version."""
        given = {
            "MMM_MODEL_ROOT": str(self.models),
            "MMM_MODEL_VERSION": own,
            "MMM_MODEL_DIGEST": self.digests[own],
            "MMM_MODEL_NAME": "clip",
            "MMM_HOT_SWAP": "true",
            "MMM_ROLLOUT_DIR": str(self.rollout.directory),
            "MMM_STATE_DIR": str(self.state),
        }
        return ServerProcess(self.root / f"server-{next(self.starts)}", {**given, **environment})

    @contextmanager
    def serving(self, own: str, **environment: str) -> Iterator[ServerProcess]:
        """A server that is ready."""
        with self.server(own, **environment) as server:
            yield server.wait_ready()


def swap_of(server: ServerProcess) -> dict[str, Any]:
    """What the server says of its swap; empty without one."""
    found: dict[str, Any] = server.status()["swap"] or {}
    return found


def wait_served(server: ServerProcess, name: str) -> None:
    """Returns once a version serves."""
    wait_for(lambda: server.status()["model"]["version"] == name, SWAP_SECONDS, f"{name} serves")


def wait_failed(server: ServerProcess, name: str, reason: str) -> dict[str, Any]:
    """What the server says of a swap that failed."""
    wait_for(lambda: swap_of(server).get("state") == "Failed", SWAP_SECONDS, f"the swap to {name} failed")
    swap = swap_of(server)
    assert (swap["version"], swap["reason"]) == (name, reason), swap
    return swap
