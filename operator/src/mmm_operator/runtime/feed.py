"""Keeps the store true: full lists at the start, the watches from then on, and a sweep after what they may have missed.

A watch is not a proof: events can get lost (etcd's own robustness tests count such cases), and kopf says nothing of
objects that went away between two of its connections. So from time to time, and soon after kopf had to list anew, the
versions of all objects are listed and compared; what differs and stays so is read in full.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from mmm_operator import names
from mmm_operator.errors import KubeError
from mmm_operator.kube.port import Kube, Versions
from mmm_operator.kube.resources import WATCHED
from mmm_operator.kube.store import Seen, Store
from mmm_operator.runtime.metrics import Metrics
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key

log = logging.getLogger(__name__)

# Controllers write to their objects several times in a row: one look for all of it.
COALESCE_SECONDS = 0.25
# What is under way in a watch gets so long before it counts as lost.
LAG_SECONDS = 2.0
SWEEP_AFTER_LIST_SECONDS = 3.0
# The first lists of kopf follow ours closely, so there is no hurry.
FIRST_SWEEP_SECONDS = 60.0


class Notice(Protocol):
    """Has a MultimodalModel looked at."""

    def __call__(self, key: Key, delay: float = 0.0, *, fresh: bool = True) -> None:
        """In `delay` seconds at the latest; `fresh` before all that is not."""


class Feed:
    """Into the store; `notice` is called for every MultimodalModel that something new is known about."""

    def __init__(self, store: Store, kube: Kube, notice: Notice, settings: Settings, metrics: Metrics) -> None:
        self._store = store
        self._kube = kube
        self._notice = notice
        self._scopes = tuple((kind, where) for where in settings.namespaces or (None,) for kind in WATCHED)
        self._period = float(settings.resync_seconds)
        self._metrics = metrics
        self._sweep_at = math.inf
        self._hurry = asyncio.Event()

    async def fill(self) -> None:
        """List everything; only after all of it is known is anybody asked to look."""
        concerned: set[Key] = set()
        for kind, namespace in self._scopes:
            concerned |= self._store.replace(kind, namespace, *await self._kube.list(kind, namespace))
        for key in sorted(concerned):
            self._notice(key, fresh=False)
        self._sweep_in(FIRST_SWEEP_SECONDS)

    def knows(self, kind: str, raw: Mapping[str, Any]) -> bool:
        """Whether this state of an object would be no news; may be asked from any thread."""
        return self._store.knows(kind, raw["metadata"])

    def listed(self) -> None:
        """Take note that kopf has listed anew: it says nothing of objects that are not there any more."""
        self._sweep_in(SWEEP_AFTER_LIST_SECONDS)

    def saw(self, found: Seen, event: str | None) -> None:
        """An event of a watch, of one of Kubernetes' types; None: it was in a list."""
        gone = event == "DELETED"
        concerned = self._store.remove(found.id, found.version) if gone else self._store.put(found)
        for key in concerned:
            self._notice(key, 0.0 if gone or found.id.kind == names.KIND else COALESCE_SECONDS)

    async def run(self) -> None:
        """Sweep, whenever it is time, until cancelled."""
        while True:
            await self._until_sweep()
            self._sweep_at = _now() + self._period
            await self._sweep()

    def _sweep_in(self, seconds: float) -> None:
        if (moment := _now() + seconds) < self._sweep_at:
            self._sweep_at = moment
            self._hurry.set()

    async def _until_sweep(self) -> None:
        while (left := self._sweep_at - _now()) > 0:
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), min(left, self._period))

    async def _sweep(self) -> None:
        suspects = list[tuple[str, str | None, Versions]]()
        for kind, namespace in self._scopes:
            with _trouble_is_told():
                found = await self._kube.versions(kind, namespace)
                if self._store.missed(kind, namespace, *found):
                    suspects.append((kind, namespace, found))
        if suspects:
            # Once for all: where every watch is dumb, one kind must not wait for the other.
            await asyncio.sleep(LAG_SECONDS)
        for kind, namespace, found in suspects:
            with _trouble_is_told():
                await self._read_missed(kind, namespace, found)

    async def _read_missed(self, kind: str, namespace: str | None, found: Versions) -> None:
        if missed := self._store.missed(kind, namespace, *found):
            self._metrics.missed.inc(len(missed))
            where = namespace or "all namespaces"
            log.warning("the watch of %s in %s missed %d objects, all are read again", kind, where, len(missed))
            concerned = self._store.replace(kind, namespace, *await self._kube.list(kind, namespace))
            for key in concerned:
                self._notice(key)


@contextlib.contextmanager
def _trouble_is_told() -> Iterator[None]:
    try:
        yield
    except KubeError as error:
        log.warning("cannot compare what is known with the API server: %s", error)


def _now() -> float:
    return asyncio.get_running_loop().time()
