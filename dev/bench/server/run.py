"""The rounds: in each of them every contender is started, checked, loaded and stopped, the others next to it."""

import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from dev.bench.report import resident_megabytes
from dev.bench.server import bodies
from dev.bench.server.contenders import CONTENDERS, OURS, Contender, Serving
from dev.bench.server.environments import ROOT, Unavailable, shared_versions
from dev.bench.server.load import Loaded
from dev.bench.server.measured import Excess, Measured, Start, Turn, excess_of, turn_of
from dev.bench.server.models import model_directory
from dev.bench.server.serving import Running, start
from dev.bench.server.stages import stage_row
from dev.bench.server.workloads import CAPACITY_CLIENTS, EXCESS, USUAL, Group
from dev.localcluster.layout import free_ports
from mmm_server.cpus import usable_cpus

CHECKED = 4  # pictures of each size


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    seconds: float
    rounds: int
    contenders: Sequence[str]
    groups: Sequence[Group]
    stages: bool = True


@dataclass
class Material:
    """What the turns of one group share: the model, the pictures, and the right answers to the first few of them."""

    group: Group
    model: Path
    directory: Path
    pictures: dict[str, list[bytes]]
    truth: dict[str, list[list[float]]] = field(default_factory=dict)

    def serving(self) -> Serving:
        """For one start, on ports that are free now."""
        threads = self.group.threads or usable_cpus()
        return Serving(self.model, self.group.dtype, threads, *free_ports(2))


def measure_all(plan: Plan, found: Measured, done: Callable[[], object]) -> None:
    """Everything of the plan; `done` is called after each group, so that a later trouble costs nothing of it."""
    for name in plan.contenders:
        _look_up(CONTENDERS[name], found)
    for group in plan.groups:
        with _material(group) as material:
            for number in range(plan.rounds):
                _measure_round(plan, material, number, found)
            if plan.stages and OURS in plan.contenders and OURS not in found.absent:
                found.stages += _stages(plan, material)
        done()


def _look_up(contender: Contender, found: Measured) -> None:
    """The contender's environment, made if need be, and what it computes with."""
    try:
        found.versions[contender.name] = shared_versions(contender.python())
    except Unavailable as reason:
        _leave_out(found, contender, str(reason))


def _measure_round(plan: Plan, material: Material, number: int, found: Measured) -> None:
    _measure_raw(plan, material, found)
    present = [name for name in plan.contenders if name not in found.absent]
    for name in turned(present, number):
        try:
            _measure_one(plan, material, CONTENDERS[name], found)
        except Unavailable as reason:
            _leave_out(found, CONTENDERS[name], str(reason))


def turned(names: Sequence[str], by: int) -> list[str]:
    """The names, each first once in so many rounds as there are names."""
    first = by % max(1, len(names))
    return [*names[first:], *names[:first]]


def _leave_out(found: Measured, contender: Contender, reason: str) -> None:
    found.absent[contender.name] = reason
    print(f"  {contender.title} is left out: {reason}", flush=True)


@contextmanager
def _material(group: Group) -> Iterator[Material]:
    print(f"\n  {group.name}: {group.model}, {group.dtype}", flush=True)
    sizes = dict.fromkeys([workload.size for workload in group.workloads] or ["224 px"])
    with model_directory(group.model) as model, TemporaryDirectory(prefix="bench-requests-") as directory:
        yield Material(group, model, Path(directory), {size: bodies.pictures(size) for size in sizes})


def _measure_raw(plan: Plan, material: Material, found: Measured) -> None:
    """Torch alone, in a process of its own; the first time also the right answers."""
    environment = CONTENDERS["naive"].environment(material.serving())
    for size, pictures in material.pictures.items():
        names = []
        for number, picture in enumerate(pictures[:CHECKED]):
            path = material.directory / f"{size.replace(' ', '')}-{number}.jpg"
            path.write_bytes(picture)
            names.append(str(path))
        main_part = size == next(iter(material.pictures))
        seconds = str(max(0.5, plan.seconds / 2) if main_part else 0.1)
        command = [sys.executable, "-m", "dev.bench.server.programs.raw", seconds, ",".join(bodies.LABELS), *names]
        ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise SystemExit(f"torch alone failed, so nothing can be compared: {ended.stderr[-600:]}")
        outcome = json.loads(ended.stdout.splitlines()[-1])
        material.truth[size] = outcome.pop("scores")
        if main_part:
            found.raw.setdefault(material.group.name, []).append(outcome)
            print(f"    {'raw torch':14} {'batch 8':20} {outcome['forward, batch 8']:8.1f} pictures/s", flush=True)


def _measure_one(plan: Plan, material: Material, contender: Contender, found: Measured) -> None:
    group = material.group
    picture = next(iter(material.pictures.values()))[0]
    directory = material.directory / contender.name
    try:
        with start(contender, material.serving(), directory, picture) as running:
            _check(running, material)
            if group.overload:
                excess = _overload(running, material, group.stretch * plan.seconds)
                found.excesses.setdefault(contender.name, []).append(excess)
                _say_excess(contender, excess)
            for workload in group.workloads:
                requests = running.write_requests(workload.size, material.pictures[workload.size])
                turn = _closed_loop(running, requests, group.stretch * plan.seconds, workload.clients)
                found.turns.setdefault((group.name, workload.name, contender.name), []).append(turn)
                _say(contender, workload.name, turn)
            resident = resident_megabytes(running.process.pid)
            started = Start(running.first_answer, running.memory(), resident)
            found.starts.setdefault((group.name, contender.name), []).append(started)
    except subprocess.CalledProcessError as broken:
        last = (broken.stderr or "").strip().splitlines()[-1:]
        raise Unavailable(f"it gave up under load: {' '.join(last)}") from None
    except (OSError, http.client.HTTPException) as broken:
        raise Unavailable(f"it does not answer any more: {broken}") from None


def _check(running: Running, material: Material) -> None:
    """Unavailable unless it says what torch says."""
    for size, pictures in material.pictures.items():
        for picture, truth in zip(pictures, material.truth[size], strict=False):
            said = running.ask(picture)
            apart = max(abs(one - other) for one, other in zip(said, truth, strict=True))
            if apart > material.group.tolerance:
                raise Unavailable(f"its answers differ from torch's by {apart:.3f} on a picture of {size}")


def _closed_loop(running: Running, requests: list[str], seconds: float, clients: int) -> Turn:
    before = running.cpu_seconds()
    loaded = running.load(requests, seconds, clients=clients)
    return turn_of(loaded, running.cpu_seconds() - before)


def _overload(running: Running, material: Material, seconds: float) -> Excess:
    requests = running.write_requests("224 px", material.pictures["224 px"])
    capacity: Loaded = running.load(requests, seconds, clients=CAPACITY_CLIENTS)
    usual = running.load(requests, seconds, rate=USUAL * capacity.rate)
    return excess_of(capacity, usual, running.load(requests, seconds, rate=EXCESS * capacity.rate))


def _stages(plan: Plan, material: Material) -> list[list[str]]:
    """Where our own time goes, workload by workload, with threads that carry names."""
    ours, rows = CONTENDERS[OURS], []
    picture = next(iter(material.pictures.values()))[0]
    serving = material.serving()
    launcher = ["-m", "dev.bench.server.programs.named_threads", *ours.arguments(serving)[1:]]
    with start(ours, serving, material.directory / "stages", picture, launcher) as running:
        for workload in material.group.workloads:
            requests = running.write_requests(workload.size, material.pictures[workload.size])
            title = f"{material.group.name}: {workload.name}"
            load = partial(running.load, requests, plan.seconds, clients=workload.clients)
            rows.append(stage_row(running, title, load))
        if material.group.overload:
            rows += _stages_of_overload(running, material, material.group.stretch * plan.seconds)
    return rows


def _stages_of_overload(running: Running, material: Material, seconds: float) -> list[list[str]]:
    """The same at the capacity, below and far above it: what refusals cost is shared out among the answers."""
    requests = running.write_requests("224 px", material.pictures["224 px"])
    capacity = running.load(requests, seconds, clients=CAPACITY_CLIENTS).rate
    loads = {
        f"overload: {CAPACITY_CLIENTS} clients": partial(running.load, requests, seconds, clients=CAPACITY_CLIENTS),
        f"overload: {USUAL:g} × capacity": partial(running.load, requests, seconds, rate=USUAL * capacity),
        f"overload: {EXCESS:g} × capacity": partial(running.load, requests, seconds, rate=EXCESS * capacity),
    }
    return [stage_row(running, title, load) for title, load in loads.items()]


def _say(contender: Contender, name: str, turn: Turn) -> None:
    print(
        f"    {contender.title:14} {name:20} {turn.rate:8.1f} req/s, p50 {turn.p50:7.1f} ms, p99 {turn.p99:7.1f} ms, "
        f"CPU {turn.cpu:6.2f} ms, refused {turn.shed}, failed {turn.failed}",
        flush=True,
    )


def _say_excess(contender: Contender, excess: Excess) -> None:
    print(
        f"    {contender.title:14} capacity {excess.capacity:.1f}/s, at {EXCESS:g} × goodput {excess.goodput:.1f}/s, "
        f"p99 {excess.accepted_p99:.0f} ms (at {USUAL:g} ×: {excess.usual_p99:.0f}), refused {excess.shed} in p99 "
        f"{excess.shed_p99:.1f} ms, failed {excess.failed}",
        flush=True,
    )
