"""Clusters that others bring up, reached through kubectl alone."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from dev.localcluster.cluster import ClusterError, run_kubectl
from dev.localcluster.objects import expose_host
from dev.tools import tool


class KindCluster:
    """A kind cluster named `multimodal-operator`, for machines with a Docker engine.

    Written after kind's documentation and not exercised where this project is developed, which has no Docker engine;
    that is why there is so little of it.
    """

    name = "multimodal-operator"
    node_name = f"{name}-control-plane"

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig of its own, so that the user's is left alone."""
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(base) / "multimodal-operator" / "kind.kubeconfig"

    @property
    def host_address(self) -> str:
        """The gateway of kind's Docker network: this machine, as containers see it."""
        inspect = ["docker", "network", "inspect", "kind", "--format", "{{json .IPAM.Config}}"]
        configurations = json.loads(_run(inspect))
        return next(str(c["Gateway"]) for c in configurations if "." in c.get("Gateway", ""))

    def up(self, node: bool = True) -> None:
        """Returns when the cluster works; a kind cluster always has its node."""
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        if self.name not in _run([self._kind(), "get", "clusters"]).split():
            self._call("create", "cluster", "--wait", "120s", "--kubeconfig", str(self.kubeconfig))
        else:
            self._call("export", "kubeconfig", "--kubeconfig", str(self.kubeconfig))

    def down(self) -> None:
        """Removes the cluster."""
        self._call("delete", "cluster", "--kubeconfig", str(self.kubeconfig))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints."""
        return run_kubectl([f"--kubeconfig={self.kubeconfig}", *arguments], stdin)

    def load_image(self, path: Path) -> None:
        """Makes an image known to the node."""
        if not path.is_dir():
            self._call("load", "image-archive", str(path))
            return
        archive = path.with_suffix(".tar")
        _run(["tar", "-C", str(path), "-cf", str(archive), "."])
        self._call("load", "image-archive", str(archive))
        archive.unlink()

    def set_gpus(self, count: int) -> None:
        """Makes the node offer so many `nvidia.com/gpu`."""
        changes = [{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": str(count)}]
        patch = ["patch", "node", self.node_name, "--subresource=status", "--type=json"]
        self.kubectl(*patch, f"--patch={json.dumps(changes)}")

    def expose(self, namespace: str, name: str, port: int, host_port: int) -> None:
        """Makes `<name>.<namespace>:<port>` lead to a server on this machine."""
        expose_host(self, namespace, name, (port, host_port))

    def _call(self, *arguments: str) -> None:
        _run([self._kind(), *arguments, "--name", self.name])

    def _kind(self) -> str:
        return str(tool("kind"))


class CurrentCluster:
    """The cluster of the user's current context: nothing is made, loaded or removed, images are taken as present."""

    host_address = ""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        # Several files in KUBECONFIG are merged by clients; one path cannot stand for that.
        self.kubeconfig = Path(environment.get("KUBECONFIG") or Path.home() / ".kube" / "config")

    @property
    def node_name(self) -> str:
        """The first node."""
        return self.kubectl("get", "nodes", "-o=name").split()[0].removeprefix("node/")

    def up(self, node: bool = True) -> None:
        """Nothing, if the cluster answers. Raises ClusterError if not."""
        self.kubectl("get", "--raw=/readyz")

    def down(self) -> None:
        """Nothing: it is the user's."""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints."""
        return run_kubectl([f"--kubeconfig={self.kubeconfig}", *arguments], stdin)

    def load_image(self, path: Path) -> None:
        """Nothing: the user has put the images where the nodes find them."""

    def set_gpus(self, count: int) -> None:
        """Refused: a cluster in use keeps the capacity that it has."""
        raise ClusterError("the number of GPUs of a cluster in use is not changed")

    def expose(self, namespace: str, name: str, port: int, host_port: int) -> None:
        """Refused: nobody knows under which address its pods would reach this machine."""
        raise ClusterError("pods of a cluster elsewhere cannot be led to this machine")


def _run(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise ClusterError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout
