"""What the servers say about themselves: `GET :8081/v1/status` of each ready pod, once.

A reconcile never waits long for a pod: what is not known within a moment arrives later and wakes the object.
Failures are silent, since the page only adds details (device, load time) that nothing depends on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp
from pydantic import ValidationError

from mmm_operator import names
from mmm_operator.scrape.page import StatusPage
from mmm_operator.snapshot import Key, Manifest, ServerReport

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2.0
PATIENCE_SECONDS = 0.3
RETRY_SECONDS = 60.0
MOST_REPORTS = 20_000
SCRAPES_AT_A_TIME = 32
MAX_PAGE_BYTES = 64 * 1024

Wake = Callable[[Key], None]
Fetch = Callable[[str], Awaitable[bytes]]


class StatusPages:
    """The status pages of the server pods, as `observe` wants them."""

    def __init__(self, wake: Wake, fetch: Fetch | None = None) -> None:
        self._wake = wake
        self._fetch = fetch or fetch_page
        self._slots = asyncio.Semaphore(SCRAPES_AT_A_TIME)
        self._known: dict[str, ServerReport] = {}
        self._not_before: dict[str, float] = {}
        self._scrapes: dict[str, asyncio.Task[None]] = {}

    async def reports(self, key: Key, pods: Sequence[Manifest]) -> Mapping[str, ServerReport]:
        """What is known of these pods, by pod name; the others are asked now."""
        started = [self._start(key, pod) for pod in pods if self._worth_asking(pod)]
        if started:
            _, late = await asyncio.wait(started, timeout=PATIENCE_SECONDS)
            for scrape in late:
                scrape.add_done_callback(lambda _: self._wake(key))
        known = {pod["metadata"]["name"]: self._known.get(pod["metadata"]["uid"]) for pod in pods}
        return {name: report for name, report in known.items() if report is not None}

    async def close(self) -> None:
        """Ends the requests that are under way."""
        for task in self._scrapes.values():
            task.cancel()
        await asyncio.gather(*self._scrapes.values(), return_exceptions=True)

    def _worth_asking(self, pod: Manifest) -> bool:
        uid = pod["metadata"]["uid"]
        if uid in self._known or uid in self._scrapes or not pod.get("status", {}).get("podIP"):
            return False
        return self._not_before.get(uid, 0.0) <= asyncio.get_running_loop().time()

    def _start(self, key: Key, pod: Manifest) -> asyncio.Task[None]:
        uid = pod["metadata"]["uid"]
        self._scrapes[uid] = task = asyncio.create_task(self._scrape(key, pod), name=f"status page of {uid}")
        return task

    async def _scrape(self, key: Key, pod: Manifest) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        try:
            async with self._slots, asyncio.timeout(TIMEOUT_SECONDS):
                text = await self._fetch(page_url(pod["status"]["podIP"]))
            report = StatusPage.model_validate_json(text).report(name)
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError) as error:
            log.debug("no status page of %s: %s", name, error or type(error).__name__, extra={"key": str(key)})
            self._not_before[uid] = asyncio.get_running_loop().time() + RETRY_SECONDS
        else:
            self._known[uid] = report
        finally:
            del self._scrapes[uid]
            forget_oldest(self._known)
            forget_oldest(self._not_before)


def page_url(ip: str) -> str:
    """Where the pod with this address has its status page."""
    host = f"[{ip}]" if ":" in ip else ip
    return f"http://{host}:{names.PORT_OPERATIONS}/v1/status"


async def fetch_page(url: str) -> bytes:
    """The page, cut off where it is absurdly long; raises aiohttp.ClientError."""
    # A pod must not be able to send the operator anywhere else, hence no redirects and no proxies.
    async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(url, allow_redirects=False) as page:
        text = b""
        async for chunk in page.content.iter_any():
            text += chunk
            if len(text) > MAX_PAGE_BYTES:
                break
        return text


def forget_oldest(table: dict[str, Any]) -> None:
    """Keep the table from growing for ever: what was put in first goes."""
    while len(table) > MOST_REPORTS:
        table.pop(next(iter(table)))
