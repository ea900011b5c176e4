"""Which of several operators works: the one that holds a Lease. The others stand by.

No clock is ever compared with another one. A standby counts, on its own clock, for how long the record stayed as it
is; the holder counts from before it asked for its last renewal. So the holder stops first, however wrong the clocks
of the nodes are, and whoever stopped its process meanwhile:

    holder   asks ─────── writes ───────── 10 s: sends no write ──── 15 s: waits for none
    standby       sees it ──────────────────────────────────────────────── 15 s: takes the Lease
"""

import asyncio
import datetime as dt
import logging
import math
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from mmm_operator.errors import Conflict, KubeError, OperatorError
from mmm_operator.kube.port import Leases
from mmm_operator.kube.resources import RESOURCES
from mmm_operator.snapshot import Manifest

log = logging.getLogger(__name__)

LEASE_SECONDS = 15
DEADLINE_SECONDS = 10.0
RENEW_SECONDS = 5.0
RETRY_SECONDS = 1.0
# Short enough for a second and a third attempt before the deadline.
CALL_SECONDS = 3.0

Work = Callable[[], Coroutine[Any, Any, None]]


class LeaseLost(OperatorError):
    """Another operator may work now; the text says why."""


def new_identity() -> str:
    """A name for this process that no other ever has; in a pod it begins with the pod's name."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


def awake_and_asleep() -> float:
    """Seconds on a clock that goes on while the process is stopped, and where possible while the machine sleeps.

    Not the event loop's clock: uvloop reads it only between two steps, so after a stop it may still show the past.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Alone:
    """The Lease of an operator that knows of no other: always held. For development."""

    def held(self) -> bool:
        """Yes."""
        return True

    def time_left(self) -> float:
        """Forever."""
        return math.inf

    async def lead(self, work: Work) -> None:
        """Do the work."""
        await work()


ALONE = Alone()


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the record said, and since when on our clock."""

    spec: Manifest
    since: float

    def taken(self, now: float, by_others_than: str) -> bool:
        """Whether somebody else may still work."""
        holder = self.spec.get("holderIdentity") or ""
        lasts = self.spec.get("leaseDurationSeconds") or LEASE_SECONDS
        return holder not in ("", by_others_than) and now - self.since < lasts


class Lease:
    """One Lease object of the cluster, as this process sees it."""

    def __init__(
        self,
        leases: Leases,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float] = awake_and_asleep,
    ) -> None:
        self._leases = leases
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._asked_at = -math.inf
        self._record: Manifest | None = None
        self._seen: Sighting | None = None
        self._complaint = ""

    def held(self) -> bool:
        """Whether this process may work: its last renewal was asked for less than the deadline ago."""
        return self._age < DEADLINE_SECONDS

    def time_left(self) -> float:
        """For how long a write that is sent now may be under way; 0 when none may be sent."""
        return LEASE_SECONDS - self._age if self.held() else 0.0

    async def lead(self, work: Work) -> None:
        """Do `work` whenever the Lease is held, until cancelled; raises what the work raises.

        When the Lease is lost the work is ended and the process stands by again. Ending the process would be no safer,
        for the fence stops each single write, and after a long outage of the API server it would be restarted late.
        """
        while True:
            await self._acquire()
            try:
                await until_one_ends(work(), self._keep())
            except LeaseLost as lost:
                log.error("lost the Lease, all work stopped: %s", lost)
            finally:
                # Not before the work has ended: the next holder begins at once.
                await self._release()

    @property
    def _age(self) -> float:
        return self._clock() - self._asked_at

    async def _acquire(self) -> None:
        while not (await self._attempt(self._take, 2 * CALL_SECONDS) and self.held()):  # noqa: ASYNC110
            await asyncio.sleep(RETRY_SECONDS)
        log.info("%s holds Lease %s/%s and works", self._identity, self._namespace, self._name)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            while not await self._attempt(self._renew, min(CALL_SECONDS, DEADLINE_SECONDS - self._age)):
                if not self.held():
                    raise LeaseLost(f"not renewed for {DEADLINE_SECONDS:g} s; {self._complaint}")
                await asyncio.sleep(min(RETRY_SECONDS, max(DEADLINE_SECONDS - self._age, 0.01)))

    async def _attempt(self, step: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                done = await step()
        except (KubeError, TimeoutError) as error:
            self._complain(str(error) or "no answer in time")
            return False
        if done:
            self._complaint = ""
        return done

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            log.warning("Lease %s/%s: %s", self._namespace, self._name, text)
        self._complaint = text

    async def _take(self) -> bool:
        found = await self._leases.read_lease(self._namespace, self._name)
        spec = found.get("spec") if found else None
        if spec and (self._seen is None or spec != self._seen.spec):
            self._seen = Sighting(spec, self._clock())
        # A Lease that somebody deleted is still taken: its holder does not know yet.
        if self._seen is not None and self._seen.taken(self._clock(), by_others_than=self._identity):
            return False
        return await self._write(found)

    async def _renew(self) -> bool:
        if self._record is not None and await self._write(self._record):
            return True
        # It changed meanwhile, perhaps by a renewal of ours whose answer was lost: see who holds it.
        found = await self._leases.read_lease(self._namespace, self._name)
        if found is not None and holder_of(found) != self._identity:
            self._asked_at = -math.inf
            raise LeaseLost(f"{holder_of(found) or 'nobody'} holds it now")
        return await self._write(found)

    async def _write(self, found: Manifest | None) -> bool:
        asked_at, self._record = self._clock(), None
        try:
            written = await self._leases.write_lease(self._claim(found))
        except Conflict:
            return False  # somebody was faster; the next look shows who
        if written is None:
            return False
        self._record, self._asked_at = written, asked_at
        return True

    def _claim(self, found: Manifest | None) -> Manifest:
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = (found and found.get("spec")) or {}
        spec = {**before, "holderIdentity": self._identity, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
        if before.get("holderIdentity") != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = before.get("leaseTransitions", -1) + 1
        return self._manifest(found, spec)

    def _manifest(self, found: Manifest | None, spec: Manifest) -> Manifest:
        metadata = found["metadata"] if found else {"namespace": self._namespace, "name": self._name}
        return {"apiVersion": RESOURCES["Lease"].api_version, "kind": "Lease", "metadata": metadata, "spec": spec}

    async def _release(self) -> None:
        if not self.held():
            return
        self._asked_at = -math.inf
        # Twice: a renewal that was cut off may have come through between the two calls.
        if not (
            await self._attempt(self._give_back, CALL_SECONDS) or await self._attempt(self._give_back, CALL_SECONDS)
        ):
            log.warning("Lease %s/%s could not be released, it runs out", self._namespace, self._name)

    async def _give_back(self) -> bool:
        found = await self._leases.read_lease(self._namespace, self._name)
        if found is None or holder_of(found) != self._identity:
            return True
        free = {**found["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            return await self._leases.write_lease(self._manifest(found, free)) is not None
        except Conflict:
            return False


async def until_one_ends(*parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts; when one ends, end the others and wait for them, then raise what went wrong.

    Not a TaskGroup: that forgets that it was cancelled when one of its tasks fails meanwhile.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    told: asyncio.CancelledError | None = None
    how = asyncio.FIRST_COMPLETED
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks, return_when=how)
        except asyncio.CancelledError as error:
            told = error
        if how != asyncio.ALL_COMPLETED:
            how = asyncio.ALL_COMPLETED
            for task in tasks:
                task.cancel()
    problems = [told, *(task.exception() for task in tasks if not task.cancelled())]
    for problem in problems:
        if problem is not None:
            raise problem


def holder_of(lease: Manifest) -> str:
    """The identity of who holds the Lease; empty when nobody does."""
    return (lease.get("spec") or {}).get("holderIdentity") or ""
