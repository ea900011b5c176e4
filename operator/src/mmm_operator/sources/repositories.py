"""The model repositories as `observe` wants them: the version to serve, and what else there is."""

from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.snapshot import Key, Resolution, Update
from mmm_operator.sources.follower import Follower
from mmm_operator.sources.newest import follows, newest_resolution, serving, stored_refusal, update_of
from mmm_operator.sources.resolver import PATIENCE_SECONDS, Resolver


class Repositories:
    """Pinned versions come from the resolver, the newest ones from the follower."""

    def __init__(self, resolver: Resolver, follower: Follower) -> None:
        self._resolver = resolver
        self._follower = follower

    async def look(self, key: Key, mmm: MultimodalModel, status: Status) -> tuple[Resolution, Update | None]:
        """What is known now of the wanted version and of the others; never waits long, whatever the storage does."""
        # What is said of a new object, or of a new spec, is said in one write; after a restart there is no hurry.
        new = mmm.metadata.generation != status.observed_generation
        patience = PATIENCE_SECONDS if new else 0.0
        if follows(mmm):
            current = serving(mmm, status)
            heard = await self._follower.heard(key, mmm, current.version if current else "", patience)
            resolution = (None if new else stored_refusal(mmm, status, heard)) or newest_resolution(mmm, status, heard)
        else:
            resolution = await self._resolver.resolution(key, mmm, status)
            patience = patience if resolution.digest is not None else 0.0
            heard = await self._follower.heard(key, mmm, mmm.spec.model.version or "", patience)
        return resolution, update_of(mmm, resolution, heard)

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._follower.forget(key)

    async def close(self) -> None:
        """Ends the looks that are under way."""
        await self._resolver.close()
        await self._follower.close()
