"""How far pods are that fetch a model: the page of each, every few seconds."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from mmm_operator import names
from mmm_operator.api.base import ApiModel
from mmm_operator.scrape.scraper import Fetch, Scraper
from mmm_operator.snapshot import FetchReport, Key, Manifest

# A little less than the time between two looks, so that each look has news.
PAUSE_SECONDS = 8.0
MOST_BYTES = 2**62


class FetchPage(ApiModel):
    """`/v1/status` of a fetcher; of anything else it is no valid page. One that stays follows when it is done."""

    state: Literal["FETCHING", "FOLLOWING"]
    downloaded_bytes: int = Field(ge=0, le=MOST_BYTES)
    total_bytes: int = Field(ge=0, le=MOST_BYTES)


class FetchPages:
    """The progress of fetching pods, as `observe` wants it. What arrives late is told at the next look."""

    def __init__(self, fetch: Fetch | None = None) -> None:
        self._scraper = Scraper(_parse, fetch, port=port_of)

    async def fetches(self, key: Key, pods: Sequence[Manifest]) -> Mapping[str, FetchReport]:
        """What is known of these pods, by pod name; those that were not asked lately are asked now."""
        await self._scraper.ask(key, [pod for pod in pods if self._scraper.rested(pod, PAUSE_SECONDS)])
        told = self._scraper.told(pods)
        return {name: report for name, report in told.items() if report is not None}

    async def close(self) -> None:
        """Ends the requests that are under way."""
        await self._scraper.close()


def port_of(pod: Manifest) -> int:
    """Where the pod's fetcher has its page."""
    containers = pod.get("spec", {}).get("initContainers", ())
    stays = any(one["name"] == names.CONTAINER_FETCHER and one.get("restartPolicy") == "Always" for one in containers)
    return names.PORT_FETCHER if stays else names.PORT_OPERATIONS


def _parse(pod: str, text: bytes) -> FetchReport | None:
    """What the page says; None when nothing is fetched now."""
    page = FetchPage.model_validate_json(text)
    return FetchReport(page.downloaded_bytes, page.total_bytes) if page.state == "FETCHING" else None
