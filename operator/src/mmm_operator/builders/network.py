"""The NetworkPolicy."""

from urllib.parse import urlsplit

from mmm_operator import names
from mmm_operator.api.network import NetworkPolicy
from mmm_operator.api.rollout import RolloutType
from mmm_operator.api.storage import Storage
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.builders.metadata import build_metadata
from mmm_operator.snapshot import Manifest

DNS = 53


def build_network_policy(mmm: MultimodalModel, policy: NetworkPolicy) -> Manifest:
    """A policy over all pods of the model, those that fetch too.

    Requests come from the clients alone, and nothing goes out but to DNS and the object store.

    The operator and whoever collects metrics reach their port from everywhere: a policy cannot name the operator's
    namespace without knowing it, and that port serves nothing but figures. Probes come from the node, which no
    policy keeps out.
    """
    canary = mmm.spec.rollout.canary
    # Old pods send copies of their requests to new ones.
    own = [{"podSelector": {"matchLabels": {names.LABEL_MODEL: mmm.metadata.name}}}]
    among = own if canary is not None and canary.mirror else []
    # A fetcher that stays says how far it is on a port of its own.
    swaps = mmm.spec.rollout.type is RolloutType.HOT_SWAP
    pages = [names.PORT_OPERATIONS, *([names.PORT_FETCHER] if swaps else [])]
    clients = [peer.to_json() for peer in policy.clients] or [{"podSelector": {}}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": build_metadata(mmm.metadata, mmm.metadata.name),
        "spec": {
            "podSelector": {"matchLabels": {names.LABEL_MODEL: mmm.metadata.name}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": [*clients, *among], "ports": [_port(names.PORT_HTTP)]},
                {"from": [{"namespaceSelector": {}}], "ports": [_port(port) for port in pages]},
            ],
            "egress": [
                {"ports": [_port(DNS, "UDP"), _port(DNS)]},
                *([{"to": among, "ports": [_port(names.PORT_HTTP)]}] if among else []),
                {"ports": [_port(port) for port in policy.storage_ports or (_storage_port(mmm.spec.storage),)]},
            ],
        },
    }


def _port(port: int, protocol: str = "TCP") -> Manifest:
    return {"protocol": protocol, "port": port}


def _storage_port(storage: Storage) -> int:
    endpoint = urlsplit(storage.endpoint or "https://")
    try:
        port = endpoint.port
    except ValueError:  # no number, or none that a port can have; nothing can be reached there anyway
        port = None
    return port or (80 if endpoint.scheme == "http" else 443)
