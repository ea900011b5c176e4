"""How far pods are that fetch: asked every few seconds, never waited for long, never trusted too far."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from mmm_operator.scrape.fetches import PAUSE_SECONDS, FetchPages
from mmm_operator.scrape.scraper import PATIENCE_SECONDS
from mmm_operator.snapshot import FetchReport, Key
from tests.unit.operator.runtime.virtual_time import run
from tests.unit.operator.scrape.test_status import make_pod

KEY = Key("default", "clip")
PAGE = {"state": "FETCHING", "downloadedBytes": 5, "totalBytes": 20}


class Fetchers:
    """Pods that fetch, and say so after a while."""

    def __init__(self, page: Any = PAGE, delay: float = 0.0) -> None:
        self.page = page
        self.delay = delay
        self.asked = 0
        self.urls: list[str] = []
        self.pages = FetchPages(self.fetch)

    async def fetch(self, url: str) -> bytes:
        self.asked += 1
        self.urls.append(url)
        await asyncio.sleep(self.delay)
        if isinstance(self.page, Exception):
            raise self.page
        return json.dumps(self.page).encode()


def test_a_pod_is_asked_again_but_not_at_every_look() -> None:
    async def scenario() -> None:
        pods = Fetchers()
        for _ in range(3):
            assert await pods.pages.fetches(KEY, [make_pod()]) == {"pod-u1": FetchReport(5, 20)}
        assert pods.asked == 1
        pods.page = {**PAGE, "downloadedBytes": 15}
        await asyncio.sleep(PAUSE_SECONDS)
        assert await pods.pages.fetches(KEY, [make_pod()]) == {"pod-u1": FetchReport(15, 20)}

    run(scenario())


def test_a_slow_pod_is_told_of_at_the_next_look() -> None:
    async def scenario() -> None:
        pods = Fetchers(delay=1.0)
        assert await pods.pages.fetches(KEY, [make_pod()]) == {}
        assert asyncio.get_running_loop().time() <= PATIENCE_SECONDS
        await asyncio.sleep(2)
        assert await pods.pages.fetches(KEY, [make_pod()]) == {"pod-u1": FetchReport(5, 20)}
        await pods.pages.close()

    run(scenario())


@pytest.mark.parametrize(
    "page",
    [
        aiohttp.ClientConnectionError("refused"),
        {**PAGE, "state": "READY"},
        {**PAGE, "downloadedBytes": -1},
        {**PAGE, "totalBytes": 2**70},
        [],
    ],
    ids=["no connection", "a server", "less than nothing", "too much", "a list"],
)
def test_what_is_no_page_says_nothing(page: Any) -> None:
    async def scenario() -> None:
        assert await Fetchers(page).pages.fetches(KEY, [make_pod()]) == {}

    run(scenario())


def test_a_fetcher_that_stays_is_asked_beside_the_server_and_says_nothing_once_it_is_done() -> None:
    async def scenario() -> None:
        pods, pod = Fetchers(), make_pod()
        pod["spec"] = {"initContainers": [{"name": "model-fetcher", "restartPolicy": "Always"}]}
        assert await pods.pages.fetches(KEY, [pod]) == {"pod-u1": FetchReport(5, 20)}
        assert pods.urls == ["http://10.0.0.1:8082/v1/status"]
        pods.page = {**PAGE, "state": "FOLLOWING", "wanted": {"version": "2", "digest": "sha256:2"}}
        await asyncio.sleep(PAUSE_SECONDS)
        assert await pods.pages.fetches(KEY, [pod]) == {}

    run(scenario())


def test_a_fetcher_that_ends_is_asked_where_the_server_will_be() -> None:
    async def scenario() -> None:
        pods, pod = Fetchers(), make_pod()
        pod["spec"] = {"initContainers": [{"name": "model-fetcher"}, {"name": "other", "restartPolicy": "Always"}]}
        await pods.pages.fetches(KEY, [pod])
        assert pods.urls == ["http://10.0.0.1:8081/v1/status"]

    run(scenario())
