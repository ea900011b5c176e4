"""Which object stores the operator may talk to: it has rights that the authors of MultimodalModels lack.

An endpoint is somebody's wish, and the operator asks from inside the cluster. So addresses that only mean something
there are refused whatever name they go by: link-local ones, where clouds hand out identities, and the API server's as
pods know it.
Between this look at the name and the request the name may come to mean something else; who fears that closes the
list in the settings, and the network.
"""

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

# The name by which every pod knows the API server.
API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
# Where clouds hand out identities, beside the link-local addresses.
IDENTITY_SERVICES = (ipaddress.ip_address("fd00:ec2::254"),)


class EndpointForbidden(Exception):
    """The operator must not talk to this endpoint; the text says why and what to do."""


class Endpoints:
    """Who is allowed: patterns such as `minio.storage` or `*.example.com:9000`; without any, all but the refused."""

    def __init__(self, allowed: Collection[str], environment: Mapping[str, str] = os.environ) -> None:
        # Brackets are part of an address here, and no choice of letters.
        self._allowed = tuple(pattern.lower().replace("[", "[[]") for pattern in allowed)
        self._api_server = environment.get("KUBERNETES_SERVICE_HOST", "")

    async def check(self, endpoint: str | None, bucket: str = "") -> None:
        """Raise EndpointForbidden for what is not allowed; None is AWS, which always is.

        `bucket` is what goes before the host, where it does. An endpoint that is no address raises ValueError.
        """
        if endpoint is None:
            return
        parts = urlsplit(endpoint)
        host = (parts.hostname or "").rstrip(".").lower()
        self._check_list(host, parts.port or (443 if parts.scheme == "https" else 80))
        host = f"{bucket}.{host}" if bucket else host
        if host.startswith(API_NAMES[1:]) or host in API_NAMES:
            raise EndpointForbidden(f"{host} is the API server of the cluster, not an object store: correct endpoint.")
        for address in await addresses(host):
            self._check_address(host, address)

    def _check_list(self, host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        names = (host, shown, f"{shown}:{port}")
        if self._allowed and not any(fnmatchcase(name, pattern) for name in names for pattern in self._allowed):
            raise EndpointForbidden(
                f"{host}:{port} is not on the operator's list of allowed endpoints: use one that is, or ask who runs "
                "the operator to add it."
            )

    def _check_address(self, host: str, address: str) -> None:
        found = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        if found.is_link_local or found.is_multicast or found.is_unspecified or found in IDENTITY_SERVICES:
            raise EndpointForbidden(f"{host} is the link-local address {found}, where no object store can be.")
        if str(found) == self._api_server:
            raise EndpointForbidden(f"{host} is the API server of the cluster, not an object store: correct endpoint.")


async def addresses(host: str) -> list[str]:
    """What a name means now; nothing when it means nothing, which the request itself will find out."""
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({str(entry[4][0]) for entry in found})
