"""Pods that the API server does not let the Deployment make."""

import re

from mmm_operator.api.conditions import Reason
from mmm_operator.diagnose.evidence import Evidence, Trouble, condition_of

# Every try has another pod name, and what is told must not change with it.
_WHICH = re.compile(r'^pods "[^"]*" is forbidden: ')


def pods_refused(evidence: Evidence) -> Trouble | None:
    """Why no pod can be created, as the Deployment passes it on from its ReplicaSet."""
    for deployment in evidence.deployments:
        failure = condition_of(deployment, "ReplicaFailure")
        if failure.get("status") == "True":
            message = _WHICH.sub("", failure.get("message") or "")
            reason = Reason.QUOTA_EXCEEDED if "exceeded quota" in message else Reason.PODS_REFUSED
            return Trouble(reason, f"no pod can be created: {message}")
    return None
