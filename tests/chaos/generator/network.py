"""Where the fields of `networkPolicy` show."""

from typing import Any
from urllib.parse import urlsplit

from tests.chaos.generator.became import Became, Shown

EMPTY: tuple[tuple[str, object], ...] = (("matchLabels", {}), ("except", []))


def _clients(became: Became, value: Any) -> tuple[Any, Any]:
    policy = became.spec.get("networkPolicy")
    found = became.at("NetworkPolicy", "spec.ingress.0.from")
    if policy is None:
        return found, None
    return _plain(found), _plain(policy.get("clients") or [{"podSelector": {}}])


def _plain(thing: Any) -> Any:
    # An empty selector is the same with and without an empty map in it, and so is a range without exceptions.
    if isinstance(thing, dict):
        return {key: _plain(value) for key, value in thing.items() if (key, value) not in EMPTY}
    return [_plain(item) for item in thing] if isinstance(thing, list) else thing


def _storage_ports(became: Became, value: Any) -> tuple[Any, Any]:
    found = [item["port"] for item in became.at("NetworkPolicy", "spec.egress.1.ports") or []]
    if "networkPolicy" not in became.spec:
        return found, []
    return found, value or [urlsplit(became.spec["storage"]["endpoint"]).port]


NETWORK_FIELDS: dict[str, Shown] = {
    "networkPolicy.clients.[].namespaceSelector.matchLabels.*": _clients,
    "networkPolicy.clients.[].podSelector.matchLabels.*": _clients,
    "networkPolicy.clients.[].ipBlock.cidr": _clients,
    "networkPolicy.clients.[].ipBlock.except": _clients,
    "networkPolicy.storagePorts": _storage_ports,
}
