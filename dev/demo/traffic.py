"""Clients of a model, as pods of the cluster: traffic goes through the Service, never around it."""

import contextlib
import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dev.demo.stage import Object, Stage, wait_for
from dev.localcluster import ClusterError
from dev.models import CLASSES, TEMPLATE, ensure_heldout

PICTURES = 36
# The image has no kill program, but Python.
TERMINATE = "import os, signal; os.kill(1, signal.SIGTERM)"
CLIENT = Path(__file__).with_name("client.py")


@dataclass(frozen=True)
class Score:
    """What a client counted, for each version that answered."""

    failed: int
    why: tuple[str, ...]
    requests: dict[str, int]
    right: dict[str, int]

    @property
    def total(self) -> int:
        """Requests that were answered."""
        return sum(self.requests.values())

    def accuracy(self, version: str) -> float:
        """The share of right answers of a version."""
        return self.right.get(version, 0) / max(1, self.requests.get(version, 0))


def classify(stage: Stage, namespace: str, model: str) -> Score:
    """Every held-out picture, asked once through the Service."""
    _start(stage, namespace, model, "classify", "classify")
    try:
        wait_for("the client's answers", lambda: _phase(stage, namespace, "classify") in ("Succeeded", "Failed"))
        return _score(stage, namespace, "classify")
    finally:
        _remove(stage, namespace, "classify")


@contextmanager
def steady_load(stage: Stage, namespace: str, model: str) -> Iterator["Load"]:
    """A client that asks all the time while the block runs; its `score` is final afterwards."""
    load = Load(stage, namespace)
    _start(stage, namespace, model, "load", load.name)
    try:
        wait_for("the first answers under load", lambda: load.look().total > 0 or load.look().failed)
        yield load
    finally:
        load.stop()


class Load:
    """A running client; its `history`, known once it has ended, is what it had counted at which time, once a second."""

    def __init__(self, stage: Stage, namespace: str) -> None:
        self._stage, self._namespace, self.name = stage, namespace, "load"
        self.score: Score | None = None
        self.history: tuple[tuple[float, Score], ...] = ()

    def look(self) -> Score:
        """What it has counted so far."""
        return self.score or _score(self._stage, self._namespace, self.name)

    def wait_for_version(self, version: str, requests: int) -> None:
        """Return when `version` has answered so many requests."""
        wait_for(f"answers of version {version}", lambda: self.look().requests.get(version, 0) >= requests)

    def stop(self) -> Score:
        """End the client and keep what it counted in all."""
        if self.score is None:
            wait_for("the client's totals", self._ended)
            self.history = tuple(_history(self._stage, self._namespace, self.name))
            self.score = _score(self._stage, self._namespace, self.name)
            _remove(self._stage, self._namespace, self.name)
        return self.score

    def _ended(self) -> bool:
        if _phase(self._stage, self._namespace, self.name) == "Running":
            # The end of the client takes what runs beside it along: that is no failure.
            with contextlib.suppress(ClusterError):
                self._stage.kubectl("exec", self.name, "-n", self._namespace, "--", "python", "-c", TERMINATE)
        return _phase(self._stage, self._namespace, self.name) != "Running"


def _start(stage: Stage, namespace: str, model: str, mode: str, name: str) -> None:
    _remove(stage, namespace, name)
    _write_pictures(stage, namespace)
    mmm = stage.get("mmm", model, namespace)
    url = mmm["status"]["url"] if mmm else ""
    stage.apply(_pod(stage.images["server"].reference, name, ["/client/client.py", mode, "--url", url]), namespace)
    wait_for("the client's pod", lambda: _phase(stage, namespace, name) not in ("", "Pending"))


def _write_pictures(stage: Stage, namespace: str) -> None:
    samples = ensure_heldout(PICTURES)
    folder = samples[0].path.parent
    question = stage.directory / "question.json"
    question.write_text(json.dumps({"labels": list(CLASSES), "template": TEMPLATE}))
    files = [CLIENT, question, folder / "labels.json", *(sample.path for sample in samples)]
    options = [f"--from-file={path}" for path in files]
    made = stage.kubectl("create", "configmap", "client", *options, "--dry-run=client", "-o", "json")
    stage.apply(made, namespace)


def _pod(image: str, name: str, arguments: list[str]) -> Object:
    security: Object = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container: Object = {
        "name": "client",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["python", *arguments],
        "securityContext": {**security, "readOnlyRootFilesystem": True},
        "volumeMounts": [{"name": "client", "mountPath": "/client"}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    }
    spec: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "client", "configMap": {"name": "client"}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _phase(stage: Stage, namespace: str, name: str) -> str:
    pod = stage.get("pod", name, namespace)
    return str(pod["status"].get("phase", "")) if pod else ""


def _score(stage: Stage, namespace: str, name: str) -> Score:
    lines = [line for line in stage.kubectl("logs", name, "-n", namespace, "--tail=20").splitlines() if line[:1] == "{"]
    if not lines:
        return Score(0, (), {}, {})
    return _counted(lines[-1])


def _history(stage: Stage, namespace: str, name: str) -> Iterator[tuple[float, Score]]:
    for line in stage.kubectl("logs", name, "-n", namespace, "--timestamps").splitlines():
        when, _, text = line.partition(" ")
        if text[:1] == "{":
            # Nanoseconds are more than Python reads.
            yield dt.datetime.fromisoformat(when[:23] + "+00:00").timestamp(), _counted(text)


def _counted(line: str) -> Score:
    counted = json.loads(line)
    versions = counted["versions"]
    return Score(
        failed=counted["failed"],
        why=tuple(counted["why"]),
        requests={version: count["requests"] for version, count in versions.items()},
        right={version: count["right"] for version, count in versions.items()},
    )


def _remove(stage: Stage, namespace: str, name: str) -> None:
    stage.kubectl("delete", "pod", name, "-n", namespace, "--ignore-not-found", "--now", "--wait")
