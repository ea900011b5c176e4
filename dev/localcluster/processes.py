"""Long-lived programs that outlive the command that started them, each known by a record on disk.

A record holds the boot's id and the kernel's line about the process, start time included: together they name one
process for ever, while a bare number may belong to a stranger tomorrow. The child writes its record itself, before it
becomes the program, so however its starter is killed there is never a process that no record knows.
"""

import hashlib
import json
import os
import select
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dev.localcluster.deadline import Deadline
from dev.tools.packages import SYSTEM_PATH

PATIENCE = 5.0
"""Seconds for which a running program may be silent before it counts as hung."""
GRACE, SHORT_GRACE = 10.0, 1.0
"""Seconds for which a program may take leave; the short ones are for one that was silent for so long already."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_LAUNCH = """
read -r boot < /proc/sys/kernel/random/boot_id
read -r stat < "/proc/$$/stat"
printf '%s\\n%s\\n%s\\n' "$boot" "$stat" "$2" > "$1.new" && mv "$1.new" "$1" || exit 1
shift 2
exec "$@"
"""


class ProcessError(RuntimeError):
    """A program could not be started, ended early or never became ready; the message ends with its last words."""


@dataclass(frozen=True)
class Program:
    """A program that should run, and where its record and its output go."""

    name: str
    command: Sequence[str | Path]
    run: Path
    logs: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    answers: Callable[[], bool] = field(default=lambda: True, compare=False)
    """Whether the running program does its work; must itself come to an end when it does not."""

    @property
    def record(self) -> Path:
        """The file that says which process this program is."""
        return self.run / self.name

    @property
    def log(self) -> Path:
        """The file that takes the program's output."""
        return self.logs / f"{self.name}.log"

    @property
    def line(self) -> str:
        """The command as one line of text, which tells whether a running process is still what is wanted."""
        environment = json.dumps(dict(self.environment), sort_keys=True)  # as a digest, for it may hold secrets
        return f"{shlex.join(map(str, self.command))} # {hashlib.sha256(environment.encode()).hexdigest()[:12]}"

    def runs(self) -> bool:
        """Whether the process lives and was started with this very command."""
        recorded = read(self.record)
        return recorded is not None and recorded.alive() and recorded.line == self.line

    def up(self, seconds: float = 60) -> None:
        """Returns when the program runs and answers; one that runs but is silent is restarted.

        Raises ProcessError when it ends instead, or does not answer in time.
        """
        if not self.ensure() and not Deadline.met(self.answers, PATIENCE):
            self.restart(grace=SHORT_GRACE)
        if not Deadline.met(lambda: self.answers() or not self.runs(), seconds) or not self.runs():
            raise ProcessError(f"{self.name} did not come up, see {self.log}:\n{self.tail()}")

    def healthy(self) -> bool:
        """Whether the program runs as wanted and answers."""
        return self.runs() and self.answers()

    def ensure(self) -> bool:
        """True if the program had to be started (or restarted, because its command is another now)."""
        if self.runs():
            return False
        self.restart()
        return True

    def restart(self, grace: float = GRACE) -> None:
        """Ends the process, if there is one, and starts the program anew."""
        stop(self.record, grace)
        self._start()

    def tail(self, lines: int = 15) -> str:
        """The program's last words."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no output)"

    def _start(self) -> None:
        self.run.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        launcher = ["setsid", "--fork", "sh", "-c", _LAUNCH, "sh", str(self.record), self.line, *map(str, self.command)]
        with self.log.open("ab") as output:
            subprocess.run(
                launcher,
                env={**os.environ, "PATH": SYSTEM_PATH, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=True,
            )
        if not Deadline.met(lambda: read(self.record) is not None, 10):
            raise ProcessError(f"{self.name} could not be started:\n{self.tail()}")


@dataclass(frozen=True)
class Recorded:
    """One process, past or present."""

    boot: str
    pid: int
    started: int
    line: str = ""

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self.boot == current_boot() and _start_time(self.pid) == self.started

    def end(self, grace: float) -> None:
        """Returns when the process is gone: asked first, killed after `grace` seconds."""
        if not self.alive():
            return
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if not self.alive():  # the number may have changed hands before the handle was taken, not after
                return
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            signal.pidfd_send_signal(handle, signal.SIGCONT)  # a stopped process takes no other signal
            if not _gone(handle, grace):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                _gone(handle, 10)
        except ProcessLookupError:
            return
        finally:
            os.close(handle)


def current_boot() -> str:
    """The identity of this boot of the machine."""
    return BOOT_ID.read_text().strip()


def read(record: Path) -> Recorded | None:
    """The process of a record; None if there is no record, or one that makes no sense."""
    try:
        boot, stat, line = record.read_text().split("\n", 2)
        pid, started = _parse(stat)
    except (FileNotFoundError, ValueError, IndexError):
        return None
    return Recorded(boot, pid, started, line.removesuffix("\n"))


def stop(record: Path, grace: float = GRACE) -> None:
    """Ends the process of a record, if it still is that process, and removes the record."""
    recorded = read(record)
    if recorded is not None:
        recorded.end(grace)
    record.unlink(missing_ok=True)


def living(run: Path) -> dict[str, Recorded]:
    """The processes of a folder of records that still run, by name."""
    records = {path.name: read(path) for path in sorted(run.glob("*")) if path.suffix != ".new"}
    return {name: recorded for name, recorded in records.items() if recorded is not None and recorded.alive()}


def identify(pid: int) -> Recorded | None:
    """The process that has this number now; None if there is none."""
    started = _start_time(pid)
    return None if started is None else Recorded(current_boot(), pid, started)


def _gone(handle: int, seconds: float) -> bool:
    readable, _, _ = select.select([handle], [], [], seconds)
    return bool(readable)


def _parse(stat: str) -> tuple[int, int]:
    # The name stands in parentheses and may itself hold spaces and parentheses: fields are counted from the last one.
    before, _, after = stat.rpartition(")")
    return int(before.split(" ", 1)[0]), int(after.split()[19])


def _start_time(pid: int) -> int | None:
    """When the process started; None for one that is gone, or dead and merely not yet collected by its parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if stat.rpartition(")")[2].split()[0] in "ZX":
        return None
    return _parse(stat)[1]
