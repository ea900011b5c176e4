"""Where a cluster keeps things, and the addresses and ports that it chose."""

import json
import os
import random
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

UNROUTED = "10.96.255.254"
"""Advertised when the machine has no network: the API server wants an address that is not loopback, used or not."""
PORTS = range(20000, 30000)
"""Below the ephemeral ports (so no outgoing connection takes one) and below the NodePorts."""
WORKERS = 8
"""As many workers of one test run draw ports that no other one draws."""

_given: set[int] = set()


@dataclass(frozen=True)
class Network:
    """The address of the node, and the ports of this cluster's servers."""

    address: str
    etcd: int
    etcd_peer: int
    api: int
    dns: int
    dns_ready: int


@dataclass(frozen=True)
class Layout:
    """The folders and files below a cluster's state directory."""

    state: Path

    @property
    def run(self) -> Path:
        """Records of running programs."""
        return self.state / "run"

    @property
    def logs(self) -> Path:
        """Output of programs, and the audit log."""
        return self.state / "logs"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.state / "pki"

    @property
    def node(self) -> Path:
        """What containerd and the kubelet keep."""
        return self.state / "node"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.kubeconfig_of("admin")

    def kubeconfig_of(self, subject: str) -> Path:
        """The kubeconfig of one of the certificates' subjects."""
        return self.state / f"{subject}.kubeconfig"

    def network(self) -> Network | None:
        """What was chosen when the cluster was made; None for a cluster that is not there."""
        try:
            return Network(**json.loads((self.state / "network.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def choose_network(self) -> Network:
        """A new choice of address and free ports, written down, with the kubeconfigs that follow from it."""
        network = Network(node_address(), *free_ports(5))
        for subject in ("admin", "controller-manager", "scheduler", "node", "proxy", "dns"):
            self._write_kubeconfig(subject, network.api)
        write(self.state / "network.json", json.dumps(asdict(network)))
        return network

    def _write_kubeconfig(self, subject: str, port: int) -> None:
        # JSON is YAML, and no value needs quoting rules of its own.
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "local",
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": subject}}],
            "clusters": [
                {
                    "name": "local",
                    "cluster": {
                        "server": f"https://127.0.0.1:{port}",
                        "certificate-authority": str(self.pki / "ca.crt"),
                    },
                }
            ],
            "users": [
                {
                    "name": subject,
                    "user": {
                        "client-certificate": str(self.pki / f"{subject}.crt"),
                        "client-key": str(self.pki / f"{subject}.key"),
                    },
                }
            ],
        }
        write(self.kubeconfig_of(subject), json.dumps(content, indent=2))


def write(path: Path, text: str) -> None:
    """Writes a whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.new")
    partial.write_text(text)
    partial.rename(path)


def default_state() -> Path:
    """The state directory of the cluster that is meant when none is named."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "multimodal-operator" / "cluster"


def node_address() -> str:
    """The machine's address on the route to the outside; `UNROUTED` if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # asks the routing table, sends nothing
        except OSError:
            return UNROUTED
        return str(probe.getsockname()[0])


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, on any address, and that were not given before to anybody in this process."""
    found: list[int] = []
    mine = PORTS[int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % WORKERS :: WORKERS]
    for port in random.sample(mine, len(mine)):
        if len(found) == count:
            break
        if port not in _given and _free(port):
            found.append(port)
            _given.add(port)  # whoever asked binds it some time later
    return found


def _free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True
