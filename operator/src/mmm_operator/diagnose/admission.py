"""Pods that the API server does not let a Deployment or a Job make."""

import re
from collections.abc import Iterable, Sequence

from mmm_operator.api.conditions import Reason
from mmm_operator.diagnose.events import parse_event
from mmm_operator.diagnose.evidence import Evidence, Trouble, condition_of
from mmm_operator.snapshot import Manifest

# Every try has another pod name, and what is told must not change with it.
_WHICH = re.compile(r'^(Error creating: )?pods "[^"]*" is forbidden: ')


def pods_refused(evidence: Evidence) -> Trouble | None:
    """Why no pod can be created: a Deployment passes it on from its ReplicaSet, of a Job only events tell."""
    for deployment in evidence.deployments:
        failure = condition_of(deployment, "ReplicaFailure")
        if failure.get("status") == "True":
            return _refused(failure.get("message") or "")
    jobs = {job["metadata"].get("uid") for job in idle_jobs(evidence.jobs, evidence.pods)}
    said = (event for event in map(parse_event, evidence.events) if event.pod in jobs)
    told = [event for event in said if event.reason == "FailedCreate"]
    return _refused(max(told, key=lambda event: (event.at, event.text)).text) if told else None


def idle_jobs(children: Iterable[Manifest], pods: Sequence[Manifest]) -> list[Manifest]:
    """The Jobs among them that should have a pod, and have none."""
    jobs = [item for item in children if item["kind"] == "Job" and "deletionTimestamp" not in item["metadata"]]
    return [job for job in jobs if not pods and not (job.get("status", {}).get("conditions") or ())]


def _refused(said: str) -> Trouble:
    message = _WHICH.sub("", said)
    reason = Reason.QUOTA_EXCEEDED if "exceeded quota" in message else Reason.PODS_REFUSED
    return Trouble(reason, f"no pod can be created: {message}")
