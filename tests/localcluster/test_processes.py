"""Programs are started once, found again, and only ever ended when they are what was started."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.localcluster import processes
from dev.localcluster.deadline import Deadline
from dev.localcluster.processes import Program, Recorded


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """A program that does nothing for a long time."""
    program = Program("idle", ["sleep", "600"], tmp_path / "run", tmp_path / "logs")
    yield program
    processes.stop(program.record)


def started(program: Program) -> Recorded:
    program.ensure()
    recorded = processes.read(program.record)
    assert recorded is not None
    # The record is the launcher's; a moment later the same process is the program.
    assert Deadline.met(lambda: b"sleep" in Path(f"/proc/{recorded.pid}/cmdline").read_bytes().split(b"\0")[0], 5)
    return recorded


def rewrite(record: Path, *, boot: str | None = None, later: int = 0) -> None:
    """Makes a record speak of another process that had the same number."""
    old_boot, stat, line = record.read_text().split("\n", 2)
    before, _, after = stat.rpartition(")")
    fields = after.split()
    fields[19] = str(int(fields[19]) + later)
    record.write_text(f"{boot or old_boot}\n{before}) {' '.join(fields)}\n{line}")


def test_program_that_runs_is_left_alone(program: Program) -> None:
    first = started(program)
    assert program.ensure() is False
    assert processes.read(program.record) == first


def test_program_runs_apart_from_the_one_who_started_it(program: Program) -> None:
    pid = started(program).pid
    assert os.getsid(pid) == pid
    assert int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) != os.getpid()


def test_program_whose_command_changed_is_restarted(program: Program) -> None:
    first = started(program)
    changed = Program(program.name, ["sleep", "601"], program.run, program.logs)
    assert changed.ensure() is True
    assert not first.alive()


def test_program_whose_environment_changed_is_restarted_and_the_record_keeps_no_secret(program: Program) -> None:
    first = started(program)
    changed = Program(program.name, program.command, program.run, program.logs, {"PASSWORD": "hunter2"})
    assert changed.ensure() is True
    assert not first.alive()
    assert "hunter2" not in program.record.read_text()


def test_killed_program_is_started_again(program: Program) -> None:
    first = started(program)
    os.kill(first.pid, 9)
    assert Deadline.met(lambda: not first.alive(), 5)
    assert program.ensure() is True
    assert processes.living(program.run).keys() == {"idle"}


def test_stopped_program_is_gone_and_so_is_its_record(program: Program) -> None:
    recorded = started(program)
    processes.stop(program.record)
    assert not recorded.alive()
    assert not program.record.exists()


def test_program_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    command = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 600; done"]
    deaf = Program("deaf", command, tmp_path / "run", tmp_path / "logs")
    deaf.ensure()
    assert Deadline.met(lambda: "deaf" in deaf.tail(), 5)
    recorded = processes.read(deaf.record)
    assert recorded is not None
    processes.stop(deaf.record, grace=0.1)
    assert not recorded.alive()


@pytest.mark.parametrize("change", [{"later": 1}, {"boot": "00000000-0000-0000-0000-000000000000"}])
def test_stranger_that_got_the_number_of_a_dead_program_is_not_touched(
    program: Program, change: dict[str, int | str]
) -> None:
    stranger = started(program)
    true_record = program.record.read_text()
    rewrite(program.record, **change)  # type: ignore[arg-type]
    assert processes.living(program.run) == {}
    processes.stop(program.record)
    assert stranger.alive()
    program.record.write_text(true_record)  # so that the fixture ends it


def test_program_that_cannot_be_executed_is_not_running_and_says_why(tmp_path: Path) -> None:
    program = Program("nothing", [tmp_path / "nothing"], tmp_path / "run", tmp_path / "logs")
    program.ensure()
    assert Deadline.met(lambda: not program.runs(), 5)
    assert "not found" in program.tail()


def test_damaged_record_speaks_of_no_process(tmp_path: Path) -> None:
    (tmp_path / "idle").write_text("12")
    assert processes.read(tmp_path / "idle") is None
    processes.stop(tmp_path / "idle")
    assert not (tmp_path / "idle").exists()
