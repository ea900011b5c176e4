"""Why a pod has no node, or lost the one that it had."""

from collections.abc import Sequence

from mmm_operator.api.conditions import Reason
from mmm_operator.diagnose.evidence import Evidence, Trouble, condition_of, name_of
from mmm_operator.revisions import INSUFFICIENT
from mmm_operator.snapshot import Manifest, has_ended, has_node, is_ready

# What the scheduler says, and what it means; the first that it says counts.
_SAYINGS: tuple[tuple[str, Reason], ...] = (
    ("Insufficient memory", Reason.INSUFFICIENT_MEMORY),
    ("Insufficient cpu", Reason.INSUFFICIENT_CPU),
    ("didn't match Pod's node affinity/selector", Reason.NODE_SELECTOR_MISMATCH),
    ("unbound immediate PersistentVolumeClaims", Reason.WAITING_FOR_VOLUME),
    ("persistentvolumeclaim", Reason.VOLUME_FAILED),
)


def unschedulable(evidence: Evidence) -> Trouble | None:
    """Why the scheduler finds no node, in its own words."""
    for pod in evidence.counted:
        scheduled = condition_of(pod, "PodScheduled")
        # The scheduler's last refusal can outlive the moment at which the pod got a node.
        if scheduled.get("status") == "False" and not pod["spec"].get("nodeName"):
            return _without_node(pod, scheduled.get("message") or "", evidence.leaving)
    return None


def _without_node(pod: Manifest, message: str, leaving: Sequence[Manifest]) -> Trouble:
    lacking = set(INSUFFICIENT.findall(message))
    holders = sorted(name_of(other) for other in leaving if lacking & _held_by(other))
    if holders:
        listed = ", ".join(holders[:3])
        text = f"pod {name_of(pod)} waits until {listed} is gone and gives back {', '.join(sorted(lacking))}"
        return Trouble(Reason.WAITING_FOR_OLD_POD, text)
    return Trouble(_meaning(message, lacking & _devices(pod)), f"pod {name_of(pod)}: {message}")


def _meaning(message: str, devices: set[str]) -> Reason:
    if devices:
        return Reason.INSUFFICIENT_ACCELERATOR
    return next((reason for saying, reason in _SAYINGS if saying in message), Reason.UNSCHEDULABLE)


def _held_by(pod: Manifest) -> set[str]:
    """The resources that a pod holds until it is gone."""
    return _resources(pod) if has_node(pod) and not has_ended(pod) else set()


def _devices(pod: Manifest) -> set[str]:
    return {resource for resource in _resources(pod) if "/" in resource}


def _resources(pod: Manifest) -> set[str]:
    amounts = (container.get("resources") or {} for container in pod["spec"]["containers"])
    return {name for each in amounts for part in ("requests", "limits") for name in each.get(part) or {}}


def node_lost(pod: Manifest) -> Trouble | None:
    """Whether the pod's node fell silent: then Kubernetes says of the pod, but of none of its containers, Ready=False.

    A kubelet that is alive never says that of a pod without readiness gates.
    """
    running = condition_of(pod, "ContainersReady").get("status") == "True"
    if not running or condition_of(pod, "Ready").get("status") != "False" or pod["spec"].get("readinessGates"):
        return None
    return Trouble(Reason.NODE_LOST, f"node {pod['spec'].get('nodeName', '')} of pod {name_of(pod)} does not report")


def claim(evidence: Evidence) -> Trouble | None:
    """Whether the pods wait for a volume. A claim is also pending when it waits for its pod, so this comes last."""
    phases = {item["metadata"]["name"]: item.get("status", {}).get("phase") for item in evidence.claims}
    idle = [pod for pod in evidence.counted if not is_ready(pod)]
    for name in sorted(phases):
        if phases[name] == "Lost" and idle:
            return Trouble(Reason.VOLUME_FAILED, f"claim {name} has lost its volume")
        if phases[name] == "Pending" and not all(map(has_node, idle)):
            return Trouble(Reason.WAITING_FOR_VOLUME, f"claim {name} is pending")
    return None
