"""One pod: no node yet → starting → ready or crashed, and in the end ending."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from mmm_operator import names
from mmm_operator.quantity import parse_quantity
from mmm_operator.snapshot import Manifest

START = datetime(2026, 1, 1, tzinfo=UTC)
# How long the kubelet waits before it starts a container again: at once, then ever longer.
_BACK_OFF = (0, 10, 20, 40, 80, 160, 300)
# How often a pod's crashes are news.
_NEWS = 3


def moment(seconds: int) -> str:
    """A virtual time as Kubernetes writes times."""
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Fault(StrEnum):
    """What is wrong with a version."""

    BAD = "bad"
    SMOKE = "smoke"
    HANG = "hang"


_LAST_WORDS = {
    Fault.BAD: ("ModelLoadFailed", "these weights make no model"),
    Fault.SMOKE: ("SmokeTestFailed", "request 1 was not answered as expected"),
}


class State(StrEnum):
    """Where a pod is in its life."""

    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    CRASHED = "crashed"
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class Swapping:
    """A running pod on its way to another version: Loading, Done or Failed."""

    version: str
    digest: str
    state: str
    due: int | None = None
    reason: str = ""
    message: str = ""


@dataclass
class Pod:
    """One pod; `due` is when it will become something else by itself."""

    name: str
    namespace: str
    revision: str
    version: str
    template: Manifest
    born: int
    state: State = State.PENDING
    due: int | None = None
    placed: int = 0  # when it got its node
    changed: int = 0  # when it became ready or stopped to be
    ended: int = 0  # when it was told to end
    crashes: int = 0
    refused: bool = False  # whether it was told that there is no room
    digest: str = ""  # what it serves
    swap: Swapping | None = None
    told: dict[str, str] = field(default_factory=dict)  # annotations that it got later
    ending: Manifest | None = None  # how its server ended last

    @property
    def labels(self) -> dict[str, str]:
        """By which Services find it."""
        found: dict[str, str] = self.template["metadata"]["labels"]
        return found

    @property
    def holds(self) -> bool:
        """Whether it has a place on a node."""
        return self.state is not State.PENDING

    @property
    def lives(self) -> bool:
        """Whether nobody told it to end."""
        return self.state is not State.ENDING

    @property
    def serves(self) -> bool:
        """Whether it answers requests."""
        return self.state is State.READY

    def place(self, now: int, load: int) -> str:
        """It gets a node."""
        self.placed = now
        self.start(now, load)
        return f"{self.name} gets a node and loads its model"

    def start(self, now: int, load: int) -> None:
        """Its server begins to load the model."""
        self.state, self.due = State.STARTING, now + load

    def become_ready(self, now: int) -> str:
        """It answers requests from now on."""
        self.state, self.due, self.changed = State.READY, None, now
        return f"{self.name} is ready"

    def crash(self, now: int, fault: Fault | None) -> str:
        """Its server ends; news are told of the first times only."""
        if self.serves:
            self.changed = now
        wait = _BACK_OFF[min(self.crashes, len(_BACK_OFF) - 1)]
        self.crashes += 1
        self.state, self.due = State.CRASHED, now + wait
        reason, message = _LAST_WORDS.get(fault, ("", "")) if fault else ("", "")
        words = {"message": json.dumps({"reason": reason, "message": message})} if reason else {}
        code = 3 if reason else 139
        self.ending = {"terminated": {"exitCode": code, "reason": "Error", "finishedAt": moment(now), **words}}
        more = ", again and again" if self.crashes == _NEWS else ""
        return f"{self.name} crashes{': ' if reason else ''}{reason}{more}" if self.crashes <= _NEWS else ""

    @property
    def swaps(self) -> bool:
        """Whether it goes over to other versions while it runs."""
        return any(item["name"] == "MMM_HOT_SWAP" for item in self.template["spec"]["containers"][0].get("env", ()))

    def go_over(self, version: str, digest: str, now: int, load: int) -> str:
        """It begins to load another version beside the one that it serves."""
        self.swap = Swapping(version, digest, "Loading", now + load)
        return f"{self.name} loads version {version} beside version {self.version}"

    def switch(self, fault: Fault | None) -> str:
        """What it has loaded answers from now on, unless something is wrong with it."""
        if self.swap is None:
            return ""
        if fault is not None:
            reason, message = _LAST_WORDS.get(fault, ("", ""))
            self.swap = replace(self.swap, state="Failed", due=None, reason=reason, message=message)
            return f"{self.name} stays with version {self.version}: {reason}"
        self.version, self.digest = self.swap.version, self.swap.digest
        self.swap = replace(self.swap, state="Done", due=None)
        return f"{self.name} serves version {self.version}"

    def end(self, now: int, stop: int) -> None:
        """It is told to end, and keeps its place until it is gone."""
        self.due = now + (stop if self.holds else 0)
        self.state, self.ended = State.ENDING, now

    def manifest(self) -> Manifest:
        """The pod as the API server has it."""
        meta = {**self.template["metadata"], "name": self.name, "namespace": self.namespace, "uid": f"uid-{self.name}"}
        meta["creationTimestamp"] = moment(self.born)
        meta["annotations"] = {**meta.get("annotations", {}), **self.told}
        if not self.lives:
            meta["deletionTimestamp"] = moment(self.ended)
        spec = {**self.template["spec"], **({"nodeName": "node"} if self.holds else {})}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": self._status()}

    def _status(self) -> Manifest:
        if not self.holds:
            needs = ", ".join(f"1 Insufficient {name}" for name in needed(self.template))
            refusal = {"reason": "Unschedulable", "message": f"0/1 nodes are available: {needs}."}
            return {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", **refusal}]}
        ready = {"type": "Ready", "status": str(self.serves), "lastTransitionTime": moment(self.changed or self.born)}
        placed = {"type": "PodScheduled", "status": "True", "lastTransitionTime": moment(self.placed)}
        fetcher = {"name": names.CONTAINER_FETCHER, "ready": True, "state": {"terminated": {"exitCode": 0}}}
        return {
            "phase": "Running",
            "conditions": [placed, ready],
            "initContainerStatuses": [fetcher],
            "containerStatuses": [self._server()],
        }

    def _server(self) -> Manifest:
        waits = {"waiting": {"reason": "CrashLoopBackOff"}}
        state = waits if self.state is State.CRASHED else {"running": {"startedAt": moment(self.born)}}
        before = self.ending or {}
        counts = {"restartCount": self.crashes, "ready": self.serves}
        return {"name": names.CONTAINER_SERVER, "state": state, "lastState": before, **counts}


def accelerators(template: Manifest) -> dict[str, int]:
    """The extended resources that a pod needs, and how many of each."""
    amounts = (item.get("resources", {}).get("limits", {}) for item in template["spec"]["containers"])
    return {name: int(parse_quantity(number) or 0) for each in amounts for name, number in each.items() if "/" in name}


def needed(template: Manifest) -> Iterable[str]:
    """What the scheduler says is not there when there is no room for the pod."""
    return sorted(accelerators(template)) or ["memory"]
