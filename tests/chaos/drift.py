"""Every edit that somebody could make by hand to what the operator manages, made from the managed fields themselves."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmm_operator import names
from mmm_operator.snapshot import Manifest

# Words that some field takes in place of its own; the API server says which.
WORDS = (
    *("Never", "UDP", "File", "DoNotSchedule", "IfHealthyBudget", "Always", "HTTPS", "Recreate", "Unconfined"),
    *("NodePort", "ReadWriteOnce", "NoExecute", "Equal", "drifted", "8082", "4Gi", "registry.example/drifted:1"),
)
VERSIONS = ("resourceVersion", "generation", "managedFields")
REVISION = "deployment.kubernetes.io/revision"

Steps = tuple[str, ...]
"""A path: `f:name` a field, `k:{…}` the item of a list with these keys, `v:…` the item with this value."""


@dataclass(frozen=True)
class Edit:
    """One field of one kind of child, changed or removed. `role` is the child's name without its owner's."""

    kind: str
    role: str
    steps: Steps
    remove: bool

    def __str__(self) -> str:
        path = ".".join(step.partition(":")[2] for step in self.steps)
        return f"{self.kind}{self.role}: {'remove' if self.remove else 'change'} {path}"

    @property
    def disowns(self) -> bool:
        """Whether the garbage collector may take the child for an orphan meanwhile."""
        return "f:ownerReferences" in self.steps

    def patches(self, live: Manifest) -> Iterator[list[Manifest]]:
        """JSON patches that make the edit, for the API server to take the first that it can."""
        pointer = locate(live, self.steps)
        if pointer is None:
            return
        where = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in pointer)
        if self.remove:
            yield [{"op": "remove", "path": where}]
            return
        value = _at(live, pointer)
        for other in others(value):
            yield [{"op": "replace", "path": where, "value": other}]


def role(child: Manifest) -> str:
    """The part of a child's name that its kind alone does not say, without the names of owner and revision."""
    labels = child["metadata"]["labels"]
    name = str(child["metadata"]["name"]).removeprefix(labels[names.LABEL_INSTANCE])
    return name.replace(labels.get(names.LABEL_REVISION, "\0"), "REVISION")


def edits(kind: str, child: Manifest) -> list[Edit]:
    """Every edit of what the operator manages in `child`."""
    fields = managed_fields(child)
    return [
        Edit(kind, role(child), steps, remove)
        for steps in sorted(fields)
        for remove in (False, True)
        if remove or not steps[-1].startswith(("k:", "v:"))
    ]


def managed_fields(child: Manifest) -> set[Steps]:
    """The paths of everything that the operator's field manager owns."""
    entries = [e for e in child["metadata"]["managedFields"] if e["manager"] == names.FIELD_MANAGER]
    return {steps for entry in entries if "subresource" not in entry for steps in _leaves(entry["fieldsV1"])}


def _leaves(tree: dict[str, Any], above: Steps = ()) -> Iterator[Steps]:
    for step, below in tree.items():
        if step == ".":
            if above[-1].startswith("k:"):
                yield above  # the item as a whole
        elif below:
            yield from _leaves(below, (*above, step))
        else:
            yield (*above, step)


def locate(live: Any, steps: Steps) -> tuple[str | int, ...] | None:
    """The keys and indices that lead to a managed field; None where it is not."""
    pointer: list[str | int] = []
    for step in steps:
        key = _key(live, step)
        if key is None:
            return None
        pointer.append(key)
        live = live[key]
    return tuple(pointer)


def _key(here: Any, step: str) -> str | int | None:
    sort, _, word = step.partition(":")
    if sort == "f":
        return word if isinstance(here, dict) and word in here else None
    wanted = json.loads(word)
    for number, item in enumerate(here):
        if item == wanted or (sort == "k" and all(item.get(key) == value for key, value in wanted.items())):
            return number
    return None


def intent(child: Manifest) -> Manifest:
    """What somebody wants of a child: all of it but its versions, and what controllers note on it."""
    meta = {key: value for key, value in child["metadata"].items() if key not in VERSIONS}
    notes = {key: value for key, value in meta.get("annotations", {}).items() if key != REVISION}
    found: Manifest = _unordered({"spec": child.get("spec"), "metadata": {**meta, "annotations": notes}})
    return found


def _unordered(thing: Any) -> Any:
    """`thing` with the items of each list in one order, since lists that are maps are kept in the order of writing."""
    if isinstance(thing, dict):
        return {key: _unordered(value) for key, value in thing.items()}
    return sorted(map(_unordered, thing), key=json.dumps) if isinstance(thing, list) else thing


def missing(before: Manifest, now: Manifest) -> list[str]:
    """What the operator managed in `before` and is otherwise in `now`; others' additions do not count."""
    found = []
    for steps in sorted(managed_fields(before)):
        old, new = locate(before, steps), locate(now, steps)
        if old is not None and (new is None or not _same(steps, _at(before, old), _at(now, new))):
            found.append(".".join(step.partition(":")[2] for step in steps))
    return found


def _same(steps: Steps, old: Any, new: Any) -> bool:
    # What is in an item of a list is compared by itself.
    return steps[-1].startswith("k:") or bool(_unordered(old) == _unordered(new))


def _at(live: Any, pointer: tuple[str | int, ...]) -> Any:
    for key in pointer:
        live = live[key]
    return live


def others(value: Any) -> Iterator[Any]:
    """Values in place of `value`, likely ones first."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value + 2, value - 1)
    elif isinstance(value, str):
        yield from (f"{value}-drifted", f"{value}0", *WORDS, f"http://{value}.example")
    elif isinstance(value, list):
        yield from _other_lists(value)
    elif isinstance(value, dict):
        for key, part in value.items():
            for other in others(part):
                yield {**value, key: other}
        yield {**value, "drifted": "drifted"}


def _other_lists(value: list[Any]) -> Iterator[Any]:
    for number, item in enumerate(value):
        for other in others(item):
            changed = copy.deepcopy(value)
            changed[number] = other
            yield changed
    yield value[:-1]


SPREAD = {"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}

# What others may add, and what the operator therefore has to leave alone.
ADDITIONS: dict[str, tuple[Manifest, ...]] = {
    "": (
        {"metadata": {"labels": {"team.example/owner": "vision"}}},
        {"metadata": {"annotations": {"team.example/note": "mine"}}},
    ),
    "Deployment": (
        {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01"}}}}},
        {"spec": {"template": {"spec": {"containers": [{"name": "server", "env": [{"name": "X", "value": "1"}]}]}}}},
        {"spec": {"template": {"spec": {"nodeSelector": {"team.example/pool": "a"}}}}},
        {"spec": {"template": {"spec": {"topologySpreadConstraints": [SPREAD]}}}},
        {"spec": {"template": {"spec": {"containers": [{"name": "sidecar", "image": "registry.example/proxy:1"}]}}}},
    ),
    "Service": (
        {"spec": {"ports": [{"name": "more", "port": 9999, "targetPort": 9999}]}},
        {"spec": {"sessionAffinity": "ClientIP"}},
    ),
    "HorizontalPodAutoscaler": ({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 77}}}},),
}
"""Strategic merge patches by kind; those under "" suit every kind."""
