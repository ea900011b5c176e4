"""The cluster that tests and demos run against: what the machine can offer, or what the user asks for.

`MMM_CLUSTER=kind` needs a Docker engine; `local` needs root and Go, but no engine; `current` is whatever the user's
kubeconfig points at; `auto`, which is meant when nothing is said, is kind where an engine answers and local elsewhere.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from dev.localcluster.cluster import LocalCluster
from dev.localcluster.outside import CurrentCluster, KindCluster


class Cluster(Protocol):
    """What a test or a demo may ask of any cluster."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""

    @property
    def node_name(self) -> str:
        """The node that `set_gpus` changes."""

    @property
    def host_address(self) -> str:
        """The address under which pods reach programs on this machine."""

    def up(self, node: bool = True) -> None:
        """Returns when the cluster works."""

    def down(self) -> None:
        """Removes the cluster, unless it is the user's own."""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints."""

    def load_image(self, path: Path) -> None:
        """Makes an image known to the nodes: a Docker or OCI archive, or an OCI layout folder."""

    def set_gpus(self, count: int) -> None:
        """Makes the node offer so many `nvidia.com/gpu`."""

    def expose(self, namespace: str, name: str, port: int, host_port: int) -> None:
        """Makes `<name>.<namespace>:<port>` lead to a server on this machine."""


def choose(state: Path | None = None, environment: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that `MMM_CLUSTER` names; it may not be up yet. `state` is for the local one."""
    wanted = environment.get("MMM_CLUSTER") or "auto"
    if wanted == "auto":
        wanted = "kind" if docker_answers() else "local"
    match wanted:
        case "local":
            return LocalCluster(state)
        case "kind":
            return KindCluster()
        case "current":
            return CurrentCluster(environment)
    raise ValueError(f"MMM_CLUSTER={wanted}: it can be auto, local, kind or current")


def docker_answers() -> bool:
    """Whether a Docker engine can be used from here."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=30).returncode == 0
