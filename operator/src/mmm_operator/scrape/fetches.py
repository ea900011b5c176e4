"""How far pods are that fetch a model: `GET :8081/v1/status` of each, every few seconds.

A reconcile waits a moment for the answers; what comes later is told at the next look. Failures are silent, since the
page only adds numbers that nothing depends on.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Literal

import aiohttp
from pydantic import Field, ValidationError

from mmm_operator.api.base import ApiModel
from mmm_operator.scrape.status import (
    PATIENCE_SECONDS,
    SCRAPES_AT_A_TIME,
    TIMEOUT_SECONDS,
    Fetch,
    fetch_page,
    forget_oldest,
    page_url,
)
from mmm_operator.snapshot import FetchReport, Key, Manifest

log = logging.getLogger(__name__)

# A little less than the time between two looks, so that each look has news.
PAUSE_SECONDS = 8.0
MOST_BYTES = 2**62


class FetchPage(ApiModel):
    """`/v1/status` of a pod that fetches; of any other it is no valid page."""

    state: Literal["FETCHING"]
    downloaded_bytes: int = Field(ge=0, le=MOST_BYTES)
    total_bytes: int = Field(ge=0, le=MOST_BYTES)


class FetchPages:
    """The progress of fetching pods, as `observe` wants it."""

    def __init__(self, fetch: Fetch | None = None) -> None:
        self._fetch = fetch or fetch_page
        self._slots = asyncio.Semaphore(SCRAPES_AT_A_TIME)
        self._known: dict[str, FetchReport] = {}
        self._asked: dict[str, float] = {}
        self._scrapes: dict[str, asyncio.Task[None]] = {}

    async def fetches(self, key: Key, pods: Sequence[Manifest]) -> Mapping[str, FetchReport]:
        """What is known of these pods, by pod name; those that were not asked lately are asked now."""
        asked = [self._start(key, pod) for pod in pods if self._worth_asking(pod)]
        if asked:
            await asyncio.wait(asked, timeout=PATIENCE_SECONDS)
        known = {pod["metadata"]["name"]: self._known.get(pod["metadata"]["uid"]) for pod in pods}
        return {name: report for name, report in known.items() if report is not None}

    async def close(self) -> None:
        """Ends the requests that are under way."""
        for task in self._scrapes.values():
            task.cancel()
        await asyncio.gather(*self._scrapes.values(), return_exceptions=True)

    def _worth_asking(self, pod: Manifest) -> bool:
        uid = pod["metadata"]["uid"]
        now = asyncio.get_running_loop().time()
        return uid not in self._scrapes and self._asked.get(uid, -PAUSE_SECONDS) + PAUSE_SECONDS <= now

    def _start(self, key: Key, pod: Manifest) -> asyncio.Task[None]:
        uid = pod["metadata"]["uid"]
        self._asked[uid] = asyncio.get_running_loop().time()
        self._scrapes[uid] = task = asyncio.create_task(self._scrape(key, pod), name=f"fetch page of {uid}")
        return task

    async def _scrape(self, key: Key, pod: Manifest) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        try:
            async with self._slots, asyncio.timeout(TIMEOUT_SECONDS):
                text = await self._fetch(page_url(pod["status"]["podIP"]))
            page = FetchPage.model_validate_json(text)
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError) as error:
            log.debug("no fetch page of %s: %s", name, error or type(error).__name__, extra={"key": str(key)})
        else:
            self._known[uid] = FetchReport(page.downloaded_bytes, page.total_bytes)
        finally:
            del self._scrapes[uid]
            forget_oldest(self._known)
            forget_oldest(self._asked)
