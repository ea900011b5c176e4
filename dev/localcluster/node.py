"""The node: containerd, the kubelet, kube-proxy, and the bridge that its pods share.

Everything goes below the state directory, so that nothing needs to be looked for when the node is taken down. The
exceptions are fixed by their programs: the kubelet's device-plugin folder, and containerd's folder of shim sockets.
"""

import json
import os
import subprocess
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from dev.localcluster import images
from dev.localcluster.api import Api, ApiError, Object, answers_http
from dev.localcluster.controlplane import POD_RANGE
from dev.localcluster.layout import Layout, Network, write
from dev.localcluster.pki import NODE_NAME
from dev.localcluster.processes import Program
from dev.tools import tool
from dev.tools.packages import SYSTEM_PATH

NODE_POD_RANGE = "10.244.0.0/24"
BRIDGE = "mmo-cni0"
POD_NETWORK = "mmo-pods"
CGROUP = "multimodal-operator"
DNS_SERVICE = "10.96.0.10"
PROXY_HEALTH = "127.0.0.1:10256"
NODE_PACKAGES = (
    "conntrack",
    "containernetworking-plugins",
    "gcc",
    "iproute2",
    "iptables",
    "libc6-dev",
    "mount",
    "runc",
)

_KERNEL_SETTINGS = {
    "net/ipv4/ip_forward": 1,
    "net/bridge/bridge-nf-call-iptables": 1,  # or a pod could not reach its neighbour through a Service
    "fs/inotify/max_user_instances": 8192,
    "fs/inotify/max_user_watches": 524288,
}
_CGROUP_FILES = Path("/sys/fs/cgroup")


class Node:
    """The one node of a cluster."""

    def __init__(self, layout: Layout, network: Network) -> None:
        self.layout = layout
        self.network = network
        self.api = Api(network.api, layout.pki)
        self.socket = layout.node / "containerd.sock"
        self.path = f"/api/v1/nodes/{NODE_NAME}"

    def programs(self) -> list[Program]:
        """The programs in the order in which they have to start."""
        return [self.containerd(), self.kubelet(), self.proxy()]

    def up(self) -> None:
        """Returns when the node is Ready, without taints, and Services are routed.

        Raises ProcessError when it does not get so far within 90 seconds.
        """
        tune_kernel()
        self._write_configuration()
        self.containerd().up()
        if images.PAUSE_IMAGE not in self.images():
            images.load(images.pause_archive(self.layout.node / "pause"), self.importer())
        for program in (self.kubelet(), self.proxy()):
            program.up(90)

    def healthy(self) -> bool:
        """Whether all programs run, the node is Ready, and Services are routed."""
        return all(program.healthy() for program in self.programs())

    def ready(self) -> bool:
        """Whether pods can be scheduled to the node now, and those that are there can be reached."""
        try:
            return self._schedulable() and self._kubelet_knows_its_pods()
        except (ApiError, OSError, HTTPException):
            return False

    def _schedulable(self) -> bool:
        node = self.api.get(self.path, timeout=3)
        if node is None or node["spec"].get("taints"):
            return False
        return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))

    def _kubelet_knows_its_pods(self) -> bool:
        """Asked of the kubelet itself: for a while the node's status says Ready of one that is dead or just starts."""
        query = f"/api/v1/pods?fieldSelector=spec.nodeName={NODE_NAME},status.phase=Running"
        bound = self.api.get(query, timeout=3)
        known = self.api.get(f"{self.path}/proxy/pods", timeout=3)
        return bound is not None and known is not None and _names(bound) <= _names(known)

    def images(self) -> list[str]:
        """The names of the images that containerd has."""
        listing = subprocess.run([*self._ctr(), "images", "ls", "-q"], capture_output=True, text=True, check=True)
        return listing.stdout.split()

    def importer(self) -> list[str | Path]:
        """The command that takes an image from its standard input."""
        return [*self._ctr(), "images", "import", "-"]

    def blobs(self) -> frozenset[str]:
        """The hex digests of what containerd holds already."""
        listing = subprocess.run([*self._ctr(), "content", "ls", "-q"], capture_output=True, text=True, check=True)
        return frozenset(line.strip().removeprefix("sha256:") for line in listing.stdout.splitlines())

    def _ctr(self) -> list[str | Path]:
        return [tool("ctr"), "--address", self.socket, "--namespace", "k8s.io"]

    def _runtime_answers(self) -> bool:
        try:
            return subprocess.run([*self._ctr(), "version"], capture_output=True, timeout=3).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def containerd(self) -> Program:
        """The container runtime, with its shim beside it on the PATH."""
        # A fixed path, for it is part of what is compared: callers with different ones must not restart it in turn.
        path = os.pathsep.join([str(tool("containerd-shim-runc-v2").parent), os.defpath, "/usr/sbin", "/sbin"])
        config = self.layout.node / "containerd.toml"
        return Program(
            "containerd",
            [tool("containerd"), "--config", config],
            self.layout.run,
            self.layout.logs,
            {"PATH": path},
            self._runtime_answers,
        )

    def kubelet(self) -> Program:
        """The kubelet."""
        return self._program(
            "kubelet",
            f"--config={self.layout.node}/kubelet.json",
            f"--kubeconfig={self.layout.kubeconfig_of('node')}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={self.network.address}",
            f"--root-dir={self.layout.node}/kubelet",
            answers=self.ready,
        )

    def proxy(self) -> Program:
        """The router of Services."""
        return self._program(
            "kube-proxy",
            f"--kubeconfig={self.layout.kubeconfig_of('proxy')}",
            f"--hostname-override={NODE_NAME}",
            f"--cluster-cidr={POD_RANGE}",
            "--proxy-mode=iptables",
            "--conntrack-max-per-core=0",  # leave the machine's own limit
            f"--healthz-bind-address={PROXY_HEALTH}",
            "--metrics-bind-address=127.0.0.1:10249",
            answers=lambda: answers_http(f"http://{PROXY_HEALTH}/healthz"),
        )

    def _program(self, name: str, *arguments: str, answers: Callable[[], bool]) -> Program:
        return Program(name, [tool(name), *arguments], self.layout.run, self.layout.logs, answers=answers)

    def _write_configuration(self) -> None:
        node = self.layout.node
        make_cgroups()
        write(node / "containerd.toml", _containerd_configuration(node, self.socket))
        write(node / "cni" / "10-pods.conflist", json.dumps(_cni_configuration(node), indent=2))
        write(node / "resolv.conf", _resolv_conf())
        write(node / "kubelet.json", json.dumps(_kubelet_configuration(self.layout, self.socket), indent=2))


def routed(address: str) -> bool:
    """Whether connections to a Service's address are led to an endpoint."""
    rules = subprocess.run(["iptables-save", "-t", "nat"], capture_output=True, text=True, env={"PATH": SYSTEM_PATH})
    return any(f"-d {address}/32" in line and "-j KUBE-SVC-" in line for line in rules.stdout.splitlines())


def tune_kernel() -> None:
    """Turns on what pods need; limits are only ever raised."""
    for name, wanted in _KERNEL_SETTINGS.items():
        setting = Path("/proc/sys") / name
        if setting.exists() and int(setting.read_text()) < wanted:
            setting.write_text(str(wanted))


def cgroup_folders() -> list[Path]:
    """Our control group in every hierarchy of this machine: many with version 1, one with version 2."""
    if (_CGROUP_FILES / "cgroup.controllers").exists():
        return [_CGROUP_FILES / CGROUP]
    return [folder / CGROUP for folder in _CGROUP_FILES.iterdir() if (folder / "cgroup.procs").exists()]


def make_cgroups() -> None:
    """Makes the control group below which all pods live, so that what is in it, and nothing else, is ours to end."""
    for folder in cgroup_folders():
        _hand_down_controllers(folder.parent)
        folder.mkdir(exist_ok=True)


def _hand_down_controllers(root: Path) -> None:
    """With version 2 a group can limit only what its parent hands down; version 1 has no such files."""
    available = root / "cgroup.controllers"
    for controller in available.read_text().split() if available.exists() else ():
        try:
            (root / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            continue  # the kubelet names those that it misses


def _names(pods: Object) -> set[str]:
    return {f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pods.get("items") or []}


def _containerd_configuration(node: Path, socket: Path) -> str:
    return f"""version = 3
root = "{node}/containerd"
state = "{node}/containerd-state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "{node}/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "runc"
      Root = "{node}/runc"
      SystemdCgroup = false
[plugins."io.containerd.cri.v1.images"]
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{images.PAUSE_IMAGE}"
"""


def _cni_configuration(node: Path) -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "dataDir": str(node / "addresses"),
        "ranges": [[{"subnet": NODE_POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": addresses,
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": POD_NETWORK, "plugins": [bridge, ports]}


def _kubelet_configuration(layout: Layout, socket: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "failSwapOn": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": f"unix://{socket}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{layout.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{layout.pki}/node.crt",
        "tlsPrivateKeyFile": f"{layout.pki}/node.key",
        "address": "0.0.0.0",
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "evictionHard": {},  # a full disk should fail a test by its own message, not by an eviction
        "imageGCHighThresholdPercent": 100,  # nothing could pull again what a collection removed
        "makeIPTablesUtilChains": False,
        "podLogsDir": f"{layout.node}/pod-logs",
        "volumePluginDir": f"{layout.node}/volume-plugins",
        "resolvConf": f"{layout.node}/resolv.conf",
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",  # how fast a changed ConfigMap reaches a pod
        "maxPods": 110,
    }


def _resolv_conf() -> str:
    # The host's servers without its search domains, and without those that answer on the host's loopback only.
    lines = Path("/etc/resolv.conf").read_text().splitlines() if Path("/etc/resolv.conf").exists() else []
    servers = [line for line in lines if line.startswith("nameserver") and " 127." not in line]
    return "".join(f"{line}\n" for line in servers)
