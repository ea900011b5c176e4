"""Looks at a rollout twice a second: pods, and what the object says of itself."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from dev.bench.rollout.timeline import Mark, Pods
from dev.demo.stage import Object, Stage

EVERY_SECONDS = 0.5
VERSION = "serving.multimodal.dev/version"
MODEL = "serving.multimodal.dev/model"


@dataclass
class Watch:
    """What was seen so far; times are those of the clock."""

    stage: Stage
    namespace: str
    model: str
    pods: list[Pods] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    _said: str = ""
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._look_on)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def mark(self, text: str) -> float:
        """Notes that something happens now; the time."""
        self.marks.append(Mark(time.time(), text))
        return self.marks[-1].at

    def _look_on(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            mmm = self.stage.get("mmm", self.model, self.namespace) or {}
            status = mmm.get("status", {})
            labels = f"{MODEL}={self.model},app.kubernetes.io/component=server"
            listed = self.stage.get_list("pods", "-n", self.namespace, "-l", labels)
            swaps = ((mmm.get("spec") or {}).get("rollout") or {}).get("type") == "HotSwap"
            self.pods.append(Pods(time.time(), counted(listed, served(status), swaps)))
            self._note(status.get("rollout") or {})

    def _note(self, rollout: Object) -> None:
        said = words(rollout)
        if said and said != self._said:
            self.mark(said)
        self._said = said


def words(rollout: Object) -> str:
    """What of a rollout's status deserves a mark."""
    if rollout.get("strategyInEffect") == "NoSurge":
        return "no room: in place"
    return f"{rollout['weight']} % new" if rollout.get("weight") else ""


def served(status: Object) -> str:
    """The version that the object says it serves."""
    return str(((status.get("model") or {}).get("current") or {}).get("version", ""))


def counted(pods: list[Object], current: str, swaps: bool = False) -> dict[str, dict[str, int]]:
    """For each version how many pods are in which state; those that swap serve the current one, whatever they name."""
    found: dict[str, Counter[str]] = {}
    for pod in pods:
        if state := state_of(pod):
            version = current if swaps else pod["metadata"]["labels"].get(VERSION, current)
            found.setdefault(version, Counter())[state] += 1
    return {version: dict(counts) for version, counts in found.items()}


def state_of(pod: Object) -> str:
    """The state of a pod; empty where it has ended and only its object is left."""
    if pod["status"].get("phase") in ("Succeeded", "Failed"):
        return ""
    if "deletionTimestamp" in pod["metadata"]:
        return "ending"
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"].get("conditions", ()))
    return "ready" if ready else "starting"
