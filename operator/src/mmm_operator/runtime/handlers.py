"""kopf as the host of watches, and nothing else: every handler only hands on what was seen.

With `on.event` alone the framework writes nothing: no finalizer, no annotation, no event.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import kopf

from mmm_operator.kube.port import Connection
from mmm_operator.kube.resources import RESOURCES, WATCHED, selector
from mmm_operator.settings import Settings

# The kind, the object as it came, and the type of the event: None for what was in a list.
Hear = Callable[[str, Mapping[str, Any], str | None], None]
Connect = Callable[[], Awaitable[Connection]]

# A connection that broke is tried again for about ten minutes, never more than ten seconds after the API server is
# back; then kopf ends, and the supervisor starts it anew.
BACKOFFS = (1, 2, 4, 7, *(10,) * 60)


def build_registry(hear: Hear, connect: Connect) -> kopf.OperatorRegistry:
    """The handlers: one per watched kind, which hands on all that it hears, and one that logs in."""
    registry = kopf.OperatorRegistry()

    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return credentials(await connect())

    kopf.on.login(registry=registry, id="login")(log_in)
    for kind in WATCHED:
        found = RESOURCES[kind]
        kopf.on.event(found.group, found.version, found.plural, registry=registry, id=found.plural)(
            _handler(kind, hear)
        )
    return registry


def _handler(kind: str, hear: Hear) -> Callable[..., Awaitable[None]]:
    async def on_event(event: kopf.RawEvent, **_: Any) -> None:
        hear(kind, event["object"], event["type"])

    return on_event


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
    # A page is taken apart object by object, eight kinds at a time: it is what a start costs in memory.
    framework.watching.chunk_size = 100
    framework.networking.request_timeout = settings.request_timeout_seconds
    framework.networking.connect_timeout = 5
    framework.networking.error_backoffs = BACKOFFS
    # A worker sits on its slot until it has been idle for so long: with a limit, lists would trickle in.
    framework.queueing.worker_limit = None
    framework.queueing.idle_timeout = 0.05
    framework.persistence.diffbase_storage = NoEssence()
    framework.persistence.progress_storage = NoProgress()
    for kind in WATCHED:
        if labels := selector(kind):
            found = RESOURCES[kind]
            framework.watching.label_selectors[(found.group, found.version, found.plural)] = labels
    return framework


class NoEssence(kopf.DiffBaseStorage):
    """Nothing to compare with: kopf would copy each object to look for changes that no handler asks about."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        """Nothing."""
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Nothing."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nowhere."""


class NoProgress(kopf.ProgressStorage):
    """No handler's progress to keep, for the same reason."""

    def fetch(self, *, key: str, body: kopf.Body) -> None:
        """Nothing."""

    def store(self, *, key: str, record: Mapping[str, Any], body: kopf.Body, patch: kopf.Patch) -> None:
        """Nowhere."""

    def purge(self, *, key: str, body: kopf.Body, patch: kopf.Patch) -> None:
        """Nothing."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """As it is."""
        return essence
