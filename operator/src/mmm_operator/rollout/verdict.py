"""Whether the new revision has failed, so that the one before shall serve again."""

from dataclasses import dataclass

from mmm_operator.api.conditions import ConditionType, Reason
from mmm_operator.revisions import RevisionState
from mmm_operator.snapshot import Snapshot

# After so many deaths of one pod the next one would not help.
MOST_RESTARTS = 3
# What is wrong with the version itself, and so with every pod of it: there is nothing to wait for.
HOPELESS = frozenset(
    {
        Reason.SMOKE_TEST_FAILED,
        Reason.UNSUPPORTED_MODEL,
        Reason.UNSUPPORTED_TASK,
        Reason.UNSAFE_ARTIFACT,
        Reason.INVALID_MANIFEST,
        Reason.MODEL_TOO_LARGE,
    }
)
# What is wrong around the version: it may be over any moment, and then the rollout goes on by itself.
SURROUNDINGS = frozenset(
    {
        Reason.ACCESS_DENIED,
        Reason.CREDENTIALS_NOT_FOUND,
        Reason.ENDPOINT_UNREACHABLE,
        Reason.ENDPOINT_FORBIDDEN,
        Reason.TLS_VERIFY_FAILED,
        Reason.NO_SPACE,
        Reason.IMAGE_PULL_FAILED,
        Reason.CONTAINER_CONFIG_ERROR,
        Reason.WAITING_FOR_VOLUME,
        Reason.VOLUME_FAILED,
        Reason.SANDBOX_FAILED,
        Reason.NODE_LOST,
        Reason.POD_FAILED,
        Reason.QUOTA_EXCEEDED,
        Reason.PODS_REFUSED,
        Reason.WAITING_FOR_OLD_POD,
        Reason.INSUFFICIENT_ACCELERATOR,
        Reason.INSUFFICIENT_MEMORY,
        Reason.INSUFFICIENT_CPU,
        Reason.NODE_SELECTOR_MISMATCH,
        Reason.UNSCHEDULABLE,
    }
)


# What may be over once an old pod is gone that still ends.
LACKS = frozenset(
    {
        Reason.WAITING_FOR_OLD_POD,
        Reason.INSUFFICIENT_ACCELERATOR,
        Reason.INSUFFICIENT_MEMORY,
        Reason.INSUFFICIENT_CPU,
        Reason.QUOTA_EXCEEDED,
    }
)
_RESOLVED = frozenset({Reason.RESOLVED, Reason.RESOLVED_WITHOUT_MANIFEST})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a revision is given up."""

    reason: Reason
    message: str


def judge(goal: RevisionState, trouble: Verdict | None, fully_served: bool) -> Verdict | None:
    """Why `goal` has failed, or None while it has not.

    `trouble` is what its pods show. While everybody is served by the old pods anyway, trouble of the surroundings is
    waited for however long it lasts: it says nothing about the version.
    """
    around = trouble is not None and trouble.reason in SURROUNDINGS
    if trouble is not None and not around and (trouble.reason in HOPELESS or goal.restarts >= MOST_RESTARTS):
        return trouble
    if not goal.stuck or (around and fully_served):
        return None
    late = Verdict(Reason.PROGRESS_DEADLINE_EXCEEDED, "its pods did not become ready within progressDeadlineSeconds")
    return trouble or late


def is_relieved(snapshot: Snapshot, trouble: Reason | None, fully_served: bool) -> bool:
    """Whether what was waited for is over since the last look, so that the clock begins anew: it ran for nothing.

    `trouble` is why the target's pods do not serve now. Why they did not then, the status says; where the version could
    not be found, then or now, that is said instead.
    """
    found = snapshot.resolution is not None and snapshot.resolution.digest is not None
    if not found or snapshot.said(ConditionType.MODEL_RESOLVED) not in _RESOLVED:
        return False
    said = snapshot.said(ConditionType.READY)
    if said == Reason.WAITING_FOR_OLD_POD:
        return trouble is not Reason.WAITING_FOR_OLD_POD
    return fully_served and trouble is None and said in SURROUNDINGS
