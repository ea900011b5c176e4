"""What is asked for: groups of workloads that share a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """A closed loop of so many clients with pictures of one size."""

    name: str
    size: str
    clients: int


@dataclass(frozen=True)
class Group:
    """A model, how it computes, and what is asked of it. `threads` 0: as many as there are processors."""

    name: str
    model: str
    dtype: str
    threads: int
    tolerance: float  # of a probability, between the contenders
    workloads: tuple[Workload, ...] = ()
    overload: bool = False
    stretch: float = 1.0  # how much longer its turns take


# A tiny model shows what the server costs; one thread, as two would wait for each other longer than they compute.
TINY = Group(
    "tiny",
    "tiny",
    "float32",
    1,
    0.02,
    (
        Workload("224 px, 1 client", "224 px", 1),
        Workload("224 px, 8 clients", "224 px", 8),
        Workload("224 px, 32 clients", "224 px", 32),
        Workload("1080p, 8 clients", "1080p", 8),
    ),
)
EIGHT = (Workload("224 px, 8 clients", "224 px", 8),)
GROUPS = {
    group.name: group
    for group in (
        TINY,
        Group("vit-fp32", "vit-b-32", "float32", 0, 0.02, EIGHT, stretch=2.0),
        Group("vit-bf16", "vit-b-32", "bfloat16", 0, 0.06, EIGHT, stretch=2.0),
        Group("overload", "vit-b-32", "float32", 0, 0.02, overload=True, stretch=2.0),
    )
}
CAPACITY_CLIENTS = 16  # two batches: more would be refused, and ask again at once
USUAL, EXCESS = 0.8, 10.0  # of the capacity
