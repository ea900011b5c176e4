"""What the conditions are about: the snapshot, what the planner concluded from it, and what follows from both."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mmm_operator.api.conditions import Reason
from mmm_operator.diagnose import Evidence, Trouble, diagnose, diagnose_capacity
from mmm_operator.prefetch import Prefetch
from mmm_operator.rollout.step import Step
from mmm_operator.snapshot import (
    Manifest,
    Ref,
    RevisionState,
    Snapshot,
    is_living,
    is_ready,
    pod_revision,
    revision_id,
)


@dataclass(frozen=True)
class Facts:
    """Everything that a condition can depend on.

    `taken` are the needed names that somebody else's objects have, and `prefetch` the Job that comes before the pods.
    """

    snapshot: Snapshot
    wanted: int
    target: str
    serving: str
    states: tuple[RevisionState, ...]
    step: Step
    taken: frozenset[Ref] = frozenset()
    prefetch: Prefetch | None = None

    @property
    def goal(self) -> RevisionState | None:
        """The target revision, if its Deployment exists."""
        return next((state for state in self.states if state.revision == self.target), None)

    @property
    def available(self) -> int:
        """Pods of all revisions that answer requests."""
        return sum(state.available for state in self.states)

    @property
    def resolved(self) -> bool:
        """Whether the wanted version has a digest."""
        resolution = self.snapshot.resolution
        return resolution is not None and resolution.digest is not None

    @cached_property
    def living(self) -> list[Manifest]:
        """The pods of all revisions that are not ending: those that are take no requests any more."""
        known = {state.revision for state in self.states}
        return [pod for pod in self.snapshot.pods if is_living(pod) and pod_revision(pod) in known]

    @cached_property
    def settled(self) -> bool:
        """Whether the target serves at full size and nothing else runs; the pods are asked, not what counts them."""
        serving = all(pod_revision(pod) == self.target and is_ready(pod) for pod in self.living)
        return self.step.done and serving and len(self.living) == self.wanted

    @cached_property
    def trouble(self) -> Trouble | None:
        """The root cause of trouble in the target's pods, or in those that fetch it first."""
        if self.step.held and self.prefetch is None:
            return Trouble(Reason.VOLUME_FAILED, self.step.because)
        if self.step.held:
            return diagnose(self._evidence(self.snapshot.fetchers))
        return diagnose(self._evidence([pod for pod in self.snapshot.pods if pod_revision(pod) == self.target]))

    @cached_property
    def shortage(self) -> Trouble | None:
        """Why some pod, of whatever revision, has no node."""
        return diagnose_capacity(self._evidence([*self.snapshot.pods, *self.snapshot.fetchers]))

    @property
    def fetching(self) -> list[Manifest]:
        """The target's pods, each of which fetches the model before it serves."""
        return [pod for pod in self.living if pod_revision(pod) == self.target]

    @property
    def deployments(self) -> list[Manifest]:
        """The target's Deployment, if there is one."""
        return [item for item in self.snapshot.of_kind("Deployment") if revision_id(item) == self.target]

    @property
    def because(self) -> str:
        """What happens now, in a sentence."""
        surplus = len(self.living) - self.wanted
        return f"{surplus} pods more than wanted are going away" if self.step.done else self.step.because

    def _evidence(self, pods: Sequence[Manifest]) -> Evidence:
        snapshot = self.snapshot
        return Evidence(
            pods=pods,
            events=snapshot.pod_events,
            deployments=() if self.step.held else self.deployments,
            jobs=[self.prefetch.live] if self.step.held and self.prefetch and self.prefetch.live else (),
            claims=snapshot.of_kind("PersistentVolumeClaim"),
            leaving=[pod for pod in snapshot.pods if "deletionTimestamp" in pod["metadata"]],
        )

    @property
    def stalled(self) -> bool:
        """Whether the target makes no progress any more."""
        if self.step.held:
            return self.prefetch is not None and self.prefetch.stuck
        return self.wanted > 0 and self.goal is not None and self.goal.stuck
