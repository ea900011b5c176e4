"""Operator processes for plans: started warm, killed at a word, and asked for their last words."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from dev.localcluster.layout import free_ports
from mmm_operator.snapshot import Manifest
from tests.integration.operator_process import SERVER_IMAGE

COLD = bool(os.environ.get("CHAOS_COLD"))
STOP_SECONDS = 10.0
ROOT = Path(__file__).resolve().parents[2]


class Nursery:
    """The process that forks operators; see `warm`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["Nursery"]:
        """Ready to fork while the block runs."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.warm"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        try:
            yield cls(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    async def order(self, order: Mapping[str, Any]) -> int:
        """The answer to one order. It is waited for even if nobody wants it any more: the next one comes after it."""
        return await asyncio.shield(asyncio.ensure_future(self._exchange(order)))

    async def _exchange(self, order: Mapping[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            await self._process.stdin.drain()
            return int(json.loads(await self._process.stdout.readline()))


class OperatorProcess:
    """One operator after the other, with one configuration and one log."""

    def __init__(self, nursery: Nursery, kubeconfig: Path, log: Path, settings: Mapping[str, str]) -> None:
        self.log = log
        self.port = free_ports(1)[0]
        self.starts = 0
        self.started = 0.0  # on the loop's clock
        self.files: int | None = None
        self.settings = {
            "KUBECONFIG": str(kubeconfig),
            "MMM_OPERATOR_SERVER_IMAGE": SERVER_IMAGE,
            "MMM_OPERATOR_HTTP_PORT": str(self.port),
            **settings,
        }
        self._nursery = nursery
        self.pid: int | None = None
        self._cold: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where its health and metrics are."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether there is a process that has not ended, dead children included that nobody has asked after."""
        if self.pid is None:
            return False
        with suppress(FileNotFoundError, ProcessLookupError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        return False

    async def start(self) -> None:
        """Start a new process; the old one must have ended."""
        assert self.pid is None
        environment = {**os.environ, **self.settings}
        self.starts += 1
        self.started = asyncio.get_running_loop().time()
        if COLD:
            with self.log.open("ab") as output:
                self._cold = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "mmm_operator", "run"), env=environment, stdout=output, stderr=output
                )
            self.pid = self._cold.pid
            return
        order = {"environment": environment, "log": str(self.log)}
        self.pid = await self._nursery.order(order if self.files is None else {**order, "files": self.files})

    def kill(self) -> None:
        """SIGKILL, now; `ended` collects it."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)

    async def ended(self) -> int:
        """The exit code, once the process has ended."""
        assert self.pid is not None
        pid, self.pid = self.pid, None
        if self._cold is not None:
            return await self._cold.wait()
        await _end_of(pid)
        return await self._nursery.order({"reap": pid})

    async def stop(self) -> int:
        """The exit code after SIGTERM; of one that does not end, after SIGKILL."""
        assert self.pid is not None
        os.kill(self.pid, signal.SIGTERM)
        pid = self.pid
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await self.ended()
        except TimeoutError:
            self.pid = pid
            self.kill()
            return await self.ended()

    def complaints(self) -> list[Manifest]:
        """What the log has that it should not: errors of our own, tracebacks, and lines that are no JSON."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        parsed = [json.loads(line) if line.startswith("{") else {"level": "RAW", "message": line} for line in lines]
        return [line for line in parsed if line["level"] in ("ERROR", "CRITICAL", "RAW") or "exception" in line]


async def _end_of(pid: int) -> None:
    loop, handle, end = asyncio.get_running_loop(), os.pidfd_open(pid), asyncio.Event()
    loop.add_reader(handle, end.set)
    try:
        await end.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
