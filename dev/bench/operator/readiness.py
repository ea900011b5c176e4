"""How long until all objects are Ready on simulated nodes."""

import contextlib
import http.client
import threading
import time

from dev.bench.operator.audit import by_kind, needless
from dev.bench.operator.kwok import simulated_nodes
from dev.bench.operator.load import Connection, creation, write_all
from dev.bench.operator.measured import Measured, ReadyWith
from dev.bench.operator.objects import build_objects
from dev.bench.operator.phases import QUIET_SECONDS, idle, limit, pid_of, settle
from dev.bench.operator.stage import Stage, open_stage, wait_for
from dev.bench.operator.usage import cpu_seconds
from mmm_operator import names
from mmm_operator.kube.resources import path
from mmm_operator.snapshot import Manifest


class Ready:
    """Who is Ready and since when, by a watch of its own that ends with the API server."""

    def __init__(self, stage: Stage) -> None:
        self.since: dict[str, float] = {}
        self._connection = Connection(stage.kubeconfig, timeout=None)
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        where = f"{path(names.KIND, None)}?watch=1&resourceVersion=0&timeoutSeconds=7200"
        with contextlib.suppress(OSError, http.client.HTTPException):
            for event in self._connection.stream(where):
                if event["type"] in ("ADDED", "MODIFIED") and _is_ready(event["object"]):
                    meta = event["object"]["metadata"]
                    self.since.setdefault(f"{meta['namespace']}/{meta['name']}", time.time())


def measure_ready(found: Measured, idle_seconds: float) -> None:
    """The same objects as without nodes, on a control plane of their own with a scheduler; then a while of nothing."""
    objects = found.objects
    with open_stage(scheduler=True) as stage, simulated_nodes(stage), stage.operator() as operator:
        ready, trail, spent = Ready(stage), stage.trail, cpu_seconds(pid_of(operator))
        calls = [creation(raw) for raw in build_objects(objects, stage.bucket.storage)]
        began = time.time()
        write_all(stage.kubeconfig, calls)
        state = lambda: f"{len(ready.since)} of {objects} are Ready"  # noqa: E731
        wait_for("ready", limit(objects), lambda: len(ready.since) >= objects, state)
        settle(stage, objects, QUIET_SECONDS)
        writes = [request for request in trail.requests if request.ours and request.write and request.ended > began]
        found.ready = ReadyWith(
            seconds=max(ready.since.values()) - began,
            last_write_seconds=max(request.ended for request in writes) - began,
            writes=by_kind(request for request in writes if request.code < 400),
            needless=by_kind(needless(trail.requests)),
            cpu_seconds=cpu_seconds(pid_of(operator)) - spent,
        )
        idle(stage, operator, found, idle_seconds)


def _is_ready(mmm: Manifest) -> bool:
    conditions = mmm.get("status", {}).get("conditions", ())
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
