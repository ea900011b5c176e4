"""etcd, the API server, the controller manager and the scheduler."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from dev.localcluster.api import Api, ApiError, answers_http
from dev.localcluster.deadline import Deadline
from dev.localcluster.layout import Layout, Network
from dev.localcluster.pki import SERVICE_RANGE
from dev.localcluster.processes import ProcessError, Program
from dev.tools import tool

POD_RANGE = "10.244.0.0/16"


@dataclass(frozen=True)
class Tuning:
    """In what a cluster for measurements differs from the usual one."""

    scheduler: bool = True
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """More arguments, by program; of two that say the same thing the later one counts."""
    audit_rules: tuple[Mapping[str, Any], ...] = ()
    """Rules of the audit policy that come before the usual ones."""


USUAL = Tuning()


class ControlPlane:
    """The four programs that make a cluster without nodes."""

    def __init__(self, layout: Layout, network: Network, with_node: bool, tuning: Tuning = USUAL) -> None:
        self.layout = layout
        self.network = network
        self.with_node = with_node
        self.tuning = tuning
        self.api = Api(network.api, layout.pki)

    def programs(self) -> list[Program]:
        """The programs in the order in which they have to start."""
        scheduler = [self.scheduler()] if self.tuning.scheduler else []
        return [self.etcd(), self.api_server(), self.controller_manager(), *scheduler]

    def up(self) -> None:
        """Returns when the API server is ready and its controllers run.

        Raises ProcessError when it does not get so far within a minute.
        """
        for program in self.programs():  # in this order: the last two exit when they meet a server that is not ready
            program.up()
        if not Deadline.met(self._controllers_work, 60):
            raise ProcessError(f"the controllers do not work:\n{self.controller_manager().tail()}")

    def _controllers_work(self) -> bool:
        # Until this account exists nobody can create a pod.
        try:
            return self.api.get("/api/v1/namespaces/default/serviceaccounts/default") is not None
        except (ApiError, OSError, HTTPException):
            return False

    def healthy(self) -> bool:
        """Whether all of them run, and those that can be asked answer."""
        return all(program.healthy() for program in self.programs())

    def etcd(self) -> Program:
        """The store."""
        clients = f"http://127.0.0.1:{self.network.etcd}"
        peers = f"http://127.0.0.1:{self.network.etcd_peer}"
        return self._program(
            "etcd",
            f"--data-dir={self.layout.state / 'etcd'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",  # safe against killed programs; after a power cut the cluster is made anew anyway
            answers=lambda: answers_http(f"{clients}/health"),
        )

    def api_server(self) -> Program:
        """The API server: with a node it listens on every address, since pods reach it by the node's."""
        pki = self.layout.pki
        return self._program(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self.network.etcd}",
            f"--secure-port={self.network.api}",
            f"--bind-address={'0.0.0.0' if self.with_node else '127.0.0.1'}",
            f"--advertise-address={self.network.address}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
            f"--kubelet-client-key={pki}/apiserver-kubelet.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={pki}/ca.crt",
            f"--proxy-client-cert-file={pki}/front-proxy.crt",
            f"--proxy-client-key-file={pki}/front-proxy.key",
            # Without this list any client certificate of the one authority could speak for anybody.
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--allow-privileged=true",
            f"--audit-log-path={self.layout.logs}/audit.log",
            "--audit-log-maxsize=1000",  # MB: what reads it as a whole must find all of it in one file
            "--audit-log-maxbackup=1",
            f"--audit-policy-file={self.layout.state}/audit-policy.json",
            answers=self.api.ready,
        )

    def controller_manager(self) -> Program:
        """The controllers; the autoscaler looks every 5 s, because tests wait for it."""
        pki = self.layout.pki
        return self._program(
            "kube-controller-manager",
            *self._client("controller-manager"),
            f"--service-account-private-key-file={pki}/sa.key",
            f"--root-ca-file={pki}/ca.crt",
            "--use-service-account-credentials=true",
            "--allocate-node-cidrs=true",
            f"--cluster-cidr={POD_RANGE}",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            "--horizontal-pod-autoscaler-sync-period=5s",
            # Nodes that are only painted never say that they are alive.
            *([] if self.with_node else ["--node-monitor-grace-period=1h"]),
        )

    def scheduler(self) -> Program:
        """The scheduler."""
        return self._program("kube-scheduler", *self._client("scheduler"))

    def _client(self, subject: str) -> list[str]:
        file = self.layout.kubeconfig_of(subject)
        return [
            f"--kubeconfig={file}",
            f"--authentication-kubeconfig={file}",
            f"--authorization-kubeconfig={file}",
            "--leader-elect=false",
            "--secure-port=0",  # nobody asks them anything, and several clusters may live on one machine
        ]

    def _program(self, name: str, *arguments: str, answers: Callable[[], bool] = lambda: True) -> Program:
        command: list[str | Path] = [tool(name), *arguments, *self.tuning.flags.get(name, ())]
        return Program(name, command, self.layout.run, self.layout.logs, answers=answers)
