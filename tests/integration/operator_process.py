"""The operator as a real process, with the rights of the chart and nothing more."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from dev.localcluster import LocalCluster
from dev.localcluster.layout import free_ports
from mmm_operator.rbac import LEASE, OPERATOR, Grant
from mmm_operator.snapshot import Manifest
from tests.integration.objects import eventually

NAMESPACE = "mmm-system"
ACCOUNT = "mmm-operator"
# What the settings call it by themselves.
LEASE_NAME = "mmm-operator"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
# The accounts that operators have in tests: all rights, all rights but one, all rights in a cage.
OPERATORS = tuple(f"system:serviceaccount:{NAMESPACE}:{account}" for account in (ACCOUNT, "limited", "caged"))
GRANTED = {(grant.group, grant.resource, verb) for grant in (*OPERATOR, *LEASE) for verb in grant.verbs}
SERVER_IMAGE = "registry.example/mmm-server:1"
# One for all: each client that is made reads the certificates of the machine, which takes longer than many answers.
PROBE = httpx.Client(timeout=5, limits=httpx.Limits(max_keepalive_connections=0))
WRITING = {"create", "update", "patch", "delete", "deletecollection"}


@dataclass
class Operator:
    """One operator process; its log survives restarts."""

    kubeconfig: Path
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lambda: free_ports(1)[0])
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = {
            "KUBECONFIG": str(self.kubeconfig),
            "MMM_OPERATOR_SERVER_IMAGE": SERVER_IMAGE,
            "MMM_OPERATOR_HTTP_PORT": str(self.port),
            **self.environment,
        }
        command = [sys.executable, "-m", "mmm_operator", "run"]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=output, stderr=output)

    def wait_until_ready(self) -> None:
        eventually(lambda: self.status_of("/readyz") == 200)

    def end(self, wish: signal.Signals = signal.SIGTERM) -> int:
        """The exit code after a signal; -9 when it had to be killed or was meant to."""
        assert self.process is not None
        self.process.send_signal(wish)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def status_of(self, path: str) -> int:
        assert self.process is not None
        assert self.process.poll() is None, f"the operator ended:\n{self.log.read_text()}"
        try:
            return self.answer(path).status_code
        except httpx.TransportError:
            return 0

    def answer(self, path: str) -> httpx.Response:
        """What the process answers; raises TransportError while it does not."""
        return PROBE.get(f"http://127.0.0.1:{self.port}{path}")

    def metric(self, name: str) -> float:
        """The sum of a metric over all its labels."""
        found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", self.answer("/metrics").text, re.MULTILINE)
        return sum(map(float, found))

    def complaints(self) -> list[Manifest]:
        """Log lines that say that something went wrong inside the operator."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["level"] in ("ERROR", "CRITICAL")]


def install_account(cluster: LocalCluster, folder: Path, account: str = ACCOUNT) -> Path:
    """The kubeconfig of a ServiceAccount that may do what the chart grants, everywhere."""
    subject = {"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}
    rbac = "rbac.authorization.k8s.io"
    role, lease = {"name": account}, {"name": account, "namespace": NAMESPACE}
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": lease},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": role, "rules": rules(OPERATOR)},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": lease, "rules": rules(LEASE)},
        *(
            {
                "apiVersion": f"{rbac}/v1",
                "kind": f"{kind}Binding",
                "metadata": metadata,
                "roleRef": {"apiGroup": rbac, "kind": kind, "name": account},
                "subjects": [subject],
            }
            for kind, metadata in (("ClusterRole", role), ("Role", lease))
        ),
    ]
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    return write_kubeconfig(cluster, folder, account)


def write_kubeconfig(cluster: LocalCluster, folder: Path, account: str = ACCOUNT) -> Path:
    """The kubeconfig of an account that exists."""
    config = json.loads(cluster.kubeconfig.read_text())
    token = cluster.kubectl("create", "token", account, "-n", NAMESPACE, "--duration=8h").strip()
    config["users"][0]["user"] = {"token": token}
    target = folder / f"{account}.kubeconfig"
    target.write_text(json.dumps(config))
    return target


def rules(grants: Iterable[Grant]) -> list[Manifest]:
    """The rules of a role, as the chart renders them for a release with the name of the Lease."""
    return [
        {
            "apiGroups": [grant.group],
            "resources": [grant.resource],
            "verbs": list(grant.verbs),
            **({"resourceNames": [LEASE_NAME]} if grant.named else {}),
        }
        for grant in grants
    ]


@dataclass
class Audit:
    """What the API server recorded about the operator."""

    log: Path
    users: Container[str] = (USER,)

    def requests(self, since: int = 0, namespace: str | None = None) -> Iterator[Manifest]:
        with self.log.open("rb") as lines:
            if since:
                lines.seek(since - 1)
                lines.readline()  # a file that grows may have had a half line at its end, then
            for line in lines:
                if not line.endswith(b"\n"):
                    return  # it is being written
                entry = json.loads(line)
                # Tests speak through httpx, also with the operator's token.
                mine = entry.get("user", {}).get("username") in self.users and "httpx" not in entry.get("userAgent", "")
                if mine and namespace in (None, entry.get("objectRef", {}).get("namespace")):
                    yield entry

    def writes(self, since: int = 0, namespace: str | None = None) -> Sequence[str]:
        """The writes, as "patch deployments/status clip"."""
        return [describe(entry) for entry in self.requests(since, namespace) if entry["verb"] in WRITING]

    def now(self) -> int:
        """A place in the record, for `since`."""
        return self.log.stat().st_size

    @contextmanager
    def quiet_for(self, seconds: float, namespace: str | None = None) -> Iterator[None]:
        """Fails unless the operator writes nothing for so long after the block, which begins when it is at rest."""
        # What was waited for may not have been the last write: events come after the status.
        eventually(lambda: not self.writes_within(1.0, namespace))
        yield
        writes = self.writes_within(seconds, namespace)
        assert not writes, f"written at rest: {writes}"

    def writes_within(self, seconds: float, namespace: str | None = None) -> Sequence[str]:
        """The writes of the next seconds."""
        since = self.now()
        time.sleep(seconds)  # the absence of something can only be waited for
        return self.writes(since, namespace)


def used_rights(entries: Iterable[Manifest]) -> set[tuple[str, str, str]]:
    """The rights that the API server checked; an apply of something new needs two."""
    used = set()
    for entry in entries:
        target = entry.get("objectRef", {})
        if "resource" in target:
            resource = "/".join(filter(None, (target["resource"], target.get("subresource"))))
            used.add((target.get("apiGroup", ""), resource, entry["verb"]))
            if entry["verb"] == "patch" and entry.get("responseStatus", {}).get("code") == 201:
                used.add((target.get("apiGroup", ""), resource, "create"))
    return used


def forbidden(entry: Manifest) -> bool:
    """Whether the API server did not let it happen for want of a right."""
    return _decision(entry) == "forbid"


def allowed(entry: Manifest) -> bool:
    """Whether the API server saw the right for it."""
    return _decision(entry) == "allow"


def _decision(entry: Manifest) -> str | None:
    # A request that ends while it waits its turn (priority and fairness) is recorded, and never decided on.
    decision: str | None = entry.get("annotations", {}).get("authorization.k8s.io/decision")
    return decision


def describe(entry: Manifest) -> str:
    target = entry["objectRef"]
    resource = target["resource"] + (f"/{target['subresource']}" if "subresource" in target else "")
    return f"{entry['verb']} {resource} {target.get('name', '')}".strip()
