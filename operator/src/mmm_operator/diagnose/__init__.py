"""The root cause of trouble, from everything that Kubernetes tells about the pods: one reason and one sentence.

Checks are ordered by how much they explain; the first that finds something, in whatever pod, wins:

1. what a container of ours says of itself as it ends, 2. that it was killed for its memory;
3. images, 4. containers, 5. volumes (events) and 6. sandboxes (events) that cannot come up;
7. pods that their node gave up on, 8. nodes that fell silent;
9. probes that fail (events), 10. containers that exit without a word;
11. pods that the API server refuses, 12. pods without a node, 13. claims without a volume.

`CAUSES` in `api.conditions` is the same order for people. A trouble that is over is no trouble: every check looks at
what is, and an event counts only while its pod is still in the state that the event explains.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from mmm_operator.diagnose import containers, events, placement
from mmm_operator.diagnose.admission import idle_jobs, pods_refused
from mmm_operator.diagnose.containers import OWN_WORDS, Failure, failures, fetching_pods, has_fetched
from mmm_operator.diagnose.evidence import Check, Evidence, PodCheck, Trouble, counted, gather, of_pods
from mmm_operator.snapshot import Manifest, has_node, is_living, is_ready

__all__ = [
    "OWN_WORDS",
    "Evidence",
    "Failure",
    "Trouble",
    "diagnose",
    "diagnose_capacity",
    "failures",
    "fetching_pods",
    "gather",
    "has_fetched",
    "idle_jobs",
    "next_look",
    "unexplained",
]

# A pod that has not come up after this long is worth a look at its events.
PATIENCE = timedelta(seconds=10)
# Events are read from the API server: of few pods, since those of one revision fail alike, and not often.
MOST_PODS = 3
SHORTEST_WAIT, LONGEST_WAIT = 15.0, 120.0


def diagnose(evidence: Evidence) -> Trouble | None:
    """The most telling trouble of all pods, or None when none has any."""
    return next((trouble for check in CHECKS if (trouble := check(evidence))), None)


def diagnose_capacity(evidence: Evidence) -> Trouble | None:
    """Why a pod has no node, or None when all have one."""
    return placement.unschedulable(evidence)


def unexplained(pods: Sequence[Manifest], now: datetime) -> tuple[Manifest, ...]:
    """The pods, the oldest first, of which only their events can tell why they are not ready; a few at most."""
    old = [pod for pod in _puzzling(pods) if _age(pod, now) >= PATIENCE]
    return tuple(sorted(old, key=lambda pod: (-_age(pod, now), pod["metadata"]["name"]))[:MOST_PODS])


def next_look(pods: Sequence[Manifest], now: datetime) -> float | None:
    """Seconds until events are worth another look, since nothing announces them; None when no pod needs one.

    A quarter of the pod's age, within limits: a model that loads for an hour costs few reads.
    """
    return min((_wait(_age(pod, now)) for pod in _puzzling(pods)), default=None)


def _wait(age: timedelta) -> float:
    if age < PATIENCE:
        return max(1.0, (PATIENCE - age).total_seconds())
    return min(LONGEST_WAIT, max(SHORTEST_WAIT, age.total_seconds() / 4))


def _puzzling(pods: Sequence[Manifest]) -> list[Manifest]:
    # Why a pod without a node has none, the scheduler says in the pod itself.
    return [pod for pod in counted(pods) if is_living(pod) and has_node(pod) and not is_ready(pod) and _puzzles(pod)]


def _puzzles(pod: Manifest) -> bool:
    explained = any(check(pod) for check in EXPLANATIONS)
    return not explained and (containers.died(pod) is None or containers.was_killed(pod))


def _age(pod: Manifest, now: datetime) -> timedelta:
    born = pod["metadata"].get("creationTimestamp")
    return now - datetime.fromisoformat(born) if born else timedelta()


EXPLANATIONS: tuple[PodCheck, ...] = (
    containers.own_words,
    containers.out_of_memory,
    containers.image,
    containers.cannot_start,
    containers.given_up,
    placement.node_lost,
)
CHECKS: tuple[Check, ...] = (
    of_pods(containers.own_words),
    of_pods(containers.out_of_memory),
    of_pods(containers.image),
    of_pods(containers.cannot_start),
    events.volume,
    events.sandbox,
    of_pods(containers.given_up),
    of_pods(placement.node_lost),
    events.probe,
    of_pods(containers.died),
    pods_refused,
    placement.unschedulable,
    placement.claim,
)
