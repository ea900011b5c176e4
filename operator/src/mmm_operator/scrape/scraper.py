"""Pages that pods have about themselves: `GET :8081/v1/status`, or another path.

A reconcile never waits long for a pod. Failures are silent, since the pages only add details.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import aiohttp

from mmm_operator import names
from mmm_operator.snapshot import Key, Manifest

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2.0
PATIENCE_SECONDS = 0.3
MOST_REPORTS = 20_000
SCRAPES_AT_A_TIME = 32
MAX_PAGE_BYTES = 64 * 1024
STATUS_PATH = "/v1/status"

T = TypeVar("T")
Fetch = Callable[[str], Awaitable[bytes]]
Parse = Callable[[str, bytes], T]
Port = Callable[[Manifest], int]


class Scraper(Generic[T]):
    """What pods said last; `parse` makes that of a pod's name and its page, or raises ValueError."""

    def __init__(
        self, parse: Parse[T], fetch: Fetch | None = None, path: str = STATUS_PATH, port: Port | None = None
    ) -> None:
        self._parse = parse
        self._fetch = fetch or page_fetcher(MAX_PAGE_BYTES)
        self._path = path
        self._port = port or (lambda _: names.PORT_OPERATIONS)
        self._slots = asyncio.Semaphore(SCRAPES_AT_A_TIME)
        self._known: dict[str, T] = {}
        self._asked_at: dict[str, float] = {}
        self._scrapes: dict[str, asyncio.Task[None]] = {}

    def knows(self, pod: Manifest) -> bool:
        """Whether the pod has said something."""
        return pod["metadata"]["uid"] in self._known

    def rested(self, pod: Manifest, seconds: float) -> bool:
        """Whether the pod has an address and was not asked for so long."""
        uid, now = pod["metadata"]["uid"], asyncio.get_running_loop().time()
        if uid in self._scrapes or not pod.get("status", {}).get("podIP"):
            return False
        return self._asked_at.get(uid, -seconds) + seconds <= now

    async def ask(self, key: Key, pods: Sequence[Manifest]) -> set[asyncio.Task[None]]:
        """Ask these pods; what has no answer within a moment is returned, and goes on."""
        started = [self._start(key, pod) for pod in pods]
        if not started:
            return set()
        _, late = await asyncio.wait(started, timeout=PATIENCE_SECONDS)
        return late

    def told(self, pods: Sequence[Manifest]) -> Mapping[str, T]:
        """What is known of these pods, by pod name."""
        known = {pod["metadata"]["name"]: self._known.get(pod["metadata"]["uid"]) for pod in pods}
        return {name: report for name, report in known.items() if report is not None}

    async def close(self) -> None:
        """Ends the requests that are under way."""
        for task in self._scrapes.values():
            task.cancel()
        await asyncio.gather(*self._scrapes.values(), return_exceptions=True)

    def _start(self, key: Key, pod: Manifest) -> asyncio.Task[None]:
        uid = pod["metadata"]["uid"]
        self._asked_at[uid] = asyncio.get_running_loop().time()
        self._scrapes[uid] = task = asyncio.create_task(self._scrape(key, pod), name=f"page of pod {uid}")
        return task

    async def _scrape(self, key: Key, pod: Manifest) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        try:
            async with self._slots, asyncio.timeout(TIMEOUT_SECONDS):
                text = await self._fetch(page_url(pod["status"]["podIP"], self._path, self._port(pod)))
            report = self._parse(name, text)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.debug("no page of %s: %s", name, error or type(error).__name__, extra={"key": str(key)})
        else:
            self._known[uid] = report
        finally:
            del self._scrapes[uid]
            forget_oldest(self._known)
            forget_oldest(self._asked_at)


def page_url(ip: str, path: str = STATUS_PATH, port: int = names.PORT_OPERATIONS) -> str:
    """Where the pod with this address has its page."""
    host = f"[{ip}]" if ":" in ip else ip
    return f"http://{host}:{port}{path}"


def page_fetcher(most_bytes: int) -> Fetch:
    """What reads pages, cut off where they are longer; it raises aiohttp.ClientError."""

    async def fetch_page(url: str) -> bytes:
        # A pod must not be able to send the operator anywhere else, hence no redirects and no proxies.
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.get(url, allow_redirects=False) as page,
        ):
            text = b""
            async for chunk in page.content.iter_any():
                text += chunk
                if len(text) > most_bytes:
                    break
            return text

    return fetch_page


def forget_oldest(table: dict[Any, Any], most: int = MOST_REPORTS) -> None:
    """Keeps no more entries than that."""
    while len(table) > most:
        table.pop(next(iter(table)))
