"""What a diagnosis looks at, and what it concludes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from mmm_operator.api.conditions import Reason
from mmm_operator.snapshot import Manifest, Snapshot, has_ended, is_ready


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod does not serve. `message` is a sentence for the owner of the model."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Evidence:
    """Everything that can explain why pods do not serve.

    `pods` are those in question, `events` their Warning events, `deployments`, `jobs` and `claims` what they come from
    and mount, `leaving` pods of any revision that are on their way out.
    """

    pods: Sequence[Manifest]
    events: Sequence[Manifest] = ()
    deployments: Sequence[Manifest] = ()
    claims: Sequence[Manifest] = ()
    leaving: Sequence[Manifest] = ()
    jobs: Sequence[Manifest] = ()

    @cached_property
    def counted(self) -> list[Manifest]:
        """The pods that matter, by name, so that the same evidence always says the same."""
        return counted(self.pods)


def gather(
    snapshot: Snapshot, pods: Sequence[Manifest], deployments: Sequence[Manifest] = (), jobs: Sequence[Manifest] = ()
) -> Evidence:
    """What a snapshot has to say about these pods, and what they come from."""
    return Evidence(
        pods=pods,
        events=snapshot.pod_events,
        deployments=deployments,
        jobs=jobs,
        claims=snapshot.of_kind("PersistentVolumeClaim"),
        leaving=[pod for pod in snapshot.pods if "deletionTimestamp" in pod["metadata"]],
    )


Check = Callable[[Evidence], Trouble | None]
PodCheck = Callable[[Manifest], Trouble | None]


def counted(pods: Sequence[Manifest]) -> list[Manifest]:
    """The pods that matter: not those on their way out, nor the remains of pods whose successor is ready.

    A pod that its node gave up on is kept by Kubernetes for ever, for people to look at.
    """
    staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    healed = max(map(_born, filter(is_ready, staying)), default="")
    return sorted((pod for pod in staying if not has_ended(pod) or _born(pod) > healed), key=name_of)


def of_pods(check: PodCheck) -> Check:
    """The check of all pods that `check` is for one: the first pod that has the trouble speaks."""
    return lambda evidence: next((trouble for pod in evidence.counted if (trouble := check(pod))), None)


def name_of(pod: Manifest) -> str:
    """The pod's name."""
    return str(pod["metadata"]["name"])


def condition_of(pod: Manifest, kind: str) -> Manifest:
    """The pod's condition of this type; empty when it has none."""
    found: Manifest = next((c for c in pod.get("status", {}).get("conditions") or () if c["type"] == kind), {})
    return found


def _born(pod: Manifest) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))
