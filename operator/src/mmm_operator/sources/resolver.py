"""Which bytes a version means: asks the model repositories, and remembers what they said.

A reconcile never waits for a slow bucket. Looking happens beside the reconciles; a reconcile gets what is known
now, and the object is reconciled again when more is known. What is known, best first:

1. The version that serves (`status.model.current`). A version is immutable, so it is never asked for again: a
   bucket that is dead, emptied or closed disturbs nothing that runs, and a restarted operator asks for nothing.
2. What this process heard from the repository, if it named a digest.
3. The digest that an earlier process wrote to `status.model.target` or `.previous`. It does not serve, and somebody
   may have corrected a broken upload, so the repository is asked again every `pollIntervalSeconds`; until it
   answers, and if it cannot, the digest stands.
4. What the repository said why there is none.
5. Nothing yet: Resolving.

A stored digest counts only if uri, endpoint and version are still the same, and `model.digest` names no other.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from mmm_operator.api.conditions import Reason
from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.errors import KubeError
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Key, Resolution
from mmm_operator.sources.access import Access, NoAccess, now, version_of
from mmm_operator.sources.question import LookUp, Question
from mmm_repository.errors import RepositoryError
from mmm_repository.resolve import resolve
from mmm_repository.storage import StorageOptions

log = logging.getLogger(__name__)

LOOKS_AT_A_TIME = 16
MOST_ANSWERS = 10_000
# A bucket that is well answers within this, and the object needs no second reconcile.
PATIENCE_SECONDS = 0.5

Wake = Callable[[Key], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a repository said, when, and with which version of the Secret it was asked."""

    resolution: Resolution
    at: float
    secret_version: str


class Resolver:
    """What versions mean that a spec names. `wake` is called for each object that an answer concerns."""

    def __init__(self, access: Access, wake: Wake, settings: Settings, look_up: LookUp = resolve) -> None:
        self._access = access
        self._wake = wake
        self._timeout = settings.resolve_timeout_seconds
        self._look_up = look_up
        self._slots = asyncio.Semaphore(LOOKS_AT_A_TIME)
        self._answers: dict[Question, Answer] = {}
        self._looks: dict[Question, asyncio.Task[None]] = {}
        self._waiting: dict[Question, dict[Key, str | None]] = {}

    async def resolution(self, key: Key, mmm: MultimodalModel, status: Status) -> Resolution:
        """What is known about the wanted version; see above."""
        question, pin = Question.of(mmm), mmm.spec.model.digest
        serving = question.answered_by(status.model.current)
        if serving and pin in (None, serving):
            return question.found(serving)
        states = (status.model.target, status.model.previous)
        stored = next((d for d in map(question.answered_by, states) if d and pin in (None, d)), None)
        if not await self._fresh(question, mmm.spec.model.poll_interval_seconds):
            await self._ask(key, question, stored)
        heard = self._answers.get(question)
        return question.pinned(_best(question, heard.resolution if heard else None, stored), pin)

    async def close(self) -> None:
        """Ends the looks that are under way."""
        for task in self._looks.values():
            task.cancel()
        await asyncio.gather(*self._looks.values(), return_exceptions=True)

    async def _fresh(self, question: Question, poll_interval: float) -> bool:
        answer = self._answers.get(question)
        # A little less than the interval, so that a reconcile after exactly the interval asks.
        if answer is None or now() - answer.at > 0.9 * poll_interval:
            return False
        if answer.resolution.digest is not None or question.storage.credentials_secret_ref is None:
            return True
        try:
            secret = await self._access.secret(question.namespace, question.storage)
            return version_of(secret) == answer.secret_version  # corrected credentials heal at once
        except KubeError:
            return True

    async def _ask(self, key: Key, question: Question, stored: str | None) -> None:
        look = self._looks.get(question)
        if look is None:
            look = self._looks[question] = asyncio.create_task(self._look(question), name=f"look into {question.uri}")
        if stored is None:
            await asyncio.wait({look}, timeout=PATIENCE_SECONDS)
        if not look.done():
            self._waiting.setdefault(question, {})[key] = stored

    async def _look(self, question: Question) -> None:
        before = self._answers.get(question)
        try:
            async with self._slots:
                answer = await self._look_now(question)
        except Exception:
            # A mistake of ours must not look like one of the user's, nor end the operator.
            log.exception("look into %s failed", question.uri)
            message = "The operator failed to look; its log says more."
            answer = Answer(question.missing(Reason.INTERNAL_ERROR, message), now(), "")
        finally:
            del self._looks[question]
        if answer.resolution.digest is None and before is not None and before.resolution.digest is not None:
            # What was there once is not unsaid by a bad day of the storage.
            answer = replace(before, at=answer.at)
        self._remember(question, answer)

    async def _look_now(self, question: Question) -> Answer:
        try:
            granted = await self._access.get(question.namespace, question.uri, question.storage)
        except NoAccess as error:
            return Answer(question.missing(error.reason, str(error)), now(), error.version)
        return Answer(await self._repository_says(question, granted.options), now(), granted.version)

    async def _repository_says(self, question: Question, options: StorageOptions) -> Resolution:
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._look_up(question.uri, question.version, options)
        except TimeoutError:
            message = f"The storage gave no answer within {self._timeout:g} seconds."
            return question.missing(Reason.ENDPOINT_UNREACHABLE, message)
        except RepositoryError as error:
            return question.failed(error)
        return question.found(found.digest, found.total_bytes)

    def _remember(self, question: Question, answer: Answer) -> None:
        self._answers.pop(question, None)
        self._answers[question] = answer
        while len(self._answers) > MOST_ANSWERS:
            self._answers.pop(next(iter(self._answers)))  # the oldest
        for key, stored in self._waiting.pop(question, {}).items():
            if stored is None or answer.resolution.digest not in (None, stored):  # else the object goes by it already
                self._wake(key)


def _best(question: Question, heard: Resolution | None, stored: str | None) -> Resolution:
    if heard is not None and heard.digest is not None:
        return heard
    if stored is not None:
        return question.found(stored)
    return heard or question.missing(Reason.RESOLVING, "The repository is being asked.")
