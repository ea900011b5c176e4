"""What the conditions are about: the snapshot, what the planner concluded from it, and what follows from both."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mmm_operator.api.conditions import Reason
from mmm_operator.api.rollout import Rollout, RolloutType
from mmm_operator.course import Course
from mmm_operator.diagnose import Evidence, Trouble, diagnose, diagnose_capacity, gather
from mmm_operator.prefetch import Prefetch
from mmm_operator.revisions import RevisionState
from mmm_operator.rollout.step import Step
from mmm_operator.snapshot import (
    Manifest,
    Ref,
    Snapshot,
    is_living,
    is_ready,
    pod_revision,
    revision_id,
    selected_revision,
)


@dataclass(frozen=True)
class Facts:
    """Everything that a condition can depend on.

    `taken` are the needed names that somebody else's objects have, and `prefetch` the Job that comes before the pods.
    `course` is the rollout.
    """

    snapshot: Snapshot
    wanted: int
    target: str
    serving: str
    course: Course
    taken: frozenset[Ref] = frozenset()
    prefetch: Prefetch | None = None

    @property
    def step(self) -> Step:
        """What the rollout does next."""
        return self.course.step

    @property
    def _can_go_back(self) -> bool:
        return self.course.swap is not None or self.serving not in ("", self.target)

    @property
    def policy(self) -> Rollout:
        """How the object wants to be rolled out."""
        return self.snapshot.mmm.spec.rollout if self.snapshot.mmm else Rollout()

    @property
    def swaps(self) -> bool:
        """Whether running pods go over to other versions, so that a revision has many."""
        return self.policy.type is RolloutType.HOT_SWAP

    @property
    def states(self) -> tuple[RevisionState, ...]:
        """The revisions."""
        return self.course.states

    @property
    def rolled_back(self) -> bool:
        """Whether the target was given up, and another revision shall serve instead."""
        return self.course.failed is not None and self.policy.auto_rollback and self._can_go_back

    @property
    def goal(self) -> RevisionState | None:
        """The target revision, if its Deployment exists."""
        return next((state for state in self.states if state.revision == self.target), None)

    @cached_property
    def answering(self) -> tuple[RevisionState, ...]:
        """The revisions whose pods the Service selects: those of others may be ready, and nobody asks them."""
        only = selected_revision(self.snapshot)
        return tuple(state for state in self.states if only in ("", state.revision))

    @property
    def available(self) -> int:
        """Pods that answer requests."""
        return sum(state.available for state in self.answering)

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
        over = self.course.swap is None or not self.wanted
        return self.step.done and over and serving and len(self.living) == self.wanted

    @cached_property
    def trouble(self) -> Trouble | None:
        """The root cause of trouble in the target's pods, or in those that fetch it first."""
        if self.step.held and self.prefetch is None:
            return Trouble(Reason.VOLUME_FAILED, self.step.because)
        if self.step.held:
            return diagnose(self._evidence(self.snapshot.fetchers))
        around = self.course.swap.trouble if self.course.swap else None
        if around is not None:
            return Trouble(around.reason, around.message)
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
        failed = self.course.failed
        if failed is not None and self.rolled_back:
            return f"the new revision has failed, the one before serves: {failed.reason.value}: {failed.message}"
        surplus = len(self.living) - self.wanted
        return f"{surplus} pods more than wanted are going away" if self.step.done and surplus else self.step.because

    def _evidence(self, pods: Sequence[Manifest]) -> Evidence:
        jobs = [self.prefetch.live] if self.step.held and self.prefetch and self.prefetch.live else ()
        return gather(self.snapshot, pods, () if self.step.held else self.deployments, jobs)

    @property
    def stalled(self) -> bool:
        """Whether the target makes no progress any more."""
        if self.course.failed is not None:
            return True
        if self.step.held:
            return self.prefetch is not None and self.prefetch.stuck
        late = self.course.overdue or (self.course.swap is not None and self.course.swap.overdue)
        return late or (self.wanted > 0 and self.goal is not None and self.goal.stuck)
