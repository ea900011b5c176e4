"""What pods answered since a moment: their metrics, every few seconds, while somebody asks."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from mmm_operator.scrape.counters import parse_counters
from mmm_operator.scrape.scraper import Fetch, Scraper, forget_oldest, page_fetcher
from mmm_operator.snapshot import Key, Manifest
from mmm_operator.traffic import Count, Counters, Traffic

# A little less than the time between two looks, so that each look has news.
PAUSE_SECONDS = 4.0
PATH = "/metrics"
# A page of our server with every route and status code in use has about 60 KiB.
MOST_BYTES = 512 * 1024
MOST_WINDOWS = 1000
MOST_PODS = 10_000


@dataclass(frozen=True, slots=True)
class Reading:
    """A page, and when it came."""

    at: float
    counters: Counters


@dataclass(slots=True)
class Window:
    """What is counted for one object since one moment, by uid of the pod."""

    since: str
    began: float
    counts: dict[str, tuple[float, Count]] = field(default_factory=dict)  # with when the last page came

    def add(self, uid: str, reading: Reading, *, newborn: bool) -> None:
        """Counts a page, once. The first one of a pod that was there before the moment is where counting begins."""
        at, count = self.counts.get(uid, (None, None))
        if reading.at == at or (reading.at < self.began and not newborn):
            return
        count = count or Count(Counters() if newborn else reading.counters)
        self.counts[uid] = (reading.at, count.then(reading.counters))
        forget_oldest(self.counts, MOST_PODS)


class TrafficPages:
    """The traffic of server pods during the step of a canary. What arrives late is told at the next look."""

    def __init__(self, fetch: Fetch | None = None) -> None:
        self._scraper = Scraper(_parse, fetch or page_fetcher(MOST_BYTES), PATH)
        self._windows: dict[Key, Window] = {}

    async def traffic(
        self, key: Key, pods: Sequence[Manifest], since: str, newborn: Collection[str] = ()
    ) -> Mapping[str, Traffic]:
        """By pod name what was counted since the moment that `since` names; pods that said nothing yet are left out.

        Another `since` begins anew. `newborn` are the names of the pods that are younger than the moment (see
        `traffic.born_since`): of them all is counted, and of the others what came after their first page.
        """
        window = self._window(key, since)
        await self._scraper.ask(key, [pod for pod in pods if self._scraper.rested(pod, PAUSE_SECONDS)])
        told = self._scraper.told(pods)
        uids = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}
        for name, reading in told.items():
            window.add(uids[name], reading, newborn=name in newborn)
        return {name: window.counts[uid][1].traffic for name, uid in uids.items() if uid in window.counts}

    def forget(self, key: Key) -> None:
        """Counts nothing for this object any more."""
        self._windows.pop(key, None)

    async def close(self) -> None:
        """Ends the requests that are under way."""
        await self._scraper.close()

    def _window(self, key: Key, since: str) -> Window:
        known = self._windows.get(key)
        if known is None or known.since != since:
            self._windows[key] = known = Window(since, asyncio.get_running_loop().time())
            forget_oldest(self._windows, MOST_WINDOWS)
        return known


def _parse(pod: str, text: bytes) -> Reading:
    if len(text) > MOST_BYTES:  # it was cut off, and what is missing would look like a restart
        raise ValueError("the page is too long")
    return Reading(asyncio.get_running_loop().time(), parse_counters(text))
