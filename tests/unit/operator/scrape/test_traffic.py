"""Traffic pages: asked every few seconds, counted since a moment, over restarts, and never trusted too far."""

import asyncio

import aiohttp
import pytest

from mmm_operator.scrape.scraper import PATIENCE_SECONDS
from mmm_operator.scrape.traffic import MOST_BYTES, PAUSE_SECONDS, TrafficPages
from mmm_operator.snapshot import Key
from mmm_server.metrics import Metrics
from tests.unit.operator.runtime.virtual_time import run
from tests.unit.operator.scrape.test_status import make_pod

KEY = Key("default", "clip")
OLD, NEW = make_pod("old", "10.0.0.1"), make_pod("new", "10.0.0.2")


class Servers:
    """Pods whose servers answered requests, and say so after a while."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.asked: list[str] = []
        self.metrics: dict[str, Metrics] = {}
        self.failure: Exception | None = None
        self.pages = TrafficPages(self.fetch)

    def answer(self, ip: str, number: int, code: int = 200) -> None:
        metrics = self.metrics.setdefault(ip, Metrics())
        for _ in range(number):
            metrics.requests.labels("/predict", str(code)).inc()
            metrics.request_seconds.labels("/predict").observe(0.01)

    def restart(self, ip: str) -> None:
        self.metrics[ip] = Metrics()

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        await asyncio.sleep(self.delay)
        if self.failure:
            raise self.failure
        return self.metrics.setdefault(url.split("//")[1].split(":")[0], Metrics()).render()

    async def requests(self, since: str, newborn: tuple[str, ...] = ()) -> dict[str, int]:
        found = await self.pages.traffic(KEY, [OLD, NEW], since, newborn)
        return {name: traffic.requests for name, traffic in found.items()}


def test_the_whole_life_counts_of_pods_that_are_younger_and_of_others_what_came_since() -> None:
    async def scenario() -> None:
        servers = Servers()
        servers.answer("10.0.0.1", 100)
        servers.answer("10.0.0.2", 3)
        assert await servers.requests("step 1", ("pod-new",)) == {"pod-old": 0, "pod-new": 3}
        servers.answer("10.0.0.1", 10)
        servers.answer("10.0.0.2", 1, 500)
        await asyncio.sleep(PAUSE_SECONDS)
        found = await servers.pages.traffic(KEY, [OLD, NEW], "step 1", ["pod-new"])
        assert (found["pod-old"].requests, found["pod-old"].errors) == (10, 0)
        assert (found["pod-new"].requests, found["pod-new"].errors) == (4, 1)
        assert found["pod-new"].p95_ms is not None
        assert servers.asked[0] == "http://10.0.0.1:8081/metrics"

    run(scenario())


def test_pods_are_asked_every_few_seconds_and_no_page_counts_twice() -> None:
    async def scenario() -> None:
        servers = Servers()
        await servers.requests("step 1")
        servers.answer("10.0.0.1", 5)
        await asyncio.sleep(PAUSE_SECONDS)
        for _ in range(3):
            assert await servers.requests("step 1") == {"pod-old": 5, "pod-new": 0}
        assert len(servers.asked) == 4

    run(scenario())


def test_another_moment_begins_anew_with_a_page_that_was_read_after_it() -> None:
    async def scenario() -> None:
        servers = Servers()
        await servers.requests("step 1", ("pod-new",))
        servers.answer("10.0.0.1", 5)
        servers.answer("10.0.0.2", 5)
        await asyncio.sleep(1)
        assert await servers.requests("step 2") == {}  # the pages that are known are older
        await asyncio.sleep(PAUSE_SECONDS)
        assert await servers.requests("step 2") == {"pod-old": 0, "pod-new": 0}
        servers.answer("10.0.0.2", 2)
        await asyncio.sleep(PAUSE_SECONDS)
        assert await servers.requests("step 2") == {"pod-old": 0, "pod-new": 2}

    run(scenario())


def test_a_container_that_restarts_loses_nothing_that_was_counted() -> None:
    async def scenario() -> None:
        servers = Servers()
        servers.answer("10.0.0.1", 100)
        await servers.requests("step 1")
        servers.answer("10.0.0.1", 10)
        await asyncio.sleep(PAUSE_SECONDS)
        await servers.requests("step 1")
        servers.restart("10.0.0.1")
        servers.answer("10.0.0.1", 7)
        await asyncio.sleep(PAUSE_SECONDS)
        assert (await servers.requests("step 1"))["pod-old"] == 17

    run(scenario())


def test_a_page_that_does_not_come_changes_nothing() -> None:
    async def scenario() -> None:
        servers = Servers()
        await servers.requests("step 1")
        servers.answer("10.0.0.1", 5)
        servers.failure = aiohttp.ClientConnectionError("refused")
        await asyncio.sleep(PAUSE_SECONDS)
        assert await servers.requests("step 1") == {"pod-old": 0, "pod-new": 0}
        servers.failure = None
        await asyncio.sleep(PAUSE_SECONDS)
        assert await servers.requests("step 1") == {"pod-old": 5, "pod-new": 0}

    run(scenario())


def test_a_slow_pod_is_told_of_at_the_next_look() -> None:
    async def scenario() -> None:
        servers = Servers(delay=1.0)
        assert await servers.requests("step 1") == {}
        assert asyncio.get_running_loop().time() <= PATIENCE_SECONDS
        await asyncio.sleep(2)
        assert await servers.requests("step 1") == {"pod-old": 0, "pod-new": 0}
        await servers.pages.close()

    run(scenario())


def test_what_is_forgotten_begins_anew() -> None:
    async def scenario() -> None:
        servers = Servers()
        servers.answer("10.0.0.2", 3)
        assert (await servers.requests("step 1", ("pod-new",)))["pod-new"] == 3
        servers.pages.forget(KEY)
        await asyncio.sleep(PAUSE_SECONDS)
        assert (await servers.requests("step 1"))["pod-new"] == 0

    run(scenario())


@pytest.mark.parametrize(
    "page", [b"<html>", b"", b"#" * (MOST_BYTES + 1), b"\xff"], ids=["html", "none", "long", "bytes"]
)
def test_what_is_no_page_says_nothing(page: bytes) -> None:
    async def fetch(url: str) -> bytes:
        return page

    async def scenario() -> None:
        assert await TrafficPages(fetch).traffic(KEY, [OLD], "step 1") == {}

    run(scenario())


def test_a_page_that_was_cut_off_says_nothing() -> None:
    whole = Metrics().render()

    async def fetch(url: str) -> bytes:
        return whole + b"\n" * MOST_BYTES

    async def scenario() -> None:
        assert await TrafficPages(fetch).traffic(KEY, [OLD], "step 1") == {}

    run(scenario())
