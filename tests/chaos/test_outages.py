"""API server and etcd are killed and come back: within a minute all is well, and no child was made twice."""

import asyncio
import os
import select
import signal

import pytest

from dev.localcluster import LocalCluster, processes
from tests.chaos.grounds import OpenStage
from tests.chaos.report import again, record
from tests.chaos.size import chosen, sized
from tests.chaos.stage import Stage

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

ROUNDS = sized(2, 25)
CONVERGED_SECONDS = 60.0
DEAD_SECONDS = 30.0
PROGRAMS = ("kube-apiserver", "etcd")


async def test_after_every_outage_the_world_is_as_wanted(cluster: LocalCluster, open_stage: OpenStage) -> None:
    failures = []
    async with open_stage() as stage:
        await stage.operator.start()
        await stage.create(replicas=2)
        await stage.settled()
        for number in range(ROUNDS):
            program = PROGRAMS[number % len(PROGRAMS)]
            plan = f"{program}-{number}"
            if not chosen(plan):
                continue
            what = await outage(cluster, stage, program, number)
            record("outage", plan, what)
            if what:
                failures.append(f"{what}\n{again('outage', plan)}")
    assert not failures, "\n".join(failures)


async def outage(cluster: LocalCluster, stage: Stage, program: str, number: int) -> str:
    """Kill one program, repair the control plane, and change things; what is wrong in the end, or nothing."""
    counts = stage.world.counts(stage.namespace, stage.model)
    kill(cluster, program)
    await asyncio.sleep(number % 3)  # it is found dead at once, or after a while
    await asyncio.to_thread(cluster.up, node=False)
    port = 8000 + number
    try:
        await stage.edit(replicas=2 + number % 2, service={"port": port})
        await stage.world.api.delete(stage.ref("PodDisruptionBudget"))
        await stage.until(lambda: as_wanted(stage, port), "everything is handled", CONVERGED_SECONDS)
        await stage.quiet()
    except AssertionError as error:
        return str(error)
    return "; ".join([*extra(counts, stage.world.counts(stage.namespace, stage.model)), *unwell(stage)])


def kill(cluster: LocalCluster, program: str) -> None:
    """SIGKILL to one program of the control plane; it is dead afterwards, which on a busy machine takes a while."""
    recorded = processes.read(cluster.layout.run / program)
    assert recorded is not None
    descriptor = os.pidfd_open(recorded.pid)
    try:
        os.kill(recorded.pid, signal.SIGKILL)
        ended, _, _ = select.select([descriptor], [], [], DEAD_SECONDS)
        assert ended, f"{program} survives SIGKILL"
    finally:
        os.close(descriptor)


def as_wanted(stage: Stage, port: int) -> bool:
    """Whether every change has had its effect."""
    ports = [item["spec"]["ports"][0]["port"] for item in stage.children("Service")]
    return ports == [port] and len(stage.children("PodDisruptionBudget")) == 1 and stage.serves("1")


def extra(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Children that were made or deleted for no reason."""
    wanted = {"PodDisruptionBudget created": 1, "PodDisruptionBudget deleted": 1}
    changes = {what: after[what] - before.get(what, 0) for what in after if not what.startswith("Pod ")}
    return [f"{what}: {count} times" for what, count in changes.items() if count != wanted.get(what, 0)]


def unwell(stage: Stage) -> list[str]:
    """What the process has to be blamed for."""
    gone = [] if stage.operator.running and stage.operator.starts == 1 else ["the operator has ended"]
    return gone + [str(line)[:500] for line in stage.operator.complaints()]
