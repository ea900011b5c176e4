"""Replicas are stopped, woken, killed and ended at random moments while they are busy: never do two of them write.

Each round disturbs the one that leads. It is stopped for less than the renew deadline, for longer than the Lease lasts,
or for something in between; so it wakes up as the leader, as a former one, or at the very moment of the handover.
"""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from dev.localcluster import LocalCluster
from mmm_operator.snapshot import Manifest
from tests.chaos.report import again, record
from tests.chaos.size import SEED, chosen, sized
from tests.integration.bucket import Bucket
from tests.integration.objects import Objects, eventually, new_namespace
from tests.integration.operator_process import Operator
from tests.integration.replicas import Ledger, Replicas, edits, intrusions, send

pytestmark = pytest.mark.integration

ROUNDS = int(os.environ.get("CHAOS_ROUNDS") or sized(2, 100))
# Groups of replicas of their own, so that a hundred rounds take minutes.
GROUPS = sized(2, 4)
REPLICAS = sized(2, 3)
FAILOVER_SECONDS = 20.0
STOPS = (signal.SIGSTOP, signal.SIGSTOP, signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM)


@dataclass
class Group:
    """Some replicas that share a Lease and a namespace, and everything that they wrote there."""

    replicas: Replicas
    objects: Objects
    ledger: Ledger
    rng: random.Random
    failures: list[str] = field(default_factory=list)

    def play(self, plan: str, number: int) -> None:
        """One round; its failure is recorded and stops nothing."""
        if not chosen(plan):
            return
        wish, begun = STOPS[number % len(STOPS)], time.time()
        try:
            self.disturb(wish)
            self.work_goes_on()
            what = "; ".join(text for text in intrusions(self.ledger.writes()) if _moment(text) >= begun)
        except (AssertionError, httpx.HTTPError) as error:
            what = f"{wish.name}: {error}"[:500]
        record("failover", plan, what)
        if what:
            self.failures.append(f"{plan} ({wish.name}): {what}; {again('failover', plan)}")

    def disturb(self, wish: signal.Signals) -> None:
        """Do this to the leader at some moment."""
        self.replicas.start()
        time.sleep(self.rng.uniform(0.0, 5.0))  # anywhere between two renewals
        leader = self.replicas.leader()
        if wish != signal.SIGSTOP:
            assert leader.end(wish) == (0 if wish == signal.SIGTERM else -wish)
            return
        send(leader, wish)
        time.sleep(self.rng.uniform(5.0, 22.0))
        send(leader, signal.SIGCONT)

    def work_goes_on(self) -> None:
        """Somebody writes again, soon, and all that run are alive."""
        moment = time.time()
        eventually(lambda: any(not write.lease for write in self.ledger.writes(moment)), FAILOVER_SECONDS)
        time.sleep(1.0)  # what one that woke up would still write, it would write now
        for member in self.replicas.members:
            if member.process is not None and member.process.poll() is None:
                eventually(lambda member=member: member.status_of("/readyz") == 200)  # type: ignore[misc]


def _moment(text: str) -> float:
    return float(text.rpartition(" ")[2])


@contextmanager
def group(cluster: LocalCluster, objects: Objects, folder: Path, number: int) -> Iterator[Group]:
    """A group whose replicas run as long as the block, in a namespace of their own."""
    environment = {
        "MMM_OPERATOR_NAMESPACES": objects.namespace,
        "MMM_OPERATOR_LEASE_NAMESPACE": objects.namespace,
    }
    members = [
        Operator(cluster.kubeconfig, folder / f"{number}-{member}.log", environment) for member in range(REPLICAS)
    ]
    replicas, rng = Replicas(members), random.Random(f"{SEED}-{number}")
    try:
        with Ledger(cluster.audit_log, objects.namespace) as ledger:
            yield Group(replicas, objects, ledger, rng)
    finally:
        replicas.end()


def test_no_two_replicas_write_whatever_stops_them(
    cluster: LocalCluster,
    api: httpx.Client,
    bucket: Bucket,
    make_mmm: Callable[..., Manifest],
    tmp_path: Path,
) -> None:
    bucket.publish("failover", "1")
    mmm = make_mmm(model={"uri": "s3://models/failover"})

    def play(number: int) -> list[str]:
        with new_namespace(api, bucket.credentials) as objects, group(cluster, objects, tmp_path, number) as members:
            objects.create(mmm)
            members.replicas.start()
            with edits(objects, pause=0.25):
                for turn in range(number, ROUNDS, GROUPS):
                    members.play(f"handover-{turn}", turn)
            complaints = [str(line) for line in members.replicas.complaints()]
            return members.failures + complaints

    with ThreadPoolExecutor(GROUPS) as pool:
        failures = [text for found in pool.map(play, range(GROUPS)) for text in found]
    assert not failures, "\n".join(failures)
