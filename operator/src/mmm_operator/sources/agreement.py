"""Which versions without a manifest are believed: those whose listings, an interval apart, agree.

An object of S3 appears whole, so what one listing shows is whole, and only what is not there yet can be missing. That a
second one shows the same makes it likely that nothing more comes. Nobody can know, so it is said to be unverified.
"""

from collections.abc import Collection
from dataclasses import replace

from mmm_repository.follow import Seen, Sight
from mmm_repository.unverified import Plain

# Clocks are not as fine as that.
TOLERANCE_SECONDS = 0.01
ALWAYS = float("-inf")


class Agreement:
    """Since when each listing of one place has been seen, without a look in between that showed another."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}

    def believe(self, version: str, digest: str) -> None:
        """An earlier process has seen this one stand."""
        self._since[version, digest] = ALWAYS

    def settle(self, sight: Sight, pinned: Collection[str], interval: float, at: float) -> Sight:
        """What a look showed, with the versions that have stood for an interval as those that are there."""
        whole = [plain for plain in sight.plain if plain.trouble is None]
        there = {(plain.version, plain.digest) for plain in whole}
        self._since = {pair: since for pair, since in self._since.items() if pair in there or since == ALWAYS}
        for pair in there:
            self._since.setdefault(pair, at)
        if not sight.plain:
            return sight
        seen = [Seen(p.version, p.digest, p.total_bytes, settled=self._stood(p, interval, at)) for p in whole]
        newest = next((version for version in seen if version.settled), None)
        above = [plain.version for plain in sight.plain]
        if newest is not None:
            above = above[: above.index(newest.version)]
        return replace(
            sight,
            newest=newest,
            whole=newest,
            pinned={version.version: version for version in seen if version.version in pinned},
            incomplete=tuple(sorted(set(above) & set(sight.incomplete))),
        )

    def left(self, interval: float, at: float) -> float | None:
        """The seconds until the next listing can have stood long enough; None where no look is waited for."""
        waiting = [since + interval - at for since in self._since.values()]
        return min((seconds for seconds in waiting if seconds > TOLERANCE_SECONDS), default=None)

    def _stood(self, plain: Plain, interval: float, at: float) -> bool:
        return at - self._since[plain.version, plain.digest] >= interval - TOLERANCE_SECONDS
