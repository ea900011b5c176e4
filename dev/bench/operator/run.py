"""The phases in their order, for each number of objects."""

import time
from collections.abc import Callable, Sequence

from dev.bench.operator.measured import Measured
from dev.bench.operator.phases import create, idle, measure_floor, react, restart
from dev.bench.operator.readiness import measure_ready
from dev.bench.operator.stage import Patience, open_stage


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
    attempt = _attempter(found)

    def add_floor() -> None:
        seconds, found.children = measure_floor(objects)
        found.floor_seconds.append(seconds)

    def add_nodes() -> None:
        measure_ready(found, idle_seconds)

    attempt("floor", add_floor)
    with open_stage() as stage, stage.operator() as operator:
        if attempt("creation", lambda: create(stage, operator, found)):
            attempt("reaction", lambda: react(stage, operator, found))
            attempt("restart", lambda: restart(stage, operator, found))
            if not nodes:
                attempt(f"idle, {idle_seconds:g} s", lambda: idle(stage, operator, found, idle_seconds))
    if objects >= 100:
        attempt("floor again", add_floor)
    if nodes:
        attempt("simulated nodes", add_nodes)
    return found


def _attempter(found: Measured) -> Callable[[str, Callable[[], None]], bool]:
    """Runs a phase and tells whether it came to its end; one that does not leaves the others their figures."""
    began = time.monotonic()

    def attempt(name: str, phase: Callable[[], None]) -> bool:
        print(f"  N={found.objects}, after {time.monotonic() - began:.0f} s: {name}", flush=True)
        try:
            phase()
        except Patience as error:
            print(f"  {error}", flush=True)
            found.unfinished.append(name)
        return name not in found.unfinished

    return attempt
