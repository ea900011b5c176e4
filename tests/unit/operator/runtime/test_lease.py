"""The Lease: one works, the others stand by, and nothing makes two of them write."""

import asyncio
import logging
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm_operator.runtime.lease import DEADLINE_SECONDS, LEASE_SECONDS, Lease, awake_and_asleep, new_identity
from mmm_operator.snapshot import Manifest
from tests.unit.operator.runtime.elections import Fault, Line, Registry, Replica, contest, now, watch, within
from tests.unit.operator.runtime.virtual_time import run

MICRO_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def test_of_three_replicas_one_works_and_it_is_always_the_same() -> None:
    async def scenario(registry: Registry, replicas: list[Replica]) -> None:
        await watch(replicas, 600)
        assert [len(replica.terms) for replica in replicas] == [1, 0, 0]

    registry = run(contest(scenario))
    assert registry.version > 600 / 6, "the Lease is renewed every five seconds"


def test_the_record_says_who_holds_it_since_when_and_how_often_it_changed_hands() -> None:
    async def scenario(registry: Registry, replicas: list[Replica]) -> None:
        first = dict(registry.spec)
        assert (first["holderIdentity"], first["leaseDurationSeconds"], first["leaseTransitions"]) == ("a", 15, 0)
        assert re.fullmatch(MICRO_TIME, first["acquireTime"])
        assert re.fullmatch(MICRO_TIME, first["renewTime"])
        await replicas[0].end()
        await within(lambda: any(replica.works for replica in replicas), replicas, 2)
        assert registry.spec["holderIdentity"] in ("b", "c")
        assert registry.spec["leaseTransitions"] == 1

    run(contest(scenario))


def test_a_released_lease_is_taken_within_two_seconds() -> None:
    async def scenario(registry: Registry, replicas: list[Replica]) -> None:
        await watch(replicas, 60)
        await replicas[0].end()
        assert registry.spec["holderIdentity"] in ("", "b", "c")
        ended = now()
        # The one that ended says so itself: nothing of it may still be under way.
        replicas[0].last_write_ends = ended
        assert await within(lambda: any(replica.works for replica in replicas[1:]), replicas, 2) <= 2

    run(contest(scenario))


@pytest.mark.parametrize("skew", [0.0, 300.0, -300.0])
def test_a_dead_holder_is_replaced_within_twenty_seconds_whatever_the_clocks_show(skew: float) -> None:
    async def scenario(registry: Registry, replicas: list[Replica]) -> None:
        await watch(replicas, 33)
        await replicas[0].die()
        seconds = await within(lambda: any(replica.works for replica in replicas[1:]), replicas, 20)
        assert seconds > LEASE_SECONDS - DEADLINE_SECONDS

    run(contest(scenario, skew=skew))


def test_a_short_outage_of_the_api_server_changes_nothing() -> None:
    async def scenario(registry: Registry, replicas: list[Replica]) -> None:
        for replica in replicas:
            replica.line.faults.append(Fault(now() + 4, 4, "refused"))
        await watch(replicas, 60)
        assert [len(replica.terms) for replica in replicas] == [1, 0, 0]

    run(contest(scenario))


def test_in_a_long_outage_nobody_works_and_afterwards_the_same_process_does(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(registry: Registry, replicas: list[Replica]) -> None:
        (replica,) = replicas
        outage = now() + 20
        replica.line.faults.append(Fault(outage, 600, "refused"))
        await watch(replicas, 1000)
        (_, stopped), (begun,) = replica.terms
        assert outage + 4 < stopped <= outage + DEADLINE_SECONDS
        assert begun < outage + 602

    run(contest(scenario, replicas=1))
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "lost the Lease, all work stopped: not renewed for 10 s; connection refused"


def test_a_holder_whose_calls_hang_stops_before_another_begins() -> None:
    async def scenario(registry: Registry, replicas: list[Replica]) -> None:
        replicas[0].line.faults.append(Fault(now() + 3, 60, "late"))
        await watch(replicas, 300)
        (begin, end), *_ = replicas[0].terms
        others = [term[0] for replica in replicas[1:] for term in replica.terms]
        assert begin < end < min(others)

    run(contest(scenario))


def test_a_renewal_counts_from_when_it_was_asked_for() -> None:
    async def scenario(registry: Registry, replicas: list[Replica]) -> None:
        (replica,) = replicas
        replica.line.delay = 1.0
        await watch(replicas, 9)
        replica.line.faults.append(Fault(now(), 1e6, "refused"))
        renewed_at = now() - (LEASE_SECONDS - replica.lease.time_left())
        await within(lambda: not replica.lease.held(), replicas, 12)
        assert now() - renewed_at == pytest.approx(DEADLINE_SECONDS, abs=0.2)
        assert replica.lease.time_left() == 0

    run(contest(scenario, replicas=1))


def test_a_renewal_that_came_through_without_an_answer_is_no_reason_to_stop() -> None:
    async def scenario(registry: Registry, replicas: list[Replica]) -> None:
        replicas[0].line.faults.append(Fault(now() + 4, 2, "unanswered"))
        await watch(replicas, 60)
        assert [len(replica.terms) for replica in replicas] == [1, 0, 0]

    run(contest(scenario))


def test_somebody_who_annotates_the_lease_changes_nothing() -> None:
    async def scenario(registry: Registry, replicas: list[Replica]) -> None:
        for _ in range(10):
            await watch(replicas, 3)
            lease = registry.read()
            assert lease is not None
            lease["metadata"]["annotations"] = {"seen-at": str(now())}
            registry.put(lease)
        await watch(replicas, 60)
        assert [len(replica.terms) for replica in replicas] == [1, 0, 0]
        assert registry.lease is not None
        assert "annotations" in registry.lease["metadata"], "and stays as annotated"

    run(contest(scenario))


def test_a_deleted_lease_stays_with_its_holder() -> None:
    async def scenario(registry: Registry, replicas: list[Replica]) -> None:
        await watch(replicas, 12)
        registry.lease = None
        await watch(replicas, 60)
        assert [len(replica.terms) for replica in replicas] == [1, 0, 0]
        assert registry.spec["holderIdentity"] == "a"

    run(contest(scenario))


def test_a_deleted_lease_of_a_dead_holder_is_free_when_it_runs_out() -> None:
    async def scenario(registry: Registry, replicas: list[Replica]) -> None:
        await watch(replicas, 12)
        await replicas[0].die()
        registry.lease = None
        await within(lambda: any(replica.works for replica in replicas[1:]), replicas, 20)

    run(contest(scenario))


def test_who_is_told_that_another_holds_the_lease_stops_at_once() -> None:
    async def scenario(registry: Registry, replicas: list[Replica]) -> None:
        (replica,) = replicas
        lease = registry.read()
        assert lease is not None
        lease["spec"]["holderIdentity"] = "somebody"
        registry.put(lease)
        await within(lambda: not replica.works, replicas, 5.5)
        assert not replica.lease.held()
        assert not await within(lambda: replica.works, replicas, 20) < LEASE_SECONDS - 1

    run(contest(scenario, replicas=1))


def test_a_lease_without_a_word_in_it_is_free() -> None:
    async def scenario() -> None:
        registry = Registry()
        registry.put({"metadata": {"name": "mmm-operator", "namespace": "mmm-system"}})
        replica = Replica("a", Line(registry))
        await within(lambda: replica.works, [replica], 1)
        await replica.end()

    run(scenario())


def test_work_that_fails_is_no_loss_of_the_lease() -> None:
    async def scenario() -> Manifest:
        registry = Registry()
        lease = Lease(Line(registry), "ns", "name", "a", clock=asyncio.get_running_loop().time)

        async def work() -> None:
            raise ZeroDivisionError("a bug")

        with pytest.raises(ZeroDivisionError):
            await lease.lead(work)
        return registry.spec

    assert run(scenario())["holderIdentity"] == "", "and the next may try at once"


def test_work_has_ended_before_the_lease_is_released() -> None:
    async def scenario() -> None:
        registry = Registry()
        lease = Lease(Line(registry), "ns", "name", "a", clock=asyncio.get_running_loop().time)
        ended = False

        async def work() -> None:
            nonlocal ended
            try:
                await asyncio.sleep(1e9)
            finally:
                await asyncio.sleep(2)
                assert registry.spec["holderIdentity"] == "a"
                ended = True

        task = asyncio.ensure_future(lease.lead(work))
        await asyncio.sleep(30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert ended
        assert registry.spec["holderIdentity"] == ""

    run(scenario())


FAULTS = st.lists(
    st.builds(
        Fault,
        begin=st.floats(0, 80),
        seconds=st.floats(0.1, 40),
        kind=st.sampled_from(("refused", "late", "unanswered")),
    ),
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(st.tuples(FAULTS, FAULTS, FAULTS))
def test_whatever_happens_to_the_lines_no_two_may_write(faults: tuple[list[Fault], list[Fault], list[Fault]]) -> None:
    async def scenario() -> None:
        registry = Registry()
        replicas = [Replica(name, Line(registry, own)) for name, own in zip("abc", faults, strict=True)]
        await within(lambda: registry.lease is not None, replicas, 200)
        await watch(replicas, 120)
        # Once nothing is disturbed any more, one of them works.
        await within(lambda: any(replica.works for replica in replicas), replicas, 20)
        for replica in replicas:
            await replica.die()

    run(scenario())


def test_no_two_processes_have_one_identity() -> None:
    assert len({new_identity() for _ in range(1000)}) == 1000


def test_the_clock_of_the_lease_goes_on() -> None:
    before = awake_and_asleep()
    assert before <= awake_and_asleep() < before + 60


def test_who_is_told_to_end_while_the_lease_is_being_lost_ends() -> None:
    async def scenario() -> None:
        line = Line(Registry(), [Fault(1.0, 1e6, "refused")])
        lease = Lease(line, "ns", "name", "a", clock=asyncio.get_running_loop().time)

        async def work() -> None:
            try:
                await asyncio.sleep(1e9)
            finally:
                await asyncio.sleep(5)

        task = asyncio.ensure_future(lease.lead(work))
        await asyncio.sleep(12)
        assert not lease.held()
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=60)
        assert done

    run(scenario())
