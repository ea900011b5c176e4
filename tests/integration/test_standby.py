"""Two replicas: when one goes, in whatever way, the other goes on, and never do both write."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from dev.localcluster import LocalCluster
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import Bucket
from tests.integration.objects import Objects, eventually
from tests.integration.operator_process import NAMESPACE, Operator
from tests.integration.replicas import (
    Ledger,
    Replicas,
    Write,
    edits,
    first_write_of_another,
    intrusions,
    last_agent,
    send,
)

pytestmark = pytest.mark.integration

RELEASE_SECONDS = 2.0
FAILOVER_SECONDS = 20.0
STOPPED_SECONDS = 20.0


@pytest.fixture(scope="module", autouse=True)
def digest(bucket: Bucket) -> str:
    return bucket.publish("standby", "1")


@pytest.fixture(scope="module")
def replicas(account: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """Two operators with one Lease."""
    folder = tmp_path_factory.mktemp("replicas")
    environment = {"MMM_OPERATOR_LEASE_NAMESPACE": NAMESPACE}
    replicas = Replicas([Operator(account, folder / f"{name}.log", environment) for name in "ab"])
    try:
        yield replicas
    finally:
        codes = replicas.end()
    assert codes == [0, 0]
    assert replicas.complaints() == []


@dataclass
class Handover:
    """One change of who works, under a stream of edits."""

    replicas: Replicas
    objects: Objects
    ledger: Ledger
    begun: float = 0.0
    agent: str = ""

    @contextmanager
    def under_edits(self) -> Iterator[Operator]:
        """The replica that leads, busy; afterwards no write of one may lie within the term of the other."""
        self.replicas.start()
        leader, self.begun = self.replicas.leader(), time.time()
        with edits(self.objects):
            # So long that the Lease was renewed, for that tells in the audit log who holds it.
            eventually(lambda: {write.lease for write in self.writes()} == {True, False})
            self.agent = last_agent(self.writes())
            yield leader
        assert intrusions(self.writes()) == []

    def writes(self) -> Sequence[Write]:
        return self.ledger.writes(self.begun)

    def seconds_after(self, moment: float) -> float:
        """How long nobody wrote after that."""
        first = eventually(lambda: first_write_of_another(self.writes(), self.agent), FAILOVER_SECONDS + 5)
        return first - moment


@pytest.fixture
def handover(
    cluster: LocalCluster, replicas: Replicas, objects: Objects, make_mmm: Callable[..., Manifest]
) -> Iterator[Handover]:
    objects.create(make_mmm(model={"uri": "s3://models/standby"}))
    with Ledger(cluster.audit_log, objects.namespace, NAMESPACE) as ledger:
        yield Handover(replicas, objects, ledger)


def probe(operator: Operator, path: str) -> tuple[int, str]:
    answer = httpx.get(f"http://127.0.0.1:{operator.port}{path}", timeout=5)
    return answer.status_code, answer.text


def test_a_standby_is_ready_and_alive_and_says_that_it_stands_by(replicas: Replicas) -> None:
    replicas.start()
    leader = replicas.leader()
    (standby,) = (member for member in replicas.members if member is not leader)
    assert probe(leader, "/readyz") == (200, "ok\n")
    assert probe(standby, "/readyz") == (200, "standby\n")
    assert probe(standby, "/healthz") == (200, "ok\n")
    assert standby.metric("mmm_operator_leader") == 0


def test_after_sigterm_the_standby_works_within_two_seconds(handover: Handover) -> None:
    with handover.under_edits() as leader:
        assert leader.end() == 0
        assert handover.seconds_after(time.time()) <= RELEASE_SECONDS


def test_after_a_crash_the_standby_works_within_twenty_seconds(handover: Handover) -> None:
    with handover.under_edits() as leader:
        assert handover.seconds_after(send(leader, signal.SIGKILL)) <= FAILOVER_SECONDS


def test_a_leader_that_was_stopped_writes_nothing_when_it_wakes_up(handover: Handover) -> None:
    with handover.under_edits() as leader:
        stopped = send(leader, signal.SIGSTOP)
        seconds = handover.seconds_after(stopped)
        time.sleep(max(0.0, stopped + STOPPED_SECONDS - time.time()))  # the length of the stop is the point
        send(leader, signal.SIGCONT)
        eventually(lambda: probe(leader, "/readyz") == (200, "standby\n"))
        time.sleep(1.0)  # what it would still write, it would write now
    assert seconds <= FAILOVER_SECONDS
    assert handover.agent != last_agent(handover.writes())
