"""Nodes that only exist in the API: kwok makes the pods on them ready at once, and no container runs.

All pods have the machine's own address, where one small server has the status page of each of them: so an object can
come to rest as it would on real nodes. What is measured is the way of an object through readiness, not traffic.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from dev.bench.operator.load import Connection
from dev.bench.operator.stage import Stage
from dev.localcluster import processes
from dev.localcluster.layout import free_ports, node_address
from dev.localcluster.processes import Program
from dev.tools import tool
from mmm_operator import names
from mmm_operator.snapshot import Manifest

NODES = 10
ROOM = {"cpu": "10000", "memory": "100Ti", "pods": "10000"}

# In kwok's template language: the status of a node that is well, and of a pod that runs and is ready.
_NODE = """
conditions:
- type: Ready
  status: "True"
  reason: Simulated
  message: simulated
  lastHeartbeatTime: {{ Now | Quote }}
  lastTransitionTime: {{ Now | Quote }}
"""
_READY = """
{{ $now := Now | Quote }}
phase: Running
podIP: ADDRESS
podIPs: [{ip: ADDRESS}]
startTime: {{ $now }}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ $now }}}
- {type: ContainersReady, status: "True", lastTransitionTime: {{ $now }}}
- {type: Ready, status: "True", lastTransitionTime: {{ $now }}}
initContainerStatuses:
{{ range .spec.initContainers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: true
  restartCount: 0
  state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now }}, finishedAt: {{ $now }}}}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  ready: true
  restartCount: 0
  state: {running: {startedAt: {{ $now }}}}
{{ end }}
"""


@contextmanager
def simulated_nodes(stage: Stage) -> Iterator[None]:
    """Ten nodes with room for everything, while the block runs."""
    connection = Connection(stage.kubeconfig)
    for number in range(NODES):
        connection.call("POST", "/api/v1/nodes", json.dumps(_node(f"simulated-{number}")).encode())
    connection.close()
    stages = stage.folder / "kwok.yaml"
    stages.write_text(yaml.safe_dump_all([_node_becomes_ready(), _pod_becomes_ready(), _pod_goes_away()]))
    program = _kwok(stage, str(stages))
    program.up()
    try:
        with _status_pages():
            yield
    finally:
        processes.stop(program.record)


class _Page(BaseHTTPRequestHandler):
    """The status page of a server that is ready, whichever pod is asked."""

    def do_GET(self) -> None:
        page = {"state": "READY", "model": {"digest": ""}, "device": {"kind": "cpu"}, "loadSeconds": 1}
        content = json.dumps(page).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: a thousand lines would say the same."""


@contextmanager
def _status_pages() -> Iterator[None]:
    with ThreadingHTTPServer((node_address(), names.PORT_OPERATIONS), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _kwok(stage: Stage, stages: str) -> Program:
    command: list[str | Path] = [
        *(tool("kwok"), f"--config={stages}", f"--kubeconfig={stage.kubeconfig}", "--manage-all-nodes"),
        *("--node-lease-duration-seconds=40", f"--server-address=127.0.0.1:{free_ports(1)[0]}"),
    ]
    return Program("kwok", command, stage.folder / "run", stage.folder / "logs")


def _node(name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
    }


def _node_becomes_ready() -> Manifest:
    ready = '.status.conditions.[] | select( .type == "Ready" ) | .status'
    template = f"{_NODE}capacity: {json.dumps(ROOM)}\nallocatable: {json.dumps(ROOM)}\n"
    unready = [{"key": ready, "operator": "NotIn", "values": ["True"]}]
    return _stage("Node", "node-ready", unready, {"statusTemplate": template})


def _pod_becomes_ready() -> Manifest:
    waiting: list[Manifest] = [
        {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
        {"key": ".status.phase", "operator": "In", "values": ["Pending"]},
    ]
    return _stage("Pod", "pod-ready", waiting, {"statusTemplate": _READY.replace("ADDRESS", node_address())})


def _pod_goes_away() -> Manifest:
    doomed = [{"key": ".metadata.deletionTimestamp", "operator": "Exists"}]
    return _stage("Pod", "pod-gone", doomed, {"delete": True})


def _stage(kind: str, name: str, when: list[Manifest], then: Manifest) -> Manifest:
    of = {"apiGroup": "v1", "kind": kind}
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {"resourceRef": of, "selector": {"matchExpressions": when}, "next": then},
    }
