"""The bounds of connections: how many there may be, and how long each may take for each step.

    HEAD ──► BODY ──► ANSWER ──► IDLE ──► HEAD …
              └─ answered before it was read ─► LINGER (what still comes is thrown away, for a while)
    refused ─► ENDED  (likewise, and the client has been told that nothing follows)

Time is looked at by one sweep over all connections, not by a timer per request: cheap, and late by a fraction at most.
"""

import fcntl
import math
import termios
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from mmm_server.limits import ConnectionLimits

LINGER_SECONDS = 5.0
QUIET_SECONDS = (
    0.5  # a leaving server closes no connection that was opened or used more recently: a request may be coming
)
PATIENCE = 10  # an answer may take this many stalls in all, however steadily it trickles
EVICTION_SECONDS = 0.5  # whoever waits longer gives way to a newcomer when there is no room
LEAVING_SWEEP_SECONDS = 0.1
LEAST_SWEEP_SECONDS, MOST_SWEEP_SECONDS = 0.05, 1.0


class Phase(Enum):
    """What a connection is waiting for."""

    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    IDLE = auto()
    LINGER = auto()
    ENDED = auto()


class Reason(Enum):
    """Why a connection was refused or cut off; the values are labels of a metric."""

    MALFORMED = "malformed"
    HEAD_TOO_LARGE = "head-too-large"
    HEAD_TIMEOUT = "head-timeout"
    UNREAD_BODY = "unread-body"
    WRITE_STALLED = "write-stalled"
    TOO_MANY = "too-many"
    EVICTED = "evicted"


@dataclass(slots=True)
class Unsent:
    """What the client has not taken yet; all times are those of the event loop."""

    size: int = 0
    since: float = 0.0
    progressed: float = 0.0

    def observe(self, size: int, now: float) -> None:
        """Learns how much is unsent now."""
        if size == 0 or self.size == 0:
            self.since = self.progressed = now
        elif size < self.size:
            self.progressed = now
        self.size = size

    def taken(self, now: float) -> None:
        """Learns that the client took nearly all there was; what is there at the next look may be what followed."""
        self.progressed = now

    def stalled(self, now: float, seconds: float) -> bool:
        """Whether the client does not read, or far too slowly."""
        return self.size > 0 and (now - self.progressed > seconds or now - self.since > PATIENCE * seconds)


def overdue(phase: Phase, waited: float, limits: ConnectionLimits) -> Reason | None:
    """Why a connection that has been in `phase` for `waited` seconds must end, or None.

    A body is watched by its reader, which knows the deadline, and an idle connection by the keep-alive timer.
    """
    if phase is Phase.HEAD and waited > limits.head_seconds:
        return Reason.HEAD_TIMEOUT
    if phase is Phase.LINGER and waited > LINGER_SECONDS:
        return Reason.UNREAD_BODY
    return None


def old_age(seconds: float, chance: float) -> float:
    """Seconds after which a connection is old; `chance` in [0, 1) spreads those that were opened together."""
    return seconds * (1 - 0.2 * chance) if seconds else math.inf


def unread(descriptor: int) -> bool:
    """Whether bytes of the peer have arrived that nobody has read yet."""
    count = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
    return any(count)


def sweep_seconds(limits: ConnectionLimits, leaving: bool = False) -> float:
    """How often to look: a quarter of the shortest bound."""
    if leaving:
        return LEAVING_SWEEP_SECONDS
    shortest = min(limits.head_seconds, limits.write_stall_seconds)
    return min(MOST_SWEEP_SECONDS, max(LEAST_SWEEP_SECONDS, shortest / 4))


@dataclass(slots=True)
class Guard:
    """The bounds and counts of one listener; event loop only."""

    limits: ConnectionLimits
    count_refused: Callable[[Reason], None]
    total: int = 0
    peers: Counter[str] = field(default_factory=Counter)
    leaving: bool = False  # no connection is kept for another request

    def full(self) -> bool:
        """Whether there is no room for anybody."""
        return 0 < self.limits.connections <= self.total

    def welcome(self, peer: str) -> bool:
        """Whether one more connection of that peer may stay."""
        return not self.full() and not 0 < self.limits.connections_per_peer <= self.peers[peer]

    def enter(self, peer: str) -> None:
        """Counts a connection."""
        self.total += 1
        self.peers[peer] += 1

    def leave(self, peer: str) -> None:
        """Forgets a connection."""
        self.total -= 1
        self.peers[peer] -= 1
        if self.peers[peer] <= 0:
            del self.peers[peer]
