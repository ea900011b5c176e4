"""The model repositories as `observe` wants them: the version to serve, and what else there is."""

from mmm_operator.api.conditions import ConditionType
from mmm_operator.api.status import Status
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.snapshot import Key, Resolution, Update
from mmm_operator.sources.follower import Follower
from mmm_operator.sources.newest import follows, newest_resolution, serving, update_of
from mmm_operator.sources.resolver import PATIENCE_SECONDS, Resolver


class Repositories:
    """Pinned versions come from the resolver, the newest ones from the follower."""

    def __init__(self, resolver: Resolver, follower: Follower) -> None:
        self._resolver = resolver
        self._follower = follower

    async def look(self, key: Key, mmm: MultimodalModel, status: Status) -> tuple[Resolution, Update | None]:
        """What is known now of the wanted version and of the others; never waits long, whatever the storage does."""
        if follows(mmm):
            current = serving(mmm, status)
            patience = 0.0 if current or status.model.target else PATIENCE_SECONDS
            heard = await self._follower.heard(key, mmm, current.version if current else "", patience)
            resolution = newest_resolution(mmm, status, heard)
        else:
            # Both at once: what is said of a new object is said in one write.
            new = not any(condition.type == ConditionType.UPDATE_AVAILABLE for condition in status.conditions)
            resolution = await self._resolver.resolution(key, mmm, status)
            patience = PATIENCE_SECONDS if new and resolution.digest is not None else 0.0
            heard = await self._follower.heard(key, mmm, mmm.spec.model.version or "", patience)
        return resolution, update_of(mmm, resolution, heard)

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._follower.forget(key)

    async def close(self) -> None:
        """Ends the looks that are under way."""
        await self._resolver.close()
        await self._follower.close()
