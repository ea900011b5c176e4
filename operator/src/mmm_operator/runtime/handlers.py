"""kopf as the host of watches, and nothing else: every handler only says which object to look at.

With `on.event` alone the framework writes nothing: no finalizer, no annotation, no event.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import kopf

from mmm_operator import names
from mmm_operator.kube.port import Connection
from mmm_operator.kube.resources import RESOURCES, WATCHED_CHILDREN
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key, Manifest

Notice = Callable[[Key], None]
Connect = Callable[[], Awaitable[Connection]]

MANAGED = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
# A connection that broke is tried again for about five minutes; then kopf ends, and the supervisor starts it anew.
BACKOFFS = (1, 2, 4, 8, 15, 30, 30, 30, 60, 60, 60)


def key_of_child(child: Mapping[str, Any]) -> Key | None:
    """The MultimodalModel that a child belongs to: its controller's, or a pod's by label; None for a stranger."""
    meta = child["metadata"]
    for owner in meta.get("ownerReferences", ()):
        if owner.get("controller") and owner["kind"] == names.KIND and _group(owner) == names.GROUP:
            return Key(meta["namespace"], owner["name"])
    name = meta.get("labels", {}).get(names.LABEL_MODEL)
    return Key(meta["namespace"], name) if name else None


def _group(owner: Manifest) -> str:
    return str(owner["apiVersion"]).partition("/")[0]


def build_registry(notice: Notice, connect: Connect) -> kopf.OperatorRegistry:
    """The handlers: one per watched kind, and one that logs in."""
    registry = kopf.OperatorRegistry()

    async def on_mmm(body: kopf.Body, **_: Any) -> None:
        notice(Key(body["metadata"]["namespace"], body["metadata"]["name"]))

    async def on_child(body: kopf.Body, **_: Any) -> None:
        key = key_of_child(body)
        if key is not None:
            notice(key)

    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return credentials(await connect())

    own = RESOURCES[names.KIND]
    kopf.on.login(registry=registry, id="login")(log_in)
    kopf.on.event(own.group, own.version, own.plural, registry=registry, id=own.plural)(on_mmm)
    for kind in WATCHED_CHILDREN:
        child = RESOURCES[kind]
        kopf.on.event(child.group, child.version, child.plural, registry=registry, id=child.plural)(on_child)
    return registry


def credentials(connection: Connection) -> kopf.ConnectionInfo:
    """The connection in kopf's words."""
    scheme, _, token = (connection.authorization or "").rpartition(" ")
    return kopf.ConnectionInfo(
        server=connection.server,
        ca_path=connection.ca,
        insecure=not connection.verify,
        certificate_path=connection.certificate,
        private_key_path=connection.private_key,
        scheme=scheme or None,
        token=token or None,
        proxy_url=connection.proxy,
    )


def build_settings(settings: Settings) -> kopf.OperatorSettings:
    """Kopf's settings: no writes of its own, no endless waiting, no look at anything but our kinds."""
    framework = kopf.OperatorSettings()
    framework.posting.enabled = False
    framework.peering.standalone = True
    framework.scanning.disabled = True
    # It would end the process on its own authority; ending is the supervisor's business.
    framework.process.ultimate_exiting_timeout = None
    framework.watching.server_timeout = 600
    framework.watching.connect_timeout = 5
    framework.watching.inactivity_timeout = 70
    framework.watching.chunk_size = 500
    framework.networking.request_timeout = settings.request_timeout_seconds
    framework.networking.connect_timeout = 5
    framework.networking.error_backoffs = BACKOFFS
    framework.queueing.worker_limit = 64
    framework.queueing.idle_timeout = 1.0
    for kind in WATCHED_CHILDREN:
        child = RESOURCES[kind]
        framework.watching.label_selectors[(child.group, child.version, child.plural)] = MANAGED
    return framework
