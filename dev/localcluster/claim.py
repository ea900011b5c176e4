"""Which cluster this machine's node belongs to: there is one bridge, one kubelet port and one set of chains."""

import os
from pathlib import Path

from dev.localcluster import processes
from dev.localcluster.layout import Layout, write
from dev.tools.locks import exclusive

_FOLDER = Path("/run/multimodal-operator")
_OWNER = _FOLDER / "node-owner"


class NodeTaken(RuntimeError):
    """Another cluster has this machine's node; the message says which."""


def claim(state: Path) -> Path | None:
    """The state directory of a dead cluster that had the node before, and needs to be cleaned up after; usually None.

    Raises NodeTaken while the other cluster lives.
    """
    with exclusive(_FOLDER / "lock", "another cluster's claim to the node"):
        owner = _owner()
        if owner is not None and owner != state and processes.living(Layout(owner).run):
            raise NodeTaken(
                f"this machine has one node, and the cluster at {owner} has it; "
                f"`python -m dev.localcluster down --state {owner}` gives it back"
            )
        write(_OWNER, str(state))
        return owner if owner != state else None


def release(state: Path) -> None:
    """Gives the node back; nothing happens if this cluster does not have it."""
    if not owns(state):
        return
    with exclusive(_FOLDER / "lock", "another cluster's claim to the node"):
        if _owner() != state:
            return
        for file in (_OWNER, _FOLDER / "lock"):
            file.unlink(missing_ok=True)
    try:
        _FOLDER.rmdir()
    except OSError:
        return  # someone else claims it already


def owns(state: Path) -> bool:
    """Whether this cluster has the node, dead or alive."""
    return _owner() == state


def _owner() -> Path | None:
    try:
        return Path(os.fsdecode(_OWNER.read_bytes()).strip())
    except FileNotFoundError:
        return None
