"""What is done to the operator, one thing after the other, and what is measured of it."""

import json
import time
from collections.abc import Sequence

from dev.bench.operator.audit import CREATED, READS, Request, by_kind, needless, refusals
from dev.bench.operator.load import MERGE, Call, Connection, creation, write_all
from dev.bench.operator.measured import Idle, Measured, Restart
from dev.bench.operator.objects import NAMESPACE, PROBED, PROBES, build_children, build_objects
from dev.bench.operator.stage import Stage, open_stage, wait_for
from dev.bench.operator.usage import Busy, cpu_seconds, memory_mebibytes
from mmm_operator import names
from mmm_operator.kube.resources import path
from tests.integration.operator_process import Operator

EDITS = 30
# Longer than the autoscaler's period: after so long without a write nothing will come by itself any more.
QUIET_SECONDS = 25.0
QUIET_AFTER_RESTART_SECONDS = 6.0
# Nobody's promise, only the end of patience: a bench that hangs says so.
LIMIT_SECONDS, LIMIT_SECONDS_PER_OBJECT = 120.0, 0.5


def limit(objects: int) -> float:
    """How long anything may take with so many objects."""
    return LIMIT_SECONDS + LIMIT_SECONDS_PER_OBJECT * objects


def measure_floor(objects: int) -> tuple[float, int]:
    """Seconds in which a plain client writes all children itself on a fresh control plane, and how many there are."""
    with open_stage() as stage:
        models = [build_children(raw, stage.digest) for raw in build_objects(objects, stage.bucket.storage)]
        calls: list[Call] = [creation(child) for children in models for child in children]
        began = time.monotonic()
        write_all(stage.kubeconfig, calls)
        seconds = time.monotonic() - began
    print(f"    floor: {len(calls)} children in {seconds:.1f} s", flush=True)
    return seconds, len(models[0])


def create(stage: Stage, operator: Operator, found: Measured) -> None:
    """All objects at once, until the operator is done with them."""
    pid, trail = pid_of(operator), stage.trail
    found.memory_empty = memory_mebibytes(pid)
    trail.catch_up()
    before, spent = len(trail.requests), cpu_seconds(pid)
    calls = [creation(raw) for raw in build_objects(found.objects, stage.bucket.storage)]
    write_all(stage.kubeconfig, calls)
    wanted = found.objects * found.children
    _wait_for_children(stage, before, wanted, found.objects)
    settle(stage, found.objects, QUIET_SECONDS)
    requests = trail.requests[before:]
    began = min(request.began for request in requests if request.target == names.PLURAL and request.code == CREATED)
    ours = [request for request in requests if request.ours and request.code < 400]
    found.children_seconds = max(request.ended for request in _children(ours)) - began
    found.last_write_seconds = max(request.ended for request in ours if request.write) - began
    found.writes, found.reads = _split(ours)
    found.refused = refusals(requests)
    found.needless, found.probes = by_kind(needless(requests)), min(PROBES, found.objects)
    found.cpu_seconds = cpu_seconds(pid) - spent
    found.memory_settled, found.memory_peak = memory_mebibytes(pid), memory_mebibytes(pid, "VmHWM")


def react(stage: Stage, operator: Operator, found: Measured) -> None:
    """One edit of a spec at a time: how long until the operator's first write of a child."""
    trail, connection = stage.trail, Connection(stage.kubeconfig)
    trail.catch_up()
    before = len(trail.requests)
    edited = [(found.objects - 1 - number) % found.objects for number in range(min(EDITS, max(1, found.objects // 2)))]
    for number in edited:
        where = path(names.KIND, namespace_of(number), f"clip-{number}")
        connection.call("PATCH", where, json.dumps({"spec": {"replicas": 2}}).encode(), MERGE)
        time.sleep(0.5)
    connection.close()
    settle(stage, found.objects, QUIET_AFTER_RESTART_SECONDS)
    requests = trail.requests[before:]
    found.edits = len(edited)
    found.reactions = [seconds for number in edited if (seconds := _reaction(requests, number)) is not None]
    found.edit_writes = by_kind(request for request in requests if request.ours and request.write)


def restart(stage: Stage, operator: Operator, found: Measured) -> None:
    """SIGTERM, start, and nothing changed in between."""
    operator.end()
    stage.trail.catch_up()
    before = len(stage.trail.requests)
    operator.start()
    pid = pid_of(operator)
    with Busy(pid) as busy:
        wait_for("readiness", limit(found.objects), lambda: operator.status_of("/readyz") == 200)
        quiet = lambda: busy.quiet_for > QUIET_AFTER_RESTART_SECONDS  # noqa: E731
        wait_for("restart", limit(found.objects), quiet, lambda: f"{cpu_seconds(pid):.1f} s of CPU")
    stage.trail.catch_up()
    writes, reads = _split([request for request in stage.trail.requests[before:] if request.ours])
    found.restart = Restart(busy.settled_after, cpu_seconds(pid), memory_mebibytes(pid), writes, reads)


def idle(stage: Stage, operator: Operator, found: Measured, seconds: float) -> None:
    """Nothing, for so long."""
    if seconds <= 0:
        return
    pid, trail = pid_of(operator), stage.trail
    trail.catch_up()
    before, began, spent = len(trail.requests), time.monotonic(), cpu_seconds(pid)
    while (passed := time.monotonic() - began) < seconds:
        time.sleep(min(60.0, seconds - passed))
        print(f"    idle: {time.monotonic() - began:.0f} of {seconds:g} s", flush=True)
    trail.catch_up()
    passed = time.monotonic() - began
    writes, reads = _split([request for request in trail.requests[before:] if request.ours])
    found.idle = Idle(passed, 100 * (cpu_seconds(pid) - spent) / passed, writes, reads)


def settle(stage: Stage, objects: int, quiet: float) -> None:
    """Returns once the operator has written nothing for so many seconds."""
    trail, last = stage.trail, time.time()

    def rests() -> bool:
        nonlocal last
        writes = [request.ended for request in trail.catch_up() if request.ours and request.write]
        last = max([last, *writes])
        return time.time() - last > quiet

    wait_for("rest", limit(objects) + quiet, rests, lambda: f"last write {time.time() - last:.0f} s ago")


def namespace_of(number: int) -> str:
    """Where the object of this number is."""
    return PROBED if number < PROBES else NAMESPACE


def _wait_for_children(stage: Stage, before: int, wanted: int, objects: int) -> None:
    made = 0

    def there() -> bool:
        nonlocal made
        made += sum(1 for _ in _children(stage.trail.catch_up()))
        return made >= wanted

    wait_for("children", limit(objects), there, lambda: f"{made} of {wanted}")


def _children(requests: Sequence[Request]) -> list[Request]:
    """The creations of children: not of events, which are no children."""
    return [r for r in requests if r.ours and r.write and r.code == CREATED and r.target != "events"]


def _split(requests: Sequence[Request]) -> tuple[dict[str, int], dict[str, int]]:
    return by_kind(r for r in requests if r.write), by_kind(r for r in requests if r.verb in READS)


def _reaction(requests: Sequence[Request], number: int) -> float | None:
    mine = f"{namespace_of(number)}/clip-{number}"
    edits = [r.began for r in requests if (r.name, r.target, r.verb, r.ours) == (mine, names.PLURAL, "patch", False)]
    writes = (r for r in requests if r.ours and r.write and r.name.startswith(mine) and r.target != "events")
    children = [r.began for r in writes if names.PLURAL not in r.target and r.name.removeprefix(mine)[:1] in ("", "-")]
    own = [began for began in children if edits and began >= edits[0]]
    return min(own) - edits[0] if own else None


def pid_of(operator: Operator) -> int:
    """The running operator's process."""
    assert operator.process is not None
    return operator.process.pid
