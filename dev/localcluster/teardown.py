"""Taking a node away: its containers, mounts, control groups, network and firewall rules.

Nothing here asks containerd, which may be dead: what belongs to the node is known by its control group, by paths below
its state directory, and by the names that only it uses.
"""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from dev.localcluster import processes
from dev.localcluster.deadline import Deadline
from dev.localcluster.node import BRIDGE, cgroup_folders
from dev.tools.packages import SYSTEM_PATH

_RESULTS = Path("/var/lib/cni/results")
_KUBELET_FIXED = Path("/var/lib/kubelet/device-plugins")
_SHIM_SOCKETS = Path("/run/containerd/s")
_CHAINS = ("KUBE-", "CNI-")
_ENVIRONMENT = {**os.environ, "PATH": SYSTEM_PATH}


def remove_node(folder: Path) -> None:
    """Leaves nothing of the node whose files are below `folder`; its recorded programs must have ended before."""
    end_shims(folder)  # first, for they would report each end and clean up in our way
    end_containers()
    _remove_shim_sockets(folder)
    _remove_network_notes(folder)
    unmount_below(folder)
    remove_cgroups()
    remove_network()
    shutil.rmtree(folder, ignore_errors=True)
    _remove_empty_folders()


def end_shims(folder: Path) -> None:
    """Kills the processes that watch over containers of the containerd whose socket is below `folder`."""
    socket = str(folder / "containerd.sock").encode()
    for pid in _pids():
        recorded = processes.identify(pid)
        if recorded is not None and _is_shim(pid, socket):
            recorded.end(grace=0)


def end_containers() -> None:
    """Kills everything in the node's control group."""
    deadline = Deadline(20)
    while deadline.open():
        members = {pid for root in cgroup_folders() for pid in _members(root)}
        if not members:
            return
        for pid in members:
            _kill(pid)


def unmount_below(folder: Path) -> None:
    """Removes the mounts at and below a folder, the newest first."""
    prefix = f"{folder.resolve()}/"
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    for point in reversed([point for point in points if f"{point}/".startswith(prefix)]):
        if _quiet(["umount", point]) != 0:
            _quiet(["umount", "--lazy", point])


def remove_cgroups() -> None:
    """Removes the node's control group from every hierarchy."""
    for root in cgroup_folders():
        for folder in reversed(_groups(root)):
            if folder.is_dir():
                _remove_cgroup(folder)


def remove_network() -> None:
    """Removes the pods' bridge, the chains and rules of kube-proxy and CNI."""
    _quiet(["ip", "link", "delete", BRIDGE])
    for family in ("iptables", "ip6tables"):
        if shutil.which(family, path=SYSTEM_PATH):
            remove_chains(family)


def remove_chains(family: str) -> None:
    """Removes the chains of kube-proxy and CNI from all tables, and every rule that leads to one of them."""
    saved = subprocess.run([f"{family}-save"], capture_output=True, text=True, env=_ENVIRONMENT).stdout
    script = "\n".join(removals(saved))
    if script:
        restore = [f"{family}-restore", "--noflush"]
        subprocess.run(restore, input=f"{script}\n", capture_output=True, text=True, env=_ENVIRONMENT)


def removals(saved: str) -> Iterator[str]:
    """What `iptables-restore` has to be told so that our chains are gone from what `iptables-save` said."""
    table = ""
    rules: list[str] = []
    chains: list[str] = []
    for line in saved.splitlines():
        if line.startswith("*"):
            table, rules, chains = line, [], []
        elif line.startswith(":") and line[1:].startswith(_CHAINS):
            chains.append(line[1:].split()[0])
        elif line.startswith("-A ") and _leads_to_ours(line):
            rules.append(f"-D {line[3:]}")
        elif line == "COMMIT" and chains:
            yield from [table, *rules, *(f"-F {chain}" for chain in chains), *(f"-X {chain}" for chain in chains), line]


def _leads_to_ours(rule: str) -> bool:
    words = rule.split()
    jump = next((words[i + 1] for i, word in enumerate(words[:-1]) if word in ("-j", "-g")), "")
    return jump.startswith(_CHAINS) and not words[1].startswith(_CHAINS)


def _remove_shim_sockets(folder: Path) -> None:
    # containerd puts them at a fixed place, since paths of sockets must be short, and notes where.
    for note in folder.glob("containerd-state/*/*/*/bootstrap.json"):
        try:
            address = json.loads(note.read_text())["address"]
        except (OSError, ValueError, KeyError):
            continue
        Path(address.removeprefix("unix://")).unlink(missing_ok=True)


def _remove_network_notes(folder: Path) -> None:
    for sandbox in folder.glob("containerd-state/io.containerd.grpc.v1.cri/sandboxes/*"):
        for note in _RESULTS.glob(f"*-{sandbox.name}-*"):
            note.unlink(missing_ok=True)


def _remove_empty_folders() -> None:
    for name in ("kubelet_internal_checkpoint", "kubelet.sock", "DEPRECATION"):
        (_KUBELET_FIXED / name).unlink(missing_ok=True)
    containers = Path("/var/log/containers")
    for link in containers.glob("*.log") if containers.is_dir() else ():
        if link.is_symlink() and not link.exists():  # it led to a log that is gone now
            link.unlink(missing_ok=True)
    for folder in (
        _KUBELET_FIXED,
        _KUBELET_FIXED.parent,
        containers,
        _RESULTS,
        _RESULTS.parent,
        _SHIM_SOCKETS,
        _SHIM_SOCKETS.parent,
    ):
        try:
            folder.rmdir()  # only if it is empty: then nobody else uses it
        except OSError:
            continue


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _is_shim(pid: int, socket: bytes) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0].endswith(b"containerd-shim-runc-v2") and socket in words


def _members(root: Path) -> Iterator[int]:
    for folder in _groups(root):
        try:
            yield from (int(line) for line in (folder / "cgroup.procs").read_text().split())
        except OSError:
            continue  # a group that vanished meanwhile has no members


def _groups(root: Path) -> list[Path]:
    """A control group and those below it, each after its parent; one that vanishes meanwhile is no error."""
    return [Path(folder) for folder, _, _ in os.walk(root)]


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _remove_cgroup(folder: Path) -> None:
    # A group stays busy for a moment after its last process ended.
    Deadline.met(lambda: not folder.exists() or _try_rmdir(folder), 5)


def _try_rmdir(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return not folder.exists()
    return True


def _quiet(command: list[str]) -> int:
    return subprocess.run(command, capture_output=True, env=_ENVIRONMENT).returncode
