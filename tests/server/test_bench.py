"""The bench against the real server with a fake model: started, loaded, counted by stage and thread, stopped."""

import dataclasses
import os
from functools import partial
from pathlib import Path

import pytest

from dev.bench.server.bodies import LABELS, pictures
from dev.bench.server.contenders import CONTENDERS, OURS, Serving
from dev.bench.server.environments import Unavailable
from dev.bench.server.measured import turn_of
from dev.bench.server.serving import start
from dev.bench.server.stages import HEADING, stage_row
from dev.localcluster.layout import free_ports
from tests.server.models import write_fake

PICTURES = pictures("224 px")[:2]


def test_our_server_is_started_loaded_counted_and_stopped(tmp_path: Path) -> None:
    ours = CONTENDERS[OURS]
    serving = Serving(write_fake(tmp_path / "model"), "float32", 1, *free_ports(2))
    launcher = ["-m", "dev.bench.server.programs.named_threads", *ours.arguments(serving)[1:]]
    with start(ours, serving, tmp_path / "run", PICTURES[0], launcher) as running:
        scores = running.ask(PICTURES[1])
        assert len(scores) == len(LABELS)
        assert sum(scores) == pytest.approx(1.0, abs=1e-3)
        requests = running.write_requests("224 px", PICTURES)
        turn = turn_of(running.load(requests, 2.0, clients=4), running.cpu_seconds())
        assert (turn.rate > 10, turn.failed, 0 < turn.p50 <= turn.p99) == (True, 0, True)
        row = dict(
            zip(HEADING, stage_row(running, "fake", partial(running.load, requests, 2.0, clients=4)), strict=True)
        )
        assert float(row["decode ms"]) > 0
        assert [name for name in ("event loop", "decode") if name not in row["CPU ms by thread"]] == []
        assert running.memory() > 10
        everyone = running.processes()
    assert everyone
    assert [pid for pid in everyone if Path(f"/proc/{pid}").exists() and os.getsid(pid) == running.process.pid] == []


def test_a_server_that_cannot_start_says_why_it_takes_no_part(tmp_path: Path) -> None:
    serving = Serving(tmp_path / "nothing", "float32", 1, *free_ports(2))
    broken = dataclasses.replace(CONTENDERS[OURS], title="broken")
    with (
        pytest.raises(Unavailable, match=r"its log ends: .*has not been fetched"),
        start(broken, serving, tmp_path / "run", PICTURES[0]),
    ):
        raise AssertionError("it started")
