"""How far pods are that fetch a model: the page of each, every few seconds."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from mmm_operator.api.base import ApiModel
from mmm_operator.scrape.scraper import Fetch, Scraper
from mmm_operator.snapshot import FetchReport, Key, Manifest

# A little less than the time between two looks, so that each look has news.
PAUSE_SECONDS = 8.0
MOST_BYTES = 2**62


class FetchPage(ApiModel):
    """`/v1/status` of a pod that fetches; of any other it is no valid page."""

    state: Literal["FETCHING"]
    downloaded_bytes: int = Field(ge=0, le=MOST_BYTES)
    total_bytes: int = Field(ge=0, le=MOST_BYTES)


class FetchPages:
    """The progress of fetching pods, as `observe` wants it. What arrives late is told at the next look."""

    def __init__(self, fetch: Fetch | None = None) -> None:
        self._scraper = Scraper(_parse, fetch)

    async def fetches(self, key: Key, pods: Sequence[Manifest]) -> Mapping[str, FetchReport]:
        """What is known of these pods, by pod name; those that were not asked lately are asked now."""
        await self._scraper.ask(key, [pod for pod in pods if self._scraper.rested(pod, PAUSE_SECONDS)])
        return self._scraper.told(pods)

    async def close(self) -> None:
        """Ends the requests that are under way."""
        await self._scraper.close()


def _parse(pod: str, text: bytes) -> FetchReport:
    page = FetchPage.model_validate_json(text)
    return FetchReport(page.downloaded_bytes, page.total_bytes)
