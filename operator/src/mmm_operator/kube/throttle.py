"""How many calls to the API server may be under way at once, and when none may: what the server says it can bear."""

import asyncio
import random
from collections import deque
from types import TracebackType

# What a 429 without Retry-After means; the API server itself always says 1.
SHORTEST_PAUSE_SECONDS = 1.0
# A Retry-After of an hour from some proxy must not put the operator to sleep for an hour.
LONGEST_PAUSE_SECONDS = 60.0
# One more call at a time after eight rounds of answers without a 429: from 1 to 16 within a thousand calls.
GROWTH = 1 / 8


class Throttle:
    """`async with` it around each call; turns are taken in the order of arrival.

    A 429 holds back all calls for as long as the server asks, and halves the number of calls at a time; answers let it
    grow again. So a server with a single seat for us soon sees a single call at a time.
    """

    def __init__(self, most: int, rng: random.Random | None = None) -> None:
        self._most = most
        self._limit = float(most)
        self._rng = rng or random.Random()
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._open_at = self._halved_at = float("-inf")

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        return int(self._limit)

    async def __aenter__(self) -> None:
        await self._take_turn()
        try:
            while (left := self._open_at - _now()) > 0:  # noqa: ASYNC110  (a time, not a condition)
                # A little later than asked for, and not all at once.
                await asyncio.sleep(left * self._rng.uniform(1.0, 1.1))
        except BaseException:
            self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def answered(self) -> None:
        """The server answered something else than "too many requests"."""
        self._set_limit(self._limit + GROWTH / self.limit)

    def too_many(self, retry_after: float | None, since: float) -> None:
        """The server said 429 to a call that was sent at `since`, by the clock of the event loop."""
        pause = min(max(retry_after or 0.0, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        self._open_at = max(self._open_at, _now() + pause)
        # Sixteen refusals of calls that left together are one piece of news.
        if since > self._halved_at:
            self._halved_at = _now()
            self._set_limit(self._limit / 2)

    def _set_limit(self, limit: float) -> None:
        self._limit = min(max(limit, 1.0), float(self._most))
        self._admit()

    async def _take_turn(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
                self._admit()
            else:
                self._leave()
            raise

    def _admit(self) -> None:
        while self._waiting and self._under_way < self.limit and not self._waiting[0].cancelled():
            self._under_way += 1
            self._waiting.popleft().set_result(None)

    def _leave(self) -> None:
        self._under_way -= 1
        self._admit()


def _now() -> float:
    return asyncio.get_running_loop().time()
