"""The model repositories as `observe` wants them: the version to serve, and what else there is."""

from mmm_operator.api.conditions import Reason
from mmm_operator.api.source import mounted_source
from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.snapshot import Key, Resolution, Update
from mmm_operator.sources.follower import Follower, Heard
from mmm_operator.sources.newest import follows, newest_resolution, serving, stored_refusal, update_of
from mmm_operator.sources.plain import marked, pinned_resolution, unverified_states
from mmm_operator.sources.question import Question
from mmm_operator.sources.resolver import PATIENCE_SECONDS, Resolver


class Repositories:
    """Pinned versions come from the resolver, the newest ones from the follower."""

    def __init__(self, resolver: Resolver, follower: Follower) -> None:
        self._resolver = resolver
        self._follower = follower

    async def look(self, key: Key, mmm: MultimodalModel, status: Status) -> tuple[Resolution, Update | None]:
        """What is known now of the wanted version and of the others; never waits long, whatever the storage does."""
        if mounted_source(mmm.spec.model.uri) is not None:
            self._follower.forget(key)
            # Only pods can look into it: what the spec says is checked by each of them.
            return Question.of(mmm).found(mmm.spec.model.digest or ""), None
        # What is said of a new object, or of a new spec, is said in one write; after a restart there is no hurry.
        new = mmm.metadata.generation != status.observed_generation
        patience = PATIENCE_SECONDS if new else 0.0
        if follows(mmm):
            current = serving(mmm, status)
            believed = unverified_states(status)
            heard = await self._follower.heard(key, mmm, current.version if current else "", patience, believed)
            resolution = (None if new else stored_refusal(mmm, status, heard)) or newest_resolution(mmm, status, heard)
        else:
            resolution, heard = await self._look_pinned(key, mmm, status, patience)
        return marked(resolution, status, heard), update_of(mmm, resolution, heard)

    async def _look_pinned(
        self, key: Key, mmm: MultimodalModel, status: Status, patience: float
    ) -> tuple[Resolution, Heard]:
        found = await self._resolver.resolution(key, mmm, status)
        # Where there is no manifest the follower may know more; about any other trouble nobody waits for it.
        worth = found.digest is not None or found.reason is Reason.INCOMPLETE_UPLOAD
        version, believed = mmm.spec.model.version or "", unverified_states(status)
        heard = await self._follower.heard(key, mmm, version, patience if worth else 0.0, believed)
        return pinned_resolution(mmm, status, found, heard), heard

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._follower.forget(key)

    async def close(self) -> None:
        """Ends the looks that are under way."""
        await self._resolver.close()
        await self._follower.close()
