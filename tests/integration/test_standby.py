"""Two replicas: when one goes, in whatever way, the other goes on, and never do both write."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from dev.localcluster import LocalCluster
from mmm_operator.snapshot import Manifest
from tests.integration.bucket import Bucket
from tests.integration.objects import Objects, eventually, new_namespace
from tests.integration.operator_process import ACCOUNT, NAMESPACE, Operator
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
LEASES = ("--verb=create,get,update", "--resource=leases.coordination.k8s.io")


@dataclass
class Handover:
    """Two operators with one Lease, and what they do when it changes who works, under a stream of edits."""

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


@pytest.fixture(scope="module")
def handovers(
    cluster: LocalCluster,
    account: Path,
    api: httpx.Client,
    bucket: Bucket,
    make_mmm: Callable[..., Manifest],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[], Handover]]:
    """Makes two operators that share a Lease, in a namespace of their own; at the end nothing may have gone wrong."""
    bucket.publish("standby", "1")
    with ExitStack() as made:

        def make() -> Handover:
            objects = made.enter_context(new_namespace(api, bucket.credentials))
            here = objects.namespace
            cluster.kubectl("create", "role", "leases", *LEASES, "-n", here)
            subject = f"--serviceaccount={NAMESPACE}:{ACCOUNT}"
            cluster.kubectl("create", "rolebinding", "leases", "--role=leases", subject, "-n", here)
            objects.create(make_mmm(model={"uri": "s3://models/standby"}))
            folder = tmp_path_factory.mktemp("replicas")
            environment = {"MMM_OPERATOR_LEASE_NAMESPACE": here, "MMM_OPERATOR_NAMESPACES": here}
            replicas = Replicas([Operator(account, folder / f"{name}.log", environment) for name in "ab"])
            made.callback(end_well, replicas)
            return Handover(replicas, objects, made.enter_context(Ledger(cluster.audit_log, here)))

        yield make


def end_well(replicas: Replicas) -> None:
    codes = replicas.end()
    assert set(codes) == {0}
    assert replicas.complaints() == []


@pytest.fixture(scope="module")
def handover(handovers: Callable[[], Handover]) -> Handover:
    """The one that most tests share."""
    return handovers()


def probe(operator: Operator, path: str) -> tuple[int, str]:
    answer = operator.answer(path)
    return answer.status_code, answer.text


def test_a_standby_is_ready_and_alive_and_says_that_it_stands_by(handover: Handover) -> None:
    handover.replicas.start()
    leader = handover.replicas.leader()
    (standby,) = (member for member in handover.replicas.members if member is not leader)
    assert probe(leader, "/readyz") == (200, "ok\n")
    assert probe(standby, "/readyz") == (200, "standby\n")
    assert probe(standby, "/healthz") == (200, "ok\n")
    assert standby.metric("mmm_operator_leader") == 0


def test_after_sigterm_the_standby_works_within_two_seconds(handover: Handover) -> None:
    with handover.under_edits() as leader:
        assert leader.end() == 0
        assert handover.seconds_after(time.time()) <= RELEASE_SECONDS


def test_a_crashed_and_a_stopped_leader_are_followed_within_twenty_seconds_and_the_stopped_one_wakes_up_harmless(
    handover: Handover, handovers: Callable[[], Handover]
) -> None:
    """Both at the same time, since nothing can be done about the wait."""
    another = handovers()
    with handover.under_edits() as crashing, another.under_edits() as sleeping:
        crashed, stopped = send(crashing, signal.SIGKILL), send(sleeping, signal.SIGSTOP)
        assert handover.seconds_after(crashed) <= FAILOVER_SECONDS
        assert another.seconds_after(stopped) <= FAILOVER_SECONDS
        send(sleeping, signal.SIGCONT)
        eventually(lambda: probe(sleeping, "/readyz") == (200, "standby\n"))
        time.sleep(1.0)  # what it would still write, it would write now
    assert another.agent != last_agent(another.writes())
