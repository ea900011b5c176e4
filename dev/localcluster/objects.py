"""Kubernetes objects that lead from a cluster to programs beside it."""

import json
from typing import Protocol


class Reachable(Protocol):
    """A cluster whose pods reach this machine."""

    @property
    def host_address(self) -> str:
        """The address under which they do."""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints."""


def expose_host(cluster: Reachable, namespace: str, name: str, ports: tuple[int, int]) -> str:
    """The address of a Service that leads from its port (the first) to this machine's (the second).

    The namespace is made if there is none.
    """
    service_port, host_port = ports
    port = {"name": "server", "protocol": "TCP"}
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"ports": [{**port, "port": service_port}]},
        },
        endpoint_slice(namespace, name, cluster.host_address, [{**port, "port": host_port}]),
    ]
    content = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=content)
    return cluster.kubectl("get", "service", name, "--namespace", namespace, "-o=jsonpath={.spec.clusterIP}")


def endpoint_slice(namespace: str, service: str, address: str, ports: list[dict[str, object]]) -> dict[str, object]:
    """The object that makes a Service without selector lead to a server outside the cluster."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service}-host",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service, "endpointslice.kubernetes.io/managed-by": "localcluster"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": ports,
    }
