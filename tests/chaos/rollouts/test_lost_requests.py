"""No request is lost when servers end: rollouts, scale-downs, deleted pods, behind a Service that learns of it late.

In the full size the Service is as late as in a large cluster (up to 15 s) and servers drain for as long as the operator
tells them; in the slice everything about a drain is ten times faster.
"""

import asyncio
from pathlib import Path

from tests.chaos.report import again, record
from tests.chaos.rollouts.ground import DRAIN_DELAY_SECONDS, PROPAGATION_SECONDS, Ground, ground, verdict
from tests.chaos.size import FULL, only, sized

ROLLOUTS, SCALE_DOWNS, DELETIONS, SIGNALS = sized(1, 20), sized(4, 50), sized(2, 20), sized(2, 20)
REPLICAS, LARGE, STARTED_AT_ONCE = 2, sized(4, 6), 2
REQUESTS = sized(300, 26_000)  # of each plan


def judge(plan: str, played: Ground) -> None:
    what = verdict(plan, played)
    record("requests", plan, what)
    assert not what, f"{what}\n{again('requests', plan)}"


@only("rollouts")
async def test_rollouts_lose_no_request(tmp_path: Path) -> None:
    async with ground(tmp_path, "rollouts", servers=REPLICAS, least=REPLICAS) as played:
        for _ in range(ROLLOUTS):
            for old in played.fleet.staying:
                await played.fleet.add()
                played.fleet.delete(old)
        await played.answered(REQUESTS)
    judge("rollouts", played)


@only("scale-downs")
async def test_scale_downs_lose_no_request(tmp_path: Path) -> None:
    async with ground(tmp_path, "scale-downs", servers=REPLICAS, least=REPLICAS) as played:
        left = SCALE_DOWNS
        while left:
            while len(played.fleet.staying) < min(LARGE, REPLICAS + left):
                await asyncio.gather(*(played.fleet.add() for _ in range(STARTED_AT_ONCE)))
            for member in played.dice.sample(played.fleet.staying, len(played.fleet.staying) - REPLICAS):
                played.fleet.delete(member)
                await asyncio.sleep(played.dice.uniform(0, PROPAGATION_SECONDS / 10))
                left -= 1
        await played.answered(REQUESTS)
    judge("scale-downs", played)


@only("deletions")
async def test_deleted_pods_lose_no_request(tmp_path: Path) -> None:
    """Pods go before their successors come, as with an eviction."""
    async with ground(tmp_path, "deletions", servers=REPLICAS + 1, least=REPLICAS) as played:
        for _ in range(DELETIONS):
            played.fleet.delete(played.dice.choice(played.fleet.staying))
            await played.fleet.add()
        await played.answered(REQUESTS)
    judge("deletions", played)


@only("alone")
async def test_a_lone_pod_serves_until_its_successor_does(tmp_path: Path) -> None:
    late = PROPAGATION_SECONDS / 5
    async with ground(tmp_path, "alone", servers=1, least=1, propagation=late, drain=late + sized(7, 12)) as played:
        for _ in range(sized(1, 10)):
            played.fleet.delete(*played.fleet.staying)
            await played.fleet.add()
            # Of several that terminate, a Service falls back to any, also to one that is at its end.
            await played.fleet.ended()
            await played.settled()
        await played.answered(REQUESTS // 4)
    judge("alone", played)


@only("signals")
async def test_servers_that_are_told_to_end_lose_no_request_where_only_their_probe_tells_it(tmp_path: Path) -> None:
    # Probes cost real time, also where everything else is ten times faster: the drain has to hold them as well.
    late = PROPAGATION_SECONDS if FULL else 0.8
    async with ground(
        tmp_path, "signals", servers=REPLICAS + 1, least=REPLICAS, propagation=late, ready=False
    ) as played:
        for _ in range(SIGNALS):
            played.fleet.signal(played.dice.choice(played.fleet.staying))
            await played.fleet.add()
        await played.answered(REQUESTS)
    judge("signals", played)


async def test_a_drain_that_is_shorter_than_the_propagation_loses_requests(tmp_path: Path) -> None:
    """What the drain delay is for; and that the plans above would notice."""
    late = sized(2, 15)
    async with ground(tmp_path, "too-short", servers=2, least=2, propagation=late, drain=0.2) as played:
        for _ in range(sized(1, 2)):
            await played.fleet.add()
            played.fleet.delete(played.fleet.staying[0])
    assert DRAIN_DELAY_SECONDS > PROPAGATION_SECONDS
    assert played.load.score.lost
