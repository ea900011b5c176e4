"""Batching, shedding, deadlines: what many clients at once see."""

import asyncio
import time

import httpx

from tests.server.conftest import Start
from tests.server.harness import ServerProcess, wait_for
from tests.server.pictures import base64_of, jpeg

BODY = {"images": [base64_of(jpeg())]}


async def flood(server: ServerProcess, clients: int, requests: int, **options: object) -> list[httpx.Response]:
    """Every client sends its requests one after the other."""
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=30) as client:

        async def one_client() -> list[httpx.Response]:
            return [await client.post("/v1/embed", json=BODY, **options) for _ in range(requests)]  # type: ignore[arg-type]

        rows = await asyncio.gather(*(one_client() for _ in range(clients)))
    return [answer for row in rows for answer in row]


async def test_concurrent_requests_share_batches(start_fake: Start) -> None:
    server = start_fake(delay_seconds=0.15, MMM_MAX_BATCH_SIZE=8, MMM_MAX_QUEUE_SECONDS=30).wait_ready()
    answers = await flood(server, clients=16, requests=6)
    assert {answer.status_code for answer in answers} == {200}
    items, batches = server.metric("mmm_batch_size_sum"), server.metric("mmm_batch_size_count")
    assert items == 96
    assert items / batches > 4, "sixteen clients must not be answered one by one"


async def test_a_lone_request_does_not_wait_for_company(start_fake: Start) -> None:
    server = start_fake().wait_ready()
    await flood(server, clients=1, requests=30)
    assert server.metric("mmm_batch_size_count") == 30
    queued = server.metric("mmm_stage_seconds_sum")
    assert queued / 30 < 0.1


async def test_a_full_server_says_so_and_when_to_come_back(start_fake: Start) -> None:
    server = start_fake(delay_seconds=0.2, MMM_MAX_BATCH_SIZE=1, MMM_MAX_QUEUE_SECONDS=0.5).wait_ready()
    await flood(server, clients=1, requests=2)  # so that it knows its own speed
    answers = await flood(server, clients=12, requests=1)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 1 <= len(refused) <= 11
    assert {answer.status_code for answer in answers} == {200, 429}
    for answer in refused:
        assert answer.json()["code"] == "overloaded"
        assert int(answer.headers["retry-after"]) >= 1
    assert server.metric("mmm_rejected_total") == len(refused)


async def test_the_queue_is_bounded_by_items(start_fake: Start) -> None:
    server = start_fake(delay_seconds=0.3, MMM_MAX_BATCH_SIZE=1, MMM_MAX_QUEUE_ITEMS=2).wait_ready()
    answers = await flood(server, clients=6, requests=1)
    assert [answer.status_code for answer in answers].count(429) >= 3


async def test_the_bodies_of_all_requests_together_are_bounded(start_fake: Start) -> None:
    server = start_fake(
        delay_seconds=0.5, MMM_MAX_BATCH_SIZE=1, MMM_MAX_INFLIGHT_BYTES=3 * len(BODY["images"][0])
    ).wait_ready()
    answers = await flood(server, clients=8, requests=1)
    assert [answer.status_code for answer in answers].count(429) >= 4
    assert (await flood(server, clients=1, requests=1))[0].status_code == 200, "what was answered is not held any more"


async def test_a_deadline_ends_the_wait_and_saves_the_computation(start_fake: Start) -> None:
    server = start_fake(delay_seconds=0.4, MMM_MAX_BATCH_SIZE=1).wait_ready()
    started = time.monotonic()
    patient, *hurried = await asyncio.gather(
        flood(server, 1, 1), *(flood(server, 1, 1, headers={"x-request-timeout-ms": "150"}) for _ in range(4))
    )
    assert patient[0].status_code in (200, 504)
    assert {answer.status_code for row in hurried for answer in row} <= {504}
    assert time.monotonic() - started < 5
    wait_for(lambda: server.status()["queue"]["depth"] == 0, 10, "an empty queue")
    assert server.metric("mmm_batch_size_sum") < 5, "what nobody waits for is not computed"


async def test_a_client_that_leaves_is_not_computed(start_fake: Start) -> None:
    server = start_fake(delay_seconds=1.0, MMM_MAX_BATCH_SIZE=1, MMM_MAX_QUEUE_SECONDS=60).wait_ready()
    async with httpx.AsyncClient(base_url=server.url, timeout=httpx.Timeout(5, read=0.2)) as client:
        asked = (client.post("/v1/embed", json=BODY) for _ in range(6))
        assert {type(end) for end in await asyncio.gather(*asked, return_exceptions=True)} == {httpx.ReadTimeout}
    wait_for(lambda: server.status()["queue"]["inflight"] == 0, 5, "nothing in flight")
    wait_for(lambda: server.metric("mmm_requests_total") >= 6, 5, "all counted")
    answer = (await flood(server, 1, 1))[0]
    assert answer.status_code == 200
    assert server.metric("mmm_batch_size_sum") <= 4


async def test_an_item_that_fails_fails_alone(start_fake: Start) -> None:
    server = start_fake(delay_seconds=0.05, poison="poison", MMM_MAX_QUEUE_SECONDS=60).wait_ready()
    texts = [f"good {index}" for index in range(20)] + ["poison"]
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        answers = await asyncio.gather(*(client.post("/v1/embed", json={"texts": [text]}) for text in texts))
    assert [answer.status_code for answer in answers] == [200] * 20 + [500]
    assert answers[-1].json()["code"] == "inference-failed"
    assert server.status()["state"] == "READY"
