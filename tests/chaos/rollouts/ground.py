"""A Service with servers and clients, and what came of a plan that was played on it."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mmm_operator.settings import Settings
from tests.chaos.report import REPORT
from tests.chaos.rollouts.clients import Load
from tests.chaos.rollouts.fleet import Fleet
from tests.chaos.rollouts.service import Node, Service
from tests.chaos.size import FULL, SEED, sized

OPERATOR = Settings(server_image="none")
SPEED = sized(10, 1)  # how many times faster than in a cluster everything about a drain is
PROPAGATION_SECONDS = 15.0 / SPEED
DRAIN_DELAY_SECONDS = OPERATOR.drain_delay_seconds / SPEED
NODES = 3
CLIENTS = 50
WORK_SECONDS = 0.01  # of one request: what a server can do is known, however busy the machine is
SHARE = 0.8
SETTLED_SECONDS, ANSWERED_SECONDS = 120.0, 1800.0
FIGURES = REPORT.with_name("requests.json")


@dataclass
class Ground:
    """A Service under load."""

    fleet: Fleet
    load: Load
    dice: random.Random
    began: float

    async def settled(self) -> None:
        """Returns when every node knows what is true."""
        await until(self.fleet.service.settled, SETTLED_SECONDS)

    async def answered(self, requests: int) -> None:
        """Returns when so many requests were answered."""
        await until(lambda: sum(self.load.score.answered.values()) >= requests, ANSWERED_SECONDS)


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Returns when the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def ground(
    folder: Path,
    plan: str,
    *,
    servers: int,
    least: int,
    propagation: float = PROPAGATION_SECONDS,
    drain: float = DRAIN_DELAY_SECONDS,
    ready: bool = True,
) -> AsyncIterator[Ground]:
    """So many servers under the load that `least` of them can nearly bear; at the end everything is over."""
    dice = random.Random(f"{SEED} {plan}")
    environment = {
        "MMM_DRAIN_DELAY_SECONDS": str(drain),
        "MMM_GRACE_SECONDS": str(OPERATOR.grace_seconds),
        "MMM_READY_WHILE_DRAINING": str(ready).lower(),
        "MMM_MAX_BATCH_SIZE": "1",
        "MMM_TEXT_CACHE_ITEMS": "0",
        "MMM_MAX_QUEUE_SECONDS": "30",
    }
    nodes = [Node(lambda: dice.uniform(0, propagation), random.Random(dice.random())) for _ in range(NODES)]
    async with Service(nodes).running() as service:
        fleet = Fleet(service, folder, environment, WORK_SECONDS, SPEED)
        try:
            await asyncio.gather(*(fleet.add() for _ in range(servers)))
            load = Load([node.port for node in nodes], SHARE * least / WORK_SECONDS, CLIENTS, dice)
            found = Ground(fleet, load, dice, time.monotonic())
            await found.settled()
            running = asyncio.create_task(load.run())
            try:
                yield found
                await fleet.ended()
                await found.settled()
            finally:
                load.over.set()
                await running
        finally:
            fleet.close()


def verdict(plan: str, ground: Ground) -> str:
    """What was wrong, or nothing; the figures are kept for the documents."""
    score, fleet = ground.load.score, ground.fleet
    figures = {
        "answered": sum(score.answered.values()),
        "lost": len(score.lost),
        "crossed": sum(score.crossed.values()),
        "ended": len(fleet.codes),
        "seconds": round(time.monotonic() - ground.began),
        "speed": SPEED,
    }
    if FULL:  # the documents quote whole runs only
        note(plan, figures)
    problems = score.lost[:5] + [f"exit code {code}" for code in fleet.codes if code]
    lost = [f"{len(score.lost)} of {figures['answered']} requests lost"] if score.lost else []
    return "; ".join([*lost, *problems])


def note(plan: str, figures: dict[str, int]) -> None:
    """Keeps the figures of one plan beside those of the others."""
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text(json.dumps({**known, plan: figures}, indent=2, sort_keys=True) + "\n")
