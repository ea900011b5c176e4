"""Several replicas that contend for one Lease, each over a line of its own that can be cut, held up or made to lie."""

import asyncio
import copy
import datetime as dt
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from mmm_operator.errors import Conflict, Transient
from mmm_operator.runtime.lease import Lease
from mmm_operator.snapshot import Manifest

STEP = 0.1


def now() -> float:
    return asyncio.get_running_loop().time()


class Registry:
    """The API server's side: one Lease, replaced only by who knows its latest version."""

    def __init__(self) -> None:
        self.lease: Manifest | None = None
        self.version = 0

    def read(self) -> Manifest | None:
        return copy.deepcopy(self.lease)

    def write(self, manifest: Manifest) -> Manifest | None:
        expected = manifest["metadata"].get("resourceVersion")
        if expected is None and self.lease is not None:
            raise Conflict("leases already exists", status=409)
        if expected is not None and self.lease is None:
            return None
        if self.lease is not None and expected != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified", status=409)
        self.put(manifest)
        return self.read()

    def put(self, manifest: Manifest) -> None:
        self.version += 1
        self.lease = copy.deepcopy(manifest)
        self.lease["metadata"]["resourceVersion"] = str(self.version)

    @property
    def spec(self) -> Manifest:
        assert self.lease is not None
        spec: Manifest = self.lease["spec"]
        return spec


class Fault(NamedTuple):
    """What happens to the calls of some seconds: refused, done late, or done without an answer."""

    begin: float
    seconds: float
    kind: Literal["refused", "late", "unanswered"]

    def active(self) -> bool:
        return self.begin <= now() < self.begin + self.seconds


@dataclass
class Line:
    """One replica's way to the registry; `skew` is how far its clock on the wall is off."""

    registry: Registry
    faults: list[Fault] = field(default_factory=list)
    skew: float = 0.0
    delay: float = 0.01

    async def read_lease(self, namespace: str, name: str) -> Manifest | None:
        return await self._through(self.registry.read)

    async def write_lease(self, manifest: Manifest) -> Manifest | None:
        return await self._through(lambda: self.registry.write(self._with_wrong_times(manifest)))

    async def _through(self, call: Callable[[], Manifest | None]) -> Manifest | None:
        fault = next((fault for fault in self.faults if fault.active()), None)
        if fault is not None and fault.kind == "refused":
            raise Transient("connection refused")
        # The server goes on with what it began, whether or not anybody still waits for it.
        at_work = asyncio.ensure_future(self._served(call, fault))
        at_work.add_done_callback(lambda task: task.exception())
        answer = await asyncio.shield(at_work)
        if fault is not None and fault.kind == "unanswered":
            await asyncio.sleep(3600)
        return answer

    async def _served(self, call: Callable[[], Manifest | None], fault: Fault | None) -> Manifest | None:
        late = fault.begin + fault.seconds - now() if fault is not None and fault.kind == "late" else 0.0
        await asyncio.sleep(self.delay + late)
        answer = call()
        await asyncio.sleep(self.delay)
        return answer

    def _with_wrong_times(self, manifest: Manifest) -> Manifest:
        wrong = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.skew)
        stamp = wrong.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {**manifest, "spec": {**manifest["spec"], "renewTime": stamp, "acquireTime": stamp}}


class Replica:
    """An operator that does nothing but note when it works and for how long its writes may be under way."""

    def __init__(self, name: str, line: Line) -> None:
        self.name = name
        self.line = line
        self.lease = Lease(line, "mmm-system", "mmm-operator", name, clock=asyncio.get_running_loop().time)
        self.terms: list[list[float]] = []
        self.last_write_ends = -1.0
        self.task = asyncio.ensure_future(self.lease.lead(self.work))

    async def work(self) -> None:
        self.terms.append([now()])
        try:
            await asyncio.sleep(1e9)
        finally:
            self.terms[-1].append(now())

    @property
    def works(self) -> bool:
        return bool(self.terms) and len(self.terms[-1]) == 1

    async def end(self) -> None:
        """As after SIGTERM."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def die(self) -> None:
        """As after SIGKILL: nothing is said any more."""
        self.line.faults.insert(0, Fault(0.0, 1e9, "refused"))
        await self.end()


async def watch(replicas: Iterable[Replica], seconds: float) -> None:
    """Let time pass; fails when a replica may write while a write of another may still be under way."""
    end = now() + seconds
    while now() < end:
        for replica in replicas:
            if replica.lease.held():
                assert replica.lease.time_left() > 0
                late = [other.name for other in replicas if other is not replica and other.last_write_ends > now()]
                assert not late, f"{replica.name} holds the Lease at {now():.2f} s while {late} may still write"
                replica.last_write_ends = now() + replica.lease.time_left()
        await asyncio.sleep(STEP)


async def within(condition: Callable[[], bool], replicas: Iterable[Replica], seconds: float) -> float:
    """How long it took until that was true."""
    begin = now()
    while not condition():
        assert now() - begin < seconds, f"not true within {seconds:g} s"
        await watch(replicas, STEP)
    return now() - begin


async def contest(
    scenario: Callable[[Registry, list[Replica]], Awaitable[None]], replicas: int = 3, skew: float = 0.0
) -> Registry:
    """Play a scenario in which the first replica leads already; the skews of the others' clocks are spread."""
    registry = Registry()
    skews = (0.0, skew, -skew)
    running: list[Replica] = []
    for number in range(replicas):
        running.append(Replica("abc"[number], Line(registry, skew=skews[number])))
        await within(lambda: running[0].works, running, 2)
    try:
        await scenario(registry, running)
    finally:
        for replica in running:
            await replica.end()
    return registry
