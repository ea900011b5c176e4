"""The clock: from one moment at which something happens to the next, until nothing does."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mmm_operator import names
from mmm_operator.api.conditions import Condition, ConditionType
from mmm_operator.offline.simulation.script import Occurrence, When
from mmm_operator.offline.simulation.world import World
from mmm_operator.plan import Event, Plan
from mmm_operator.snapshot import revision_id

# The most turns that cluster and operator take at one moment; more would be a loop.
MOST_TURNS = 200
# Nothing that anybody sees has happened for this long after every deadline: it is at rest.
SLACK = 60


@dataclass(frozen=True, slots=True)
class Size:
    """One revision at one moment, in pods."""

    version: str
    ready: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Row:
    """What one of `event`, `operator` and `pods` did at one moment, and how things are afterwards."""

    seconds: int
    who: str
    what: tuple[str, ...]
    sizes: dict[str, Size]
    wanted: int
    serving: int
    rollout: str
    reason: str
    because: str = ""
    ready: str = ""
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Course:
    """The whole simulation. `rest` is the moment since which nothing happened; None when it was ended before."""

    rows: tuple[Row, ...]
    rest: int | None
    ready: bool
    ended: int


@dataclass(frozen=True, slots=True)
class Said:
    """What the status tells people."""

    rollout: str = ""
    reason: str = ""
    because: str = ""
    ready: str = ""


@dataclass
class Run:
    """One simulation on its way."""

    world: World
    script: list[Occurrence]
    limit: int
    now: int = 0
    rows: list[Row] = field(default_factory=list)
    look: int | None = 0
    occurred: int = 0
    endless: bool = False
    last: Said = field(default_factory=lambda: Said())

    def course(self) -> Course:
        """Everything until the world is at rest, or the limit is reached."""
        version = self.world.spec.model.version or f"the newest, which is {self.world.newest}"
        self._tell("event", (f"the object is created: version {version}",))
        self._settle()
        while not self.endless and (following := self._next()) is not None and following[0] <= self.limit:
            moment, occurs = following
            self.world.pass_time(moment - self.now)
            self.now = moment
            if occurs:
                self._occur()
            self._settle()
        still = self.endless or self._next() is not None
        ended = self.now if self.endless else self.limit if still else self.rows[-1].seconds
        return Course(tuple(self.rows), None if still else ended, self._ready(), ended)

    def _settle(self) -> None:
        """Cluster and operator act until neither has anything to do at this moment."""
        for _ in range(MOST_TURNS):
            news, changed = self.world.cluster.move(self.now)
            if news:
                self._tell("pods", tuple(news))
            if not changed and not (self.look is not None and self.look <= self.now):
                return
            self._reconcile()
        self._tell("operator", ("writes again and again, without end",))
        self.endless = True

    def _reconcile(self) -> None:
        decided = self.world.reconcile(self.now)
        wait = decided.requeue_after
        self.look = self.now if decided.writes else None
        if not decided.writes and wait is not None:
            self.look = self.now + max(1, math.ceil(wait))
        said = self._said()
        done = tuple([step.because for step in decided.apply] + [step.because for step in decided.delete])
        if done or said != self.last:
            self._tell("operator", done, *_news(self.last, said, done), events=_warnings(decided))
        self.last = said

    def _occur(self) -> None:
        occurrence = self.script.pop(0)
        remark = self.world.occur(occurrence, self.now)
        self.occurred, self.look, self.last = self.now, self.now, self._said()
        self._tell("event", (f"{occurrence.text}{f' ({remark})' if remark else ''}",))

    def _next(self) -> tuple[int, bool] | None:
        """The next moment at which something happens, and whether that is an occurrence; None when at rest."""
        natural = min((due for due in (*self.world.cluster.due(), *self._looks()) if due > self.now), default=None)
        if (scripted := self._moment()) is not None:
            occurs = natural is None or scripted <= natural
            return (max(self.now, scripted), True) if natural is None or occurs else (natural, False)
        if natural is not None and natural <= self.rows[-1].seconds + self._patience():
            return natural, False
        return (self.now, True) if self.script else None

    def _moment(self) -> int | None:
        """When the next occurrence happens; None when it waits for rest, or there is none."""
        if not self.script or self.script[0].when is When.REST:
            return None
        first = self.script[0]
        return first.seconds + (self.occurred if first.when is When.BEFORE else 0)

    def _looks(self) -> Iterator[int]:
        if self.look is not None:
            yield self.look

    def _patience(self) -> int:
        rollout = self.world.spec.rollout
        steps = rollout.canary.steps if rollout.canary else ()
        waits = (
            rollout.progress_deadline_seconds,
            rollout.capacity_timeout_seconds,
            rollout.blue_green.scale_down_delay_seconds,
            *(step.pause_seconds or 0 for step in steps),
        )
        return max(waits) + rollout.min_ready_seconds + SLACK

    def _tell(
        self, who: str, what: tuple[str, ...], because: str = "", ready: str = "", events: tuple[Event, ...] = ()
    ) -> None:
        said, sizes = self._said(), dict(_sizes(self.world))
        spec, serving = self.world.spec, len(self.world.cluster.serving())
        wanted = 0 if spec.suspend else spec.replicas
        afterwards = (sizes, wanted, serving, said.rollout, said.reason)
        self.rows.append(Row(self.now, who, what, *afterwards, because=because, ready=ready, events=events))

    def _said(self) -> Said:
        rollout, found = self.world.status.rollout, next(self._conditions(), None)
        ready = f"Ready={found.status}: {found.message}" if found else ""
        return Said(rollout.summary, found.reason if found else "", rollout.message, ready)

    def _ready(self) -> bool:
        return any(condition.status == "True" for condition in self._conditions())

    def _conditions(self) -> Iterator[Condition]:
        return (c for c in self.world.status.conditions if c.type == ConditionType.READY)


def simulate(world: World, script: Sequence[Occurrence], limit: int) -> Course:
    """What happens when `script` happens to `world`, for `limit` virtual seconds at most."""
    return Run(world, list(script), limit).course()


def gaps(rows: Sequence[Row], ended: int) -> list[tuple[int, int]]:
    """From when to when pods were wanted and none answered, after the first had."""
    found: list[tuple[int, int]] = []
    since: int | None = None
    served = False
    for row in rows:
        served = served or row.serving > 0
        down = served and row.wanted > 0 and row.serving == 0
        if down and since is None:
            since = row.seconds
        if not down and since is not None:
            found, since = [*found, (since, row.seconds)], None
    return found if since is None else [*found, (since, ended)]


def _sizes(world: World) -> Iterator[tuple[str, Size]]:
    for deployment in world.cluster.deployments():
        revision, version = revision_id(deployment), deployment["metadata"]["labels"][names.LABEL_VERSION]
        ready = sum(pod.serves and pod.revision == revision for pod in world.cluster.pods)
        yield revision, Size(version, ready, deployment["spec"]["replicas"])


def _news(before: Said, said: Said, done: Sequence[str]) -> tuple[str, str]:
    """Why the operator did what it did, and what it says of the object; empty where that was said already."""
    told = any(text.endswith(said.because) for text in done)
    because = "" if told or said.because == before.because else said.because
    ready = "" if said.ready == before.ready or said.ready.endswith(f": {said.because}") else said.ready
    return because, ready


def _warnings(decided: Plan) -> tuple[Event, ...]:
    return tuple(event for event in decided.events if event.type == "Warning")
