"""A contender that runs: started, asked until it answers, watched, stopped."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from dev.bench.server.bodies import request
from dev.bench.server.contenders import Contender, Serving
from dev.bench.server.environments import ROOT, Unavailable
from dev.bench.server.load import Job, Loaded

START_SECONDS, STOP_SECONDS = 60.0, 5.0
LAST_LINES = 3
WARM_SHARE = 0.3


@dataclass
class Running:
    """One started contender; `first_answer` is the seconds from its start to its first right answer."""

    contender: Contender
    serving: Serving
    process: subprocess.Popen[bytes]
    directory: Path
    first_answer: float = 0.0

    def ask(self, picture: bytes) -> list[float]:
        """The probabilities of one picture's labels; OSError or http.client.HTTPException if none come."""
        head, _, body = request(self.contender.path, self.contender.encode, picture).partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        connection = http.client.HTTPConnection("127.0.0.1", self.serving.port, timeout=START_SECONDS)
        try:
            connection.request("POST", self.contender.path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise http.client.HTTPException(f"{answer.status}: {text[:200].decode(errors='replace')}")
        try:
            return self.contender.scores(json.loads(text))
        except (LookupError, TypeError, ValueError):
            raise http.client.HTTPException("an answer of another shape") from None

    def write_requests(self, size: str, pictures: Sequence[bytes]) -> list[str]:
        """The files of whole requests, one for each picture."""
        names = []
        for number, picture in enumerate(pictures):
            path = self.directory / f"{size.replace(' ', '')}-{number}.http"
            path.write_bytes(request(self.contender.path, self.contender.encode, picture))
            names.append(str(path))
        return names

    def load(self, requests: list[str], seconds: float, *, clients: int = 1, rate: float = 0.0) -> Loaded:
        """What the load generator saw after it had warmed the server up."""
        job = json.dumps(asdict(Job(self.serving.port, requests, seconds, clients, rate, WARM_SHARE * seconds)))
        command = [sys.executable, "-m", "dev.bench.server.load"]
        ended = subprocess.run(command, input=job, capture_output=True, text=True, check=True, cwd=ROOT)
        found = json.loads(ended.stdout)
        by_status = {int(status): latencies for status, latencies in found["latencies"].items()}
        return Loaded(**{**found, "latencies": by_status})

    def processes(self) -> list[int]:
        """Itself and all that descend from it, and what else runs in its session."""
        return family(
            self.process.pid, {pid: _parents(pid) for pid in map(int, filter(str.isdigit, os.listdir("/proc")))}
        )

    def memory(self) -> float:
        """MiB of all its processes; what they share counts once."""
        return sum(_proportional_kibibytes(pid) for pid in self.processes()) / 1024

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        ticks = 0
        for pid in self.processes():
            words = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
            ticks += int(words[11]) + int(words[12]) if words else 0
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def start(
    contender: Contender, serving: Serving, directory: Path, picture: bytes, launcher: Sequence[str] = ()
) -> Iterator[Running]:
    """The contender once it has answered; Unavailable, with the last words of its log, if it never does."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [str(contender.python()), *(launcher or contender.arguments(serving))]
    log_path = directory / "log"
    began = time.monotonic()
    with log_path.open("wb") as log:
        process = _spawn(command, contender.environment(serving), log)
        running = Running(contender, serving, process, directory)
        try:
            _wait(running, picture, log_path)
            running.first_answer = time.monotonic() - began
            yield running
        finally:
            _stop(running)


def _spawn(command: list[str], environment: dict[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    # A session of its own: some contenders are many processes, and all of them must go.
    return subprocess.Popen(
        command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True
    )


def _wait(running: Running, picture: bytes, log: Path) -> None:
    last = ""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and running.process.poll() is None:
        try:
            running.ask(picture)
            return
        except (OSError, http.client.HTTPException) as trouble:
            last = str(trouble)
        time.sleep(0.05)
    words = " | ".join(_read(log).strip().splitlines()[-LAST_LINES:])
    raise Unavailable(f"no answer ({last or 'it ended'}); its log ends: {words[-600:]}")


def _stop(running: Running) -> None:
    everyone = running.processes()
    for number, patience in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
        for pid in everyone:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and (everyone := [pid for pid in everyone if _parents(pid)]):
            running.process.poll()  # reaps it
            time.sleep(0.02)
        if not everyone:
            break
    running.process.wait()


def family(head: int, parents: dict[int, tuple[int, int] | None]) -> list[int]:
    """The processes that descend from `head` or are in its session, given (parent, session) of every process."""
    found = {pid for pid, known in parents.items() if known and head in (pid, known[1])}
    while more := {pid for pid, known in parents.items() if known and known[0] in found} - found:
        found |= more
    return sorted(found)


def _parents(pid: int) -> tuple[int, int] | None:
    """(parent, session) of a process that still runs; None for zombies, for which nobody need wait."""
    words = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return (int(words[1]), int(words[3])) if words and words[0] != "Z" else None


def _proportional_kibibytes(pid: int) -> int:
    for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
