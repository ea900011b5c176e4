"""A whole Kubernetes on this machine: brought up, kept up and taken down.

`up` is a comparison, not a script: whatever is missing of the wanted cluster is started, and what runs as wanted is
left alone. So it does not matter who killed what before, or whether an earlier `up` came to its end.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.localcluster import claim, images, pki, processes, teardown
from dev.localcluster.api import Api, ApiError
from dev.localcluster.controlplane import USUAL, ControlPlane, Tuning
from dev.localcluster.deadline import Deadline
from dev.localcluster.dns import Dns
from dev.localcluster.layout import Layout, Network, default_state, node_address, write
from dev.localcluster.node import NODE_PACKAGES, Node, routed
from dev.localcluster.objects import expose_host
from dev.localcluster.pki import NODE_NAME
from dev.localcluster.processes import ProcessError, Program
from dev.tools import require_system_packages, tool
from dev.tools.locks import exclusive

_AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "None",
            "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"],
        },
        {
            "level": "None",
            "users": [
                "system:apiserver",
                "system:coredns",
                "system:kube-controller-manager",
                "system:kube-proxy",
                "system:kube-scheduler",
            ],
        },
        {"level": "Metadata"},
    ],
}
"""Who asked for what, and whether it was allowed; the cluster's own chatter is left out."""


class ClusterError(RuntimeError):
    """The cluster is not there, or cannot be on this machine; the message says why."""


@dataclass(frozen=True)
class Part:
    """One line of a cluster's status."""

    name: str
    running: bool
    pid: int | None


class LocalCluster:
    """A cluster of this machine, known by its state directory; `None` means the user's usual one."""

    node_name = NODE_NAME

    def __init__(self, state: Path | None = None, tuning: Tuning = USUAL) -> None:
        self.layout = Layout((state or default_state()).absolute())
        self.tuning = tuning

    @property
    def state(self) -> Path:
        """Where everything of the cluster is kept."""
        return self.layout.state

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.layout.kubeconfig

    @property
    def audit_log(self) -> Path:
        """One JSON line per request to the API server, except the cluster's own."""
        return self.layout.logs / "audit.log"

    @property
    def host_address(self) -> str:
        """The address under which pods reach programs on this machine."""
        return self._network().address

    def up(self, node: bool = True) -> None:
        """Returns when the cluster works: at once if it does already.

        A cluster that was brought up with its node keeps it, whatever is asked for later. One that cannot be repaired
        at the second try, or that has not survived a reboot, is made anew. Raises ClusterError, ProcessError,
        NodeTaken, MissingPackages.
        """
        with self._lock():
            node = node or self._has_node()
            if not self._same_machine():
                self._remove()
            if node:
                self._claim_node()
            if self.layout.network() is None:
                self._bring_up(node)
            elif not (self._repair(node) or self._repair(node)):
                self._remove()
                if node:
                    self._claim_node()
                self._bring_up(node)

    def down(self) -> None:
        """Returns when nothing is left of the cluster: no program, container, mount, rule or file."""
        if not self.state.exists() and not claim.owns(self.state):
            return
        with self._lock():
            self._remove()
            (self.state / "lock").unlink(missing_ok=True)
            shutil.rmtree(self.state, ignore_errors=True)

    def status(self) -> list[Part]:
        """The state of every program that should run; empty if there is no cluster."""
        network = self.layout.network()
        if network is None:
            return []
        programs = self._programs(network)
        recorded = {program.name: processes.read(program.record) for program in programs}
        return [
            Part(program.name, program.runs(), None if (record := recorded[program.name]) is None else record.pid)
            for program in programs
        ]

    def healthy(self) -> bool:
        """Whether the cluster works as a whole, not only its single programs."""
        network = self.layout.network()
        if network is None:
            return False
        try:
            return self._healthy(network, self._has_node())
        except (OSError, ApiError):
            return False

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints; raises ClusterError with what it complains about."""
        return run_kubectl([f"--kubeconfig={self.kubeconfig}", *arguments], stdin)

    def load_image(self, path: Path) -> None:
        """Makes an image known to the node: a Docker or OCI archive, or an OCI layout folder."""
        node = self._node()
        images.load(path, node.importer(), node.blobs())

    def set_gpus(self, count: int) -> None:
        """Makes the node offer so many `nvidia.com/gpu`, which nothing but the scheduler's arithmetic stands behind."""
        self._node()
        network = self._network()
        write(self.layout.state / "gpus", str(count))
        self._offer_gpus(network, count)

    def expose(self, namespace: str, name: str, port: int, host_port: int) -> None:
        """Makes `<name>.<namespace>:<port>` lead to a server on this machine; returns when it does."""
        address = expose_host(self, namespace, name, (port, host_port))
        # Until kube-proxy knows it, packets to the address leave the machine, and whoever is out there may answer.
        if self._has_node() and not Deadline.met(lambda: routed(address), 30):
            raise ClusterError(f"kube-proxy does not route {name}.{namespace} ({address})")

    def _repair(self, with_node: bool) -> bool:
        """Whether what is there works now; what stands in the way is told, for its objects may go with the cluster."""
        try:
            self._bring_up(with_node)
        except (ProcessError, ApiError, OSError) as error:
            print(f"the cluster at {self.state} could not be repaired: {error}", file=sys.stderr)
            return False
        return True

    def _bring_up(self, with_node: bool) -> None:
        network = self._prepare()
        if not self._healthy(network, with_node):
            self._control_plane(network, with_node).up()
            if with_node:
                Dns(self.layout, network).up()
                Node(self.layout, network).up()
        if with_node and (gpus := self._gpus()) is not None:
            self._offer_gpus(network, gpus)  # a kubelet that starts forgets them

    def _prepare(self) -> Network:
        """Everything on disk that programs need before they start."""
        self.state.mkdir(parents=True, exist_ok=True)
        if not self.layout.pki.is_dir():
            pki.create(self.layout.pki, node_address())
        policy = {**_AUDIT_POLICY, "rules": [*self.tuning.audit_rules, *_AUDIT_POLICY["rules"]]}
        write(self.state / "audit-policy.json", json.dumps(policy))
        write(self.state / "boot", processes.current_boot())
        return self.layout.network() or self.layout.choose_network()

    def _control_plane(self, network: Network, with_node: bool) -> ControlPlane:
        return ControlPlane(self.layout, network, with_node, self.tuning)

    def _healthy(self, network: Network, with_node: bool) -> bool:
        if not self._control_plane(network, with_node).healthy():
            return False
        return not with_node or (Node(self.layout, network).healthy() and Dns(self.layout, network).healthy())

    def _programs(self, network: Network) -> list[Program]:
        with_node = self._has_node()
        programs = self._control_plane(network, with_node).programs()
        if with_node:
            programs += [*Node(self.layout, network).programs(), Dns(self.layout, network).program()]
        return programs

    def _same_machine(self) -> bool:
        """Whether what is on disk fits this boot of the machine and its present address."""
        network = self.layout.network()
        if network is None:
            return not self.layout.pki.exists() or not self.layout.run.exists()
        try:
            boot = (self.state / "boot").read_text()
        except FileNotFoundError:
            return False
        return boot == processes.current_boot() and network.address == node_address()

    def _remove(self) -> None:
        """Ends and removes everything but the lock."""
        if self._has_node() and os.geteuid() != 0:
            raise ClusterError(f"the cluster at {self.state} has a node; only root can take it down")
        for record in self.layout.run.glob("*"):
            processes.stop(record, grace=0)  # what they would still put in order is removed anyway
        if claim.owns(self.state) or self.layout.node.exists():
            teardown.remove_node(self.layout.node)
        for path in self.state.glob("*"):
            if path.name == "lock":
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        claim.release(self.state)

    def _claim_node(self) -> None:
        if os.geteuid() != 0:
            raise ClusterError("a node needs root; `--no-node` gives a cluster without one")
        require_system_packages(NODE_PACKAGES)
        if len(str(self.state)) > 70:
            raise ClusterError(f"{self.state} is too long a path: unix sockets below it could not be opened")
        dead = claim.claim(self.state)
        if dead is not None:
            teardown.remove_node(Layout(dead).node)

    def _has_node(self) -> bool:
        return claim.owns(self.state)

    def _network(self) -> Network:
        network = self.layout.network()
        if network is None:
            raise ClusterError(f"there is no cluster at {self.state}; `python -m dev.localcluster up` makes one")
        return network

    def _node(self) -> Node:
        network = self._network()
        if not self._has_node():
            raise ClusterError(f"the cluster at {self.state} has no node")
        return Node(self.layout, network)

    def _gpus(self) -> int | None:
        file = self.state / "gpus"
        return int(file.read_text()) if file.exists() else None

    def _offer_gpus(self, network: Network, count: int) -> None:
        changes = [
            {"op": "add", "path": f"/status/{part}/nvidia.com~1gpu", "value": str(count)}
            for part in ("capacity", "allocatable")
        ]
        Api(network.api, self.layout.pki).patch(f"/api/v1/nodes/{NODE_NAME}/status", changes)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with exclusive(self.state / "lock", f"another command on the cluster at {self.state}"):
            yield


def run_kubectl(arguments: list[str], stdin: str | None = None) -> str:
    """What kubectl prints; raises ClusterError with what it complains about."""
    # The user's own kubectl settings must not change what a test sees.
    environment = {**os.environ, "KUBERC": "off"}
    command = [str(tool("kubectl")), *arguments]
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment)
    if result.returncode != 0:
        raise ClusterError(f"kubectl {' '.join(arguments)}: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout
