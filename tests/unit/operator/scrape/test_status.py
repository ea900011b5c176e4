"""Status pages: asked once, never waited for long, never trusted too far."""

import asyncio
import json

import aiohttp
import pytest

from mmm_operator.scrape.scraper import PATIENCE_SECONDS, page_url
from mmm_operator.scrape.status import RETRY_SECONDS, StatusPages
from mmm_operator.snapshot import Key, Manifest
from tests.unit.operator.runtime.virtual_time import run

KEY = Key("default", "clip")
PAGE = {
    "state": "READY",
    "model": {"name": "clip", "version": "1", "digest": "sha256:1", "tasks": []},
    "device": {"kind": "cuda", "name": "H200", "dtype": "bfloat16", "memoryBytes": 141},
    "loadSeconds": 2.5,
    "queue": {"depth": 0},
}


class Pods:
    """Pods that serve a page, after a while."""

    def __init__(self, page: object = PAGE, delay: float = 0.0) -> None:
        self.page = page
        self.delay = delay
        self.asked: list[str] = []
        self.woken: list[Key] = []
        self.pages = StatusPages(self.woken.append, self.fetch)

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        await asyncio.sleep(self.delay)
        if isinstance(self.page, Exception):
            raise self.page
        return json.dumps(self.page).encode()


def make_pod(uid: str = "u1", ip: str | None = "10.0.0.1") -> Manifest:
    return {"metadata": {"name": f"pod-{uid}", "uid": uid}, "status": {"podIP": ip} if ip else {}}


def test_a_page_is_read_once() -> None:
    async def scenario() -> None:
        pods = Pods()
        for _ in range(3):
            found = await pods.pages.reports(KEY, [make_pod()])
        report = found["pod-u1"]
        assert (report.digest, report.device, report.device_name) == ("sha256:1", "cuda", "H200")
        assert (report.dtype, report.memory_bytes, report.load_seconds) == ("bfloat16", 141, 2.5)
        assert pods.asked == ["http://10.0.0.1:8081/v1/status"]

    run(scenario())


def test_a_slow_pod_wakes_its_object_later() -> None:
    async def scenario() -> None:
        pods = Pods(delay=1.5)
        assert await pods.pages.reports(KEY, [make_pod()]) == {}
        assert asyncio.get_running_loop().time() <= PATIENCE_SECONDS
        await asyncio.sleep(2)
        assert pods.woken == [KEY]
        assert len(await pods.pages.reports(KEY, [make_pod()])) == 1
        assert len(pods.asked) == 1

    run(scenario())


@pytest.mark.parametrize(
    "page",
    [aiohttp.ClientConnectionError("refused"), {**PAGE, "state": "LOADING"}, {"state": "READY"}, [], "text"],
    ids=["no connection", "not ready", "half a page", "a list", "a text"],
)
def test_a_pod_without_a_page_is_left_in_peace_for_a_while(page: object) -> None:
    async def scenario() -> None:
        pods = Pods(page)
        for _ in range(5):
            assert await pods.pages.reports(KEY, [make_pod()]) == {}
        assert len(pods.asked) == 1
        await asyncio.sleep(RETRY_SECONDS)
        pods.page = PAGE
        assert len(await pods.pages.reports(KEY, [make_pod()])) == 1

    run(scenario())


def test_a_pod_without_address_is_not_asked() -> None:
    async def scenario() -> None:
        pods = Pods()
        assert await pods.pages.reports(KEY, [make_pod(ip=None)]) == {}
        assert pods.asked == []

    run(scenario())


def test_addresses_of_both_families_make_an_url() -> None:
    assert page_url("10.1.2.3") == "http://10.1.2.3:8081/v1/status"
    assert page_url("fd00::7") == "http://[fd00::7]:8081/v1/status"
