"""The cluster's DNS server: CoreDNS beside the kubelet, at an unprivileged port of the node.

Pods know it by the usual address, 10.96.0.10: a Service without selector leads there. No image has to be made for it.
"""

import secrets
import socket
from pathlib import Path

from dev.localcluster.api import Api
from dev.localcluster.layout import Layout, Network, write
from dev.localcluster.node import DNS_SERVICE
from dev.localcluster.objects import endpoint_slice
from dev.localcluster.processes import Program
from dev.tools import tool

_ROLE = "rbac.authorization.k8s.io"


class Dns:
    """CoreDNS and the objects that make it known."""

    def __init__(self, layout: Layout, network: Network) -> None:
        self.layout = layout
        self.network = network
        self.api = Api(network.api, layout.pki)

    def up(self) -> None:
        """Returns when names of the cluster are resolved.

        Raises ProcessError when that takes more than a minute.
        """
        self._apply_objects()
        self._write_configuration()
        self.program().up()

    def healthy(self) -> bool:
        """Whether CoreDNS runs and knows the cluster's names."""
        return self.program().healthy()

    def answers(self) -> bool:
        """Whether the name of the API server is resolved."""
        return resolves(self.network.address, self.network.dns, "kubernetes.default.svc.cluster.local")

    def program(self) -> Program:
        """CoreDNS."""
        command: list[str | Path] = [tool("coredns"), "-conf", self.layout.state / "Corefile"]
        return Program("coredns", command, self.layout.run, self.layout.logs, answers=self.answers)

    def _write_configuration(self) -> None:
        file = self.layout.state / "Corefile"
        if file.exists():  # whether the outside can be asked was found out when the cluster was made
            return
        forward = "forward . /etc/resolv.conf" if _outside_answers() else ""
        write(
            file,
            f""".:{self.network.dns} {{
    bind {self.network.address}
    errors
    ready 127.0.0.1:{self.network.dns_ready}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {self.layout.kubeconfig_of("dns")} local
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }}
    {forward}
    cache 5
}}
""",
        )

    def _apply_objects(self) -> None:
        service = {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}}
        ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
        self.api.apply(
            "/api/v1/namespaces/kube-system/services/kube-dns",
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": service,
                "spec": {"clusterIP": DNS_SERVICE, "ports": ports},
            },
        )
        self.api.apply(
            "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns-host",
            endpoint_slice(
                "kube-system", "kube-dns", self.network.address, [{**port, "port": self.network.dns} for port in ports]
            ),
        )
        self._apply_role()

    def _apply_role(self) -> None:
        rules = [
            {"apiGroups": [""], "resources": ["services", "namespaces", "pods"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ]
        kind = {"apiVersion": f"{_ROLE}/v1", "metadata": {"name": "localcluster:dns"}}
        self.api.apply(
            f"/apis/{_ROLE}/v1/clusterroles/localcluster:dns", {**kind, "kind": "ClusterRole", "rules": rules}
        )
        self.api.apply(
            f"/apis/{_ROLE}/v1/clusterrolebindings/localcluster:dns",
            {
                **kind,
                "kind": "ClusterRoleBinding",
                "roleRef": {"apiGroup": _ROLE, "kind": "ClusterRole", "name": "localcluster:dns"},
                "subjects": [{"apiGroup": _ROLE, "kind": "User", "name": "system:coredns"}],
            },
        )


def resolves(server: str, port: int, name: str, seconds: float = 1) -> bool:
    """Whether the DNS server at the address has an IPv4 address for the name."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0\0\x01\0\x01"
    number = secrets.token_bytes(2)
    answer = _ask(server, port, number + b"\x01\0\0\x01\0\0\0\0\0\0" + question, seconds)
    return answer[:2] == number and answer[3] & 0x0F == 0 and answer[6:8] != b"\0\0"


def _outside_answers() -> bool:
    """Whether the machine's own resolver answers at all; one that is silent would stall every unknown name."""
    try:
        lines = Path("/etc/resolv.conf").read_text().splitlines()
    except OSError:
        return False
    servers = [line.split()[1] for line in lines if line.startswith("nameserver ") and ":" not in line]
    query = secrets.token_bytes(2) + b"\x01\0\0\x01\0\0\0\0\0\0" + b"\0\0\x02\0\x01"
    return any(_ask(server, 53, query, 1)[:2] == query[:2] for server in servers)


def _ask(server: str, port: int, query: bytes, seconds: float) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect((server, port))
            connection.send(query)
            return connection.recv(4096).ljust(12, b"\0")
        except OSError:
            return b"".ljust(12, b"\0")
