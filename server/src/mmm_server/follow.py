"""`mmm-server fetch --follow`: bring the wanted version, then stay and bring every other one that becomes wanted.

Runs as side-car of a server that swaps versions. What is wanted stands in `wanted.json` of the rollout directory;
without it, it is what the environment names.

    first version ──► there: /startupz says 200 ──► another digest is wanted ──► there, or tried again and again
        └─ fails: the process ends, as `fetch` does                                └─ fails: `.fetch-failed.json`

The first version of a pod is the one without which it cannot begin. A process that is started again in the same pod
has none: the pod serves, and must not become unready because of what happens here.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from mmm_repository import Progress, RepositoryError, StorageOptions
from mmm_repository.retention import drop
from mmm_repository.slot import slot_of
from mmm_server.engine.remembered import recall
from mmm_server.fetch import FetchSettings, ProgressLog, have_version
from mmm_server.follow_page import FollowPage
from mmm_server.follow_state import Failure, FollowState
from mmm_server.logs import fields
from mmm_server.progress_page import served
from mmm_server.wanted import BrokenWanted, WantedVersion, read_wanted

POLL_SECONDS: Final = 1.0
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
KEPT: Final = 2  # so many versions stay beside the wanted one

log = logging.getLogger(__name__)


async def follow_wanted(settings: FetchSettings, storage: StorageOptions) -> None:
    """Bring what is wanted until cancelled; raises RepositoryError when the pod's first version does not come."""
    page = FollowPage(ProgressLog())
    with served(page, settings.operations_port):
        await Follower(settings, storage, page).run()


class Follower:
    """Brings one version at a time: the one that is wanted now."""

    def __init__(self, settings: FetchSettings, storage: StorageOptions, page: FollowPage) -> None:
        self._settings = settings
        self._storage = storage
        self._page = page
        self._state = FollowState(settings.root)
        self._made_with = WantedVersion(settings.version, settings.digest)
        self._complaint = ""

    async def run(self) -> None:
        """Goes on until cancelled."""
        wanted = self._look(self._made_with)
        if self._state.resumed:
            self._page.started = True
        while True:
            sought, work = wanted, asyncio.ensure_future(self._have(wanted))
            try:
                wanted = await self._next(sought, work)
            finally:
                await _end(work)
                self._note_if_there(sought)

    async def _next(self, wanted: WantedVersion, work: "asyncio.Future[None]") -> WantedVersion:
        """What is wanted as soon as it is something else; raises what the work raises."""
        while (now := self._look(wanted)) == wanted:
            if work.done():
                work.result()
                await asyncio.sleep(POLL_SECONDS)
            else:
                await asyncio.wait([work], timeout=POLL_SECONDS)
        log.info("another version is wanted", extra=fields(version=now.version, digest=now.digest))
        return now

    def _look(self, before: WantedVersion) -> WantedVersion:
        """What is wanted now. A file that makes no sense is said once and changes nothing."""
        try:
            found, complaint = read_wanted(self._settings.rollout_dir) or self._made_with, ""
        except BrokenWanted as broken:
            found, complaint = before, str(broken)
        if complaint and complaint != self._complaint:
            log.error(complaint)
        self._complaint = self._page.complaint = complaint
        return found

    async def _have(self, wanted: WantedVersion) -> None:
        """Have the version here, however often that must be tried once the pod has begun."""
        self._page.begin(wanted)
        pause = FIRST_PAUSE_SECONDS
        while not await self._try(wanted):
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        self._page.done()

    async def _try(self, wanted: WantedVersion) -> bool:
        if self._state.failure and self._state.failure.digest != wanted.digest:
            self._fail(None)
        await self._make_room(wanted)
        try:
            await self._bring(wanted)
        except RepositoryError as error:
            failure = Failure(wanted.digest, error.reason, error.message)
            log.error(error.message, extra=fields(reason=error.reason, digest=wanted.digest))
            self._fail(failure)
            if not self._page.started:
                raise
            return False
        self._fail(None)
        self._state.arrived(wanted.digest)
        self._page.started = True
        return True

    def _note_if_there(self, wanted: WantedVersion) -> None:
        """Note a version that got its place although it was given up: one that is not noted is never removed."""
        if self._settings.in_place or wanted.digest in self._state.digests:
            return
        with suppress(OSError, RepositoryError):
            if slot_of(self._settings.root, wanted.digest).final.is_dir():
                self._state.arrived(wanted.digest)

    async def _bring(self, wanted: WantedVersion) -> None:
        known = fields(version=wanted.version, digest=wanted.digest)
        log.info("fetching", extra=known)
        settings = self._settings.model_copy(update={"version": wanted.version, "digest": wanted.digest})
        await have_version(settings, self._storage, self._listen)
        log.info("the version is there", extra=known)

    def _listen(self, progress: Progress) -> None:
        self._page(progress)

    def _fail(self, failure: Failure | None) -> None:
        self._page.failure = failure
        self._state.fail(failure)

    async def _make_room(self, wanted: WantedVersion) -> None:
        """Remove what was wanted long ago. Of what others brought to a shared volume nothing is ours to remove."""
        if self._settings.in_place:
            return
        used = (await asyncio.to_thread(recall, self._settings.state_dir)).used()
        for digest in superfluous(self._state.digests, wanted.digest, used):
            if digest not in self._settings.keep_digests:
                await self._drop(digest)

    async def _drop(self, digest: str) -> None:
        try:
            gone = await asyncio.to_thread(drop, slot_of(self._settings.root, digest))
        except (OSError, RepositoryError):
            gone = False
        if gone:
            self._state.forget(digest)
            log.info("removed: it was wanted long ago", extra=fields(digest=digest))


def superfluous(came: Sequence[str], wanted: str, used: Sequence[str]) -> list[str]:
    """The versions to remove of those that came (newest first): all but the wanted one and KEPT others.

    Those that the server uses stay before newer ones: after several bad versions what serves is none of the last. While
    it has not said what it uses, it may be loading any of them for the first time, and none is removed.
    """
    if not used:
        return []
    others = [digest for digest in came if digest != wanted]
    stay = [*(digest for digest in others if digest in used), *(digest for digest in others if digest not in used)]
    return stay[KEPT:]


async def _end(work: "asyncio.Future[None]") -> None:
    """Ends the work and waits until it has ended."""
    work.cancel()
    await asyncio.wait([work])
    if not work.cancelled():
        work.exception()  # whoever wanted to know has been told
