"""The raw outcome of the bench for one number of objects; seconds are wall-clock unless they are CPU."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Restart:
    """A restart over objects that did not change."""

    settled_seconds: float
    cpu_seconds: float
    memory: float
    writes: dict[str, int]
    reads: dict[str, int]


@dataclass(frozen=True)
class Idle:
    """A while in which nothing happened."""

    seconds: float
    cpu_percent: float
    writes: dict[str, int]
    reads: dict[str, int]


@dataclass(frozen=True)
class ReadyWith:
    """The same objects on simulated nodes, until all are Ready."""

    seconds: float
    last_write_seconds: float
    writes: dict[str, int]
    needless: dict[str, int]
    cpu_seconds: float


@dataclass
class Measured:
    """Everything. Memory is in MiB; requests are counted by kind; `children` is per object, `probes` are the objects
    whose writes were looked at for changes, `unfinished` the phases that did not end in time.
    """

    objects: int
    children: int = 0
    floor_seconds: list[float] = field(default_factory=list)
    children_seconds: float = 0.0
    last_write_seconds: float = 0.0
    writes: dict[str, int] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    needless: dict[str, int] = field(default_factory=dict)
    probes: int = 0
    cpu_seconds: float = 0.0
    memory_empty: float = 0.0
    memory_settled: float = 0.0
    memory_peak: float = 0.0
    edits: int = 0
    reactions: list[float] = field(default_factory=list)
    edit_writes: dict[str, int] = field(default_factory=dict)
    restart: Restart | None = None
    idle: Idle | None = None
    ready: ReadyWith | None = None
    unfinished: list[str] = field(default_factory=list)
