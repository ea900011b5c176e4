"""Real server processes behind a Service: started, probed as kubelet does, and ended as pods end."""

import asyncio
import signal
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.chaos.rollouts.service import Service
from tests.server.harness import ServerProcess
from tests.server.models import write_fake

# As the operator writes them into pods.
PROBE_SECONDS, PROBE_FAILURES = 2.0, 2
END_SECONDS = 90.0


@dataclass
class Member:
    """One server, and what was decided about it."""

    server: ServerProcess
    port: int
    leaving: bool = False
    deleted: bool = False
    probing: asyncio.Task[None] | None = None


@dataclass
class Fleet:
    """The servers of one Service."""

    service: Service
    directory: Path
    environment: dict[str, str]
    work_seconds: float
    speed: float = 1.0  # how many times faster than in a cluster probes are made
    members: list[Member] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    count: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)
    _ends: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def staying(self) -> list[Member]:
        """Those that nobody ended, oldest first."""
        return [member for member in self.members if not member.leaving]

    async def add(self) -> Member:
        """One more server, once it is ready and the Service was told so."""
        self.count += 1
        folder = self.directory / f"server-{self.count}"
        model = write_fake(folder / "model", delay_seconds=self.work_seconds)
        server = self._stack.enter_context(ServerProcess(folder, self.environment, ["--model", str(model)]))
        await asyncio.to_thread(server.wait_ready)
        member = Member(server, server.ports()[0])
        self.members.append(member)
        self.service.set(member.port, serving=True, terminating=False)
        member.probing = asyncio.create_task(self._probe(member))
        return member

    def delete(self, member: Member) -> None:
        """Ends a server as the deletion of its pod does: the signal and the change of its endpoint at once."""
        member.deleted = True
        self.service.set(member.port, serving=True, terminating=True)
        self.signal(member)

    def signal(self, member: Member) -> None:
        """SIGTERM alone, of which the Service learns by the probe."""
        member.leaving = True
        member.server.signal(signal.SIGTERM)
        self._ends.append(asyncio.create_task(self._collect(member)))

    async def ended(self) -> list[int]:
        """The exit codes of all that were ended so far, once they are gone."""
        await asyncio.gather(*self._ends)
        return self.codes

    async def _collect(self, member: Member) -> None:
        self.codes.append(await asyncio.to_thread(member.server.wait_exit, END_SECONDS))
        if member.probing is not None:
            member.probing.cancel()
        self.members.remove(member)
        self.service.remove(member.port)

    async def _probe(self, member: Member) -> None:
        failures = 0
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{member.port}", timeout=5) as client:
            while True:
                await asyncio.sleep(PROBE_SECONDS / self.speed)
                failures = 0 if await ready(client) else failures + 1
                self.service.set(member.port, serving=failures < PROBE_FAILURES, terminating=member.deleted)

    def close(self) -> None:
        """Ends what is left."""
        for member in self.members:
            if member.probing is not None:
                member.probing.cancel()
        self._stack.close()


async def ready(client: httpx.AsyncClient) -> bool:
    """Whether the server says that it is."""
    try:
        return (await client.get("/readyz", headers={"connection": "close"})).status_code == 200
    except httpx.TransportError:
        return False
