"""What the repositories of all objects hold, looked at every `pollIntervalSeconds`: how a new upload is noticed.

Objects that name the same place share one look. A look never disturbs a reconcile: who asks gets what was heard last,
and is woken when something else is heard. After a restart the looks are spread over the interval, and the status
stands in for what this process has not heard yet.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from typing import Any

from mmm_operator.api.conditions import Reason
from mmm_operator.api.status import ModelState
from mmm_operator.api.storage import Storage
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key
from mmm_operator.sources.access import Access, NoAccess, Pass, now
from mmm_operator.sources.agreement import Agreement
from mmm_operator.sources.gate import Down, Gate
from mmm_operator.sources.question import reason_of
from mmm_repository.errors import AccessDenied, EndpointUnreachable, RepositoryError
from mmm_repository.follow import Sight, look
from mmm_repository.storage import StorageOptions

log = logging.getLogger(__name__)

# A Secret is read again this often, and at once when the storage refuses what it held.
PASS_SECONDS = 300.0
# So many failures in a row are worth a word in the status.
TOLD_FAILURES = 2
Look = Callable[[str, StorageOptions, Collection[str], Sight | None], Coroutine[Any, Any, Sight]]


@dataclass(frozen=True, slots=True)
class Place:
    """A repository, and as whom it is looked at."""

    namespace: str
    uri: str
    storage: Storage

    @classmethod
    def of(cls, mmm: MultimodalModel) -> "Place":
        """Where the versions of the object's model are."""
        return cls(mmm.metadata.namespace, mmm.spec.model.uri, mmm.spec.storage)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a look failed."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Heard:
    """The last look that succeeded, and what is wrong when the one after it did not; standing once it failed again."""

    sight: Sight | None = None
    trouble: Trouble | None = None
    is_standing: bool = False

    @property
    def standing(self) -> Trouble | None:
        """The trouble, if it is not the first time."""
        return self.trouble if self.is_standing else None


@dataclass(slots=True)
class Followed:
    """One place: who is interested in it, in which versions and how often, and what was heard."""

    interested: dict[Key, tuple[str, float]] = field(default_factory=dict)
    heard: Heard = Heard()
    failures: int = 0
    first: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    granted: Pass | None = None
    granted_at: float = 0.0
    task: asyncio.Task[None] | None = None
    next_at: float = 0.0
    silence: str = "The storage does not answer."
    agreement: Agreement = field(default_factory=Agreement)

    def interval(self) -> float:
        """The shortest interval that anybody asks for."""
        return min(interval for _, interval in self.interested.values())

    def rest(self) -> float:
        """How long to wait for the next look; exactly as long as listings must stand, where one is waited for."""
        left = self.agreement.left(self.interval(), now())
        return self.interval() * random.uniform(0.9, 1.0) if left is None else left

    def after(self, trouble: Trouble) -> Heard:
        """What is known after another failure: one alone is no news, and what was seen is not unsaid by it."""
        self.failures += 1
        told, sight = self.heard.trouble, self.heard.sight
        if sight is not None and self.failures < TOLD_FAILURES:
            return self.heard
        # In other words is no news either.
        same = told if told and told.reason == trouble.reason else trouble
        return Heard(sight, same, self.failures >= TOLD_FAILURES)

    def pinned(self) -> set[str]:
        """The versions whose bytes must not change."""
        return {version for version, _ in self.interested.values() if version}


class Follower:
    """Looks at the places of all objects that it was told of; not while `leads` says that another replica does."""

    def __init__(
        self,
        access: Access,
        wake: Callable[[Key], None],
        settings: Settings,
        look_at: Look = look,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._access = access
        self._leads = leads
        self._wake = wake
        self._timeout = settings.resolve_timeout_seconds
        self._look_at = look_at
        self._places: dict[Place, Followed] = {}
        self._of: dict[Key, Place] = {}
        self._gates: dict[str, Gate] = {}

    async def heard(
        self, key: Key, mmm: MultimodalModel, version: str, patience: float, believed: Collection[ModelState] = ()
    ) -> Heard:
        """What is known of the object's repository, in which `version` is the one that shall not change.

        With `patience` the first look is taken now and waited for so many seconds; else it comes when its turn comes.
        `believed` are versions that an earlier process has seen stand; see `agreement`.
        """
        place = Place.of(mmm)
        if self._of.get(key) not in (None, place):
            self.forget(key)
        followed = self._places.setdefault(place, Followed())
        self._of[key] = place
        for state in believed:
            followed.agreement.believe(state.version, state.digest)
        followed.interested[key] = version, float(mmm.spec.model.poll_interval_seconds)
        if followed.task is None:
            rest = 0.0 if patience else random.uniform(0.0, followed.interval())
            followed.task = asyncio.create_task(self._follow(place, followed, rest), name=f"follow {place.uri}")
        elif followed.next_at - now() > mmm.spec.model.poll_interval_seconds:
            followed.hurry.set()  # until now nobody was in such a hurry
        if patience and not followed.first.is_set():
            followed.hurry.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(followed.first.wait(), patience)
        return followed.heard

    def forget(self, key: Key) -> None:
        """Nobody asks for this object any more."""
        place = self._of.pop(key, None)
        if place is None:
            return
        followed = self._places[place]
        del followed.interested[key]
        if not followed.interested:
            del self._places[place]
            if followed.task is not None:
                followed.task.cancel()

    async def close(self) -> None:
        """Ends all looks."""
        tasks = [followed.task for followed in self._places.values() if followed.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, place: Place, followed: Followed, rest: float) -> None:
        while True:
            followed.next_at = now() + rest
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(followed.hurry.wait(), rest)
            followed.hurry.clear()
            if self._leads():
                self._tell(followed, await self._look(place, followed))
            rest = followed.rest()

    def _tell(self, followed: Followed, heard: Heard) -> None:
        news, followed.heard = heard != followed.heard, heard
        followed.first.set()
        for key in tuple(followed.interested) if news else ():
            self._wake(key)

    async def _look(self, place: Place, followed: Followed) -> Heard:
        gate = self._gates.setdefault(place.storage.endpoint or "", Gate())
        try:
            await self._enter_if_due(place, followed)
            if gate.is_down:
                self._tell(followed, followed.after(Trouble(Reason.ENDPOINT_UNREACHABLE, followed.silence)))
            async with gate.passed():
                sight = await self._look_now(place, followed)
        except Down as error:
            followed.silence = str(error)
            return followed.after(Trouble(Reason.ENDPOINT_UNREACHABLE, followed.silence))
        except NoAccess as error:
            return followed.after(Trouble(error.reason, str(error)))
        except RepositoryError as error:
            return followed.after(Trouble(reason_of(error), error.message))
        except Exception:
            # A mistake of ours must not end the following of this place.
            log.exception("look into %s failed", place.uri)
            return followed.after(Trouble(Reason.INTERNAL_ERROR, "The operator failed to look; its log says more."))
        followed.failures = 0
        return Heard(followed.agreement.settle(sight, followed.pinned(), followed.interval(), now()))

    async def _look_now(self, place: Place, followed: Followed) -> Sight:
        try:
            return await self._timed_look(place, followed)
        except AccessDenied:
            used = followed.granted
            await self._enter(place, followed)
            if followed.granted == used:
                raise
            return await self._timed_look(place, followed)  # the credentials were changed meanwhile

    async def _enter_if_due(self, place: Place, followed: Followed) -> None:
        if followed.granted is None or now() - followed.granted_at > PASS_SECONDS:
            await self._enter(place, followed)
        else:
            await self._access.check(place.uri, place.storage)  # a name may mean another address by now

    async def _enter(self, place: Place, followed: Followed) -> None:
        followed.granted = None
        followed.granted = await self._access.get(place.namespace, place.uri, place.storage)
        followed.granted_at = now()

    async def _timed_look(self, place: Place, followed: Followed) -> Sight:
        assert followed.granted is not None
        try:
            async with asyncio.timeout(self._timeout):
                return await self._look_at(place.uri, followed.granted.options, followed.pinned(), followed.heard.sight)
        except TimeoutError:
            raise Down(f"The storage gave no answer within {self._timeout:g} seconds.") from None
        except EndpointUnreachable as error:
            if not error.retryable:
                raise  # it is about what was asked, and nobody else's business
            raise Down(error.message) from None
