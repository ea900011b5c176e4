"""What the servers say about themselves: the page of each ready pod, once."""

from collections.abc import Callable, Mapping, Sequence

from mmm_operator.scrape.page import StatusPage
from mmm_operator.scrape.scraper import Fetch, Scraper
from mmm_operator.snapshot import Key, Manifest, ServerReport

RETRY_SECONDS = 60.0
# A server that goes over to another version is asked this often how far it is.
AGAIN_SECONDS = 1.0

Wake = Callable[[Key], None]


class StatusPages:
    """The status pages of the server pods, as `observe` wants them. What arrives late wakes the object."""

    def __init__(self, wake: Wake, fetch: Fetch | None = None) -> None:
        self._wake = wake
        self._scraper = Scraper(_parse, fetch)

    async def reports(self, key: Key, pods: Sequence[Manifest], *, again: bool = False) -> Mapping[str, ServerReport]:
        """What is known of these pods, by pod name; the others are asked now, and with `again` all of them."""
        pause = AGAIN_SECONDS if again else RETRY_SECONDS
        silent = [pod for pod in pods if (again or not self._scraper.knows(pod)) and self._scraper.rested(pod, pause)]
        for scrape in await self._scraper.ask(key, silent):
            scrape.add_done_callback(lambda _: self._wake(key))
        return self._scraper.told(pods)

    async def close(self) -> None:
        """Ends the requests that are under way."""
        await self._scraper.close()


def _parse(pod: str, text: bytes) -> ServerReport:
    return StatusPage.model_validate_json(text).report(pod)
