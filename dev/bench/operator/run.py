"""The phases in their order, for each number of objects."""

import time
from collections.abc import Callable, Sequence

from dev.bench.operator.measured import Measured
from dev.bench.operator.phases import create, idle, measure_floor, react, restart
from dev.bench.operator.readiness import measure_ready
from dev.bench.operator.stage import open_stage


def measure_all(
    sizes: Sequence[int], *, idle_seconds: float, nodes: bool, done: Callable[[Measured], None] = lambda _: None
) -> list[Measured]:
    """One outcome for each number of objects; `done` hears of each as soon as it is there."""
    outcomes = []
    for objects in sizes:
        outcomes.append(_measure(objects, idle_seconds, nodes))
        done(outcomes[-1])
    return outcomes


def _measure(objects: int, idle_seconds: float, nodes: bool) -> Measured:
    found = Measured(objects)
    say = _teller(objects)
    say("floor")
    seconds, found.children = measure_floor(objects)
    found.floor_seconds.append(seconds)
    with open_stage() as stage, stage.operator() as operator:
        say("creation")
        create(stage, operator, found)
        say("reaction")
        react(stage, operator, found)
        say("restart")
        restart(stage, operator, found)
        if idle_seconds > 0:
            say(f"idle, {idle_seconds:g} s")
            idle(stage, operator, found, idle_seconds)
    if objects >= 100:
        say("floor again")
        found.floor_seconds.append(measure_floor(objects)[0])
    if nodes:
        say("simulated nodes")
        found.ready = measure_ready(objects)
    return found


def _teller(objects: int) -> Callable[[str], None]:
    began = time.monotonic()
    return lambda phase: print(f"  N={objects}, after {time.monotonic() - began:.0f} s: {phase}", flush=True)
