"""What only events tell: volumes that do not mount, sandboxes that do not come up, probes that fail.

An event is a memory of up to an hour, so none counts by itself: the pod must still be in the state that it explains.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mmm_operator.api.conditions import Reason
from mmm_operator.diagnose.containers import container_statuses
from mmm_operator.diagnose.evidence import Check, Evidence, Trouble, condition_of, name_of
from mmm_operator.snapshot import Manifest

# A sandbox that failed is made anew each time: without its id the sentence stays the same.
_SANDBOX_ID = re.compile(r' ?(?<!sha256:)"?\b[0-9a-f]{64}\b"?')
_CONTAINER = re.compile(r"\{(.+)\}")
# What the kubelet adds every two minutes to say that something is still missing, but not why.
_SUMMARY = "Unable to attach or mount volumes"


@dataclass(frozen=True, slots=True)
class PodEvent:
    """One Warning event of a pod, of either of the two kinds that Kubernetes has."""

    pod: str
    container: str
    reason: str
    text: str
    at: str


def parse_event(event: Manifest) -> PodEvent:
    """The event as what it says; `at` is when it happened last."""
    about = event.get("regarding") or event.get("involvedObject") or {}
    container = _CONTAINER.search(about.get("fieldPath") or "")
    moments = (
        (event.get("series") or {}).get("lastObservedTime"),
        event.get("lastTimestamp") or event.get("deprecatedLastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    return PodEvent(
        pod=str(about.get("uid", "")),
        container=container.group(1) if container else "",
        reason=str(event.get("reason", "")),
        text=_SANDBOX_ID.sub("", str(event.get("note") or event.get("message") or "")),
        at=str(next(filter(None, moments), ""))[:19],
    )


Still = Callable[[Manifest, PodEvent], bool]


def _told_by(reasons: set[str], still: Still, reason: Reason) -> Check:
    def check(evidence: Evidence) -> Trouble | None:
        for pod in evidence.counted:
            told = [event for event in _events_of(pod, evidence) if event.reason in reasons and still(pod, event)]
            if told:
                last = max(told, key=lambda event: (not event.text.startswith(_SUMMARY), event.at, event.text))
                return Trouble(reason, f"pod {name_of(pod)}: {last.text}")
        return None

    return check


def _events_of(pod: Manifest, evidence: Evidence) -> Iterator[PodEvent]:
    uid = pod["metadata"].get("uid")
    yield from (found for item in evidence.events if (found := parse_event(item)).pod == uid)


def _not_set_up(pod: Manifest, event: PodEvent) -> bool:
    """Whether the pod's sandbox, for which its volumes are mounted first, is still missing."""
    set_up = condition_of(pod, "PodReadyToStartContainers").get("status")
    if set_up is not None:
        return bool(set_up != "True")
    states = (status.get("state") or {} for status in container_statuses(pod))
    return not any("running" in state or "terminated" in state for state in states)


def _still_fails(pod: Manifest, event: PodEvent) -> bool:
    statuses = {status["name"]: status for status in container_statuses(pod)}
    status = statuses.get(event.container, {})
    running: Manifest = (status.get("state") or {}).get("running") or {}
    if not status or status.get("ready"):
        return False
    if event.text.startswith("Readiness"):
        # Said of the container that runs now, not of the one before it.
        return bool(status.get("started")) and event.at >= str(running.get("startedAt") or "")[:19]
    # Until a container has started its probes fail as a matter of course; once they made it restart they do not.
    return bool(status.get("restartCount")) or (event.text.startswith("Liveness") and bool(status.get("started")))


volume = _told_by({"FailedAttachVolume", "FailedMount", "FailedMapVolume"}, _not_set_up, Reason.VOLUME_FAILED)
sandbox = _told_by({"FailedCreatePodSandBox", "NetworkNotReady"}, _not_set_up, Reason.SANDBOX_FAILED)
probe = _told_by({"Unhealthy"}, _still_fails, Reason.PROBE_FAILED)
