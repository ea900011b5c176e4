"""The course of a rollout: what the policy makes of what is observed and remembered. Pure.

The policy's parts are decided in `rollout`; here they are put in order. First the room, then whether the target has
failed and what to go for instead, then the type's own way, and over all of it the pause and the fetch that comes first.
What the status remembers is where a canary was, that there was no room for a surge, and which revisions have failed;
all of it can be lost, and costs time only.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mmm_operator.api.conditions import MEASURED, Reason
from mmm_operator.api.rollout import Promotion, Rollout, RolloutType
from mmm_operator.diagnose import diagnose, gather
from mmm_operator.prefetch import Prefetch, missing_source
from mmm_operator.revisions import RevisionState, restarts_of
from mmm_operator.rollout.canary import Analysis, Remembered, Watched, analyze, passed
from mmm_operator.rollout.capacity import OPEN, Room, find_room
from mmm_operator.rollout.step import Step, blue_green_step, held_step, next_step, paused_step, recreate_step
from mmm_operator.rollout.verdict import LACKS, Verdict, is_relieved, judge
from mmm_operator.snapshot import (
    Manifest,
    Snapshot,
    has_ended,
    has_node,
    is_living,
    is_ready,
    pod_revision,
    revision_id,
    selected_revision,
)
from mmm_operator.swap import LOOK_SECONDS, Swap, plan_swap
from mmm_operator.target import Target, failure_of
from mmm_operator.traffic import born_since, together

NO_SURGE, SURGE = "NoSurge", "Surge"
# What was found out is written down first, and acted upon in the next look: whoever is killed in between knows it.
AT_ONCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Course:
    """Where a rollout goes, and what it does next.

    `aim` is the revision that the sizes move to: the target, or the one to go back to once the target has `failed`.
    `states` are the revisions, without a clock where a rollout only waits for room. `only` is the revision that alone
    shall get traffic, "" for all that are ready. `look` is in how many seconds there may be news without an event.
    `swap` is the version that pods go over to. `overdue` means that old pods which must be gone first do not end.
    """

    step: Step
    aim: str
    states: tuple[RevisionState, ...]
    room: Room = OPEN
    failed: Verdict | None = None
    canary: Analysis | None = None
    awaits: bool = False
    only: str = ""
    look: float | None = None
    swap: Swap | None = None
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """What every part of the decision looks at: who shall serve, who does, how many pods are wanted, and what is."""

    snapshot: Snapshot
    target: Target
    serving: str
    wanted: int
    states: tuple[RevisionState, ...]
    now: datetime

    @property
    def policy(self) -> Rollout:
        """How the object wants it; the defaults while its spec cannot be read."""
        return self.snapshot.mmm.spec.rollout if self.snapshot.mmm else Rollout()

    def state(self, revision: str) -> RevisionState | None:
        """One revision, if it is there."""
        return next((state for state in self.states if state.revision == revision), None)

    def beside(self, revision: str) -> list[RevisionState]:
        """All revisions but one."""
        return [state for state in self.states if state.revision != revision]

    @property
    def replaces(self) -> bool:
        """Whether the target is to take over from a revision that has served."""
        return bool(self.serving) and self.serving != self.target.id and self.state(self.serving) is not None

    @property
    def promoted(self) -> bool:
        """Whether a person has said that the target may go on."""
        return bool(self.target.id) and self.policy.promote == self.target.id


def plan_course(scene: Scene, prefetch: Prefetch | None) -> Course:
    """The course of a rollout: total, and at rest when there is nothing to do."""
    target, policy = scene.target, scene.policy
    room = _room(scene, target.id)
    scene = replace(scene, states=_without_clock(scene, target.id, room))
    relieved = _is_relieved(scene, served=True)  # whoever is to go over serves meanwhile
    swap = plan_swap(scene.snapshot, target, scene.serving, scene.wanted, scene.now, relieved=relieved)
    known = _remembered_failure(scene)
    back = known is not None and policy.auto_rollback and scene.replaces
    aim = scene.serving if back else target.id
    canary = None if back else _analyze(scene)
    failed = (
        known
        or _fresh_failure(scene, room, swap)
        or (canary.failure if canary else None)
        or (swap.failed if swap else None)
    )
    room = _room(scene, aim) if back else room
    stopped = _stopped_step(scene, failed, _is_blue_green(scene, room)) if failed else STILL
    course = Course(stopped, aim, scene.states, room, failed, canary)
    course = replace(course, only=_only(scene, aim, room, back), swap=swap, overdue=_is_overdue(scene, aim))
    if failed is not None and not back and scene.replaces:
        look = AT_ONCE_SECONDS if policy.auto_rollback else _look(scene, aim, room, None)
        step = _old_ones_first(scene, course.step, aim, room)
        return replace(course, step=_with_selected(scene, step, aim), look=look)
    step = _overruled(scene, _step(scene, aim, room, canary), aim, prefetch, room)
    step = _with_selected(scene, _old_ones_first(scene, step, aim, room), aim)
    awaits = _awaits_switch(scene, aim) or (canary is not None and canary.awaits)
    look = _look(scene, aim, room, canary)
    if swap is not None and not swap.failed and scene.wanted:
        step = replace(step, done=False, because=swap.because, paused=swap.paused)
        look = look if swap.held else LOOK_SECONDS
    return replace(course, step=step, awaits=awaits, look=look)


STILL = Step({}, done=False, because="")


def _old_ones_first(scene: Scene, step: Step, aim: str, room: Room) -> Step:
    """The step, with no more new pods than old ones can do with."""
    most = _most_new(scene, aim, room)
    if most is None or most >= step.sizes.get(aim, 0):
        return step
    because = "the old pods have to be whole first" + (", or the new ones promoted" if _needs_consent(scene) else "")
    return replace(step, sizes={**step.sizes, aim: most}, because=because)


def _with_selected(scene: Scene, step: Step, aim: str) -> Step:
    """The step, with the pods that alone get requests: whatever the Service shall select, that is what it does."""
    selected = scene.state(selected_revision(scene.snapshot))
    if selected is None or selected.revision == aim:
        return step
    size = min(selected.wanted, scene.wanted)
    if step.sizes.get(selected.revision, 0) >= size:
        return step
    because = f"the Service still selects the pods of revision {selected.revision} alone, so they stay"
    return replace(step, sizes={**step.sizes, selected.revision: size}, done=False, because=because)


def _remembered_failure(scene: Scene) -> Verdict | None:
    """Why the target was given up before, as the status tells; a person may overrule what was measured."""
    found = failure_of(scene.target, scene.snapshot.status.model.failed)
    if found is None or scene.serving == scene.target.id or (scene.promoted and found.reason in MEASURED):
        return None
    return found


def _fresh_failure(scene: Scene, room: Room, swap: Swap | None) -> Verdict | None:
    """Why the target is to be given up now. What stands still on purpose is not judged."""
    goal = scene.state(scene.target.id)
    if goal is None or not goal.wanted or not scene.wanted or scene.policy.paused:
        return None
    if not scene.replaces and swap is None:
        return None
    old = scene.state(scene.serving)
    if scene.replaces and goal.available and old is not None and not old.available:
        return None  # nobody else answers: there is nothing to go back to as long as that is so
    found = _trouble(scene.snapshot, goal.revision)
    if room.refused:
        return Verdict(found.reason if found else Reason.UNSCHEDULABLE, room.because)
    if found is not None and found.reason in LACKS and _ending(scene):
        return None  # the room is there, and not free yet: whoever served would not find any either
    return judge(goal if scene.replaces else replace(goal, restarts=_new_restarts(scene)), found, _is_served(scene))


def _is_served(scene: Scene) -> bool:
    return sum(state.available for state in scene.states) >= scene.wanted


def _is_relieved(scene: Scene, *, served: bool) -> bool:
    """Whether what the target waited for is over: then its clock begins anew with this look."""
    found = _trouble(scene.snapshot, scene.target.id)
    return is_relieved(scene.snapshot, found.reason if found else None, served)


def _new_restarts(scene: Scene) -> int:
    """How often a pod died that began with the version which the others go over to.

    How often those died which served before says nothing of it; whoever is killed by a swap reports that.
    """
    asked, revision = scene.snapshot.status.model.target, scene.target.revision
    known = asked is not None and revision is not None and asked.digest == revision.digest
    born = born_since(scene.snapshot.pods, asked.since if asked and known else "")
    own = (pod for pod in scene.snapshot.pods if pod_revision(pod) == scene.target.id)
    return restarts_of([pod for pod in own if pod["metadata"]["name"] in born])


def _ending(scene: Scene) -> list[Manifest]:
    """The pods that were told to end, and hold what they have until they do."""
    holding = (pod for pod in scene.snapshot.pods if has_node(pod) and not has_ended(pod))
    return [pod for pod in holding if "deletionTimestamp" in pod["metadata"]]


def _in_the_way(scene: Scene, aim: str) -> list[Manifest]:
    """The pods that end, where others may not begin before they are gone."""
    if scene.policy.type is not RolloutType.RECREATE or not scene.wanted:
        return []
    return [pod for pod in _ending(scene) if pod_revision(pod) != aim]


def _gone_by(scene: Scene, aim: str) -> datetime | None:
    """When the pods in the way should be gone; None where there are none."""
    told = [datetime.fromisoformat(pod["metadata"]["deletionTimestamp"]) for pod in _in_the_way(scene, aim)]
    return min(told) + timedelta(seconds=scene.policy.progress_deadline_seconds) if told else None


def _is_overdue(scene: Scene, aim: str) -> bool:
    due = _gone_by(scene, aim)
    return due is not None and due <= scene.now


def _trouble(snapshot: Snapshot, revision: str) -> Verdict | None:
    pods = [pod for pod in snapshot.pods if pod_revision(pod) == revision]
    deployments = [item for item in snapshot.of_kind("Deployment") if revision_id(item) == revision]
    found = diagnose(gather(snapshot, pods, deployments))
    return Verdict(found.reason, found.message) if found else None


def _room(scene: Scene, aim: str) -> Room:
    in_place = scene.snapshot.status.rollout.strategy_in_effect == NO_SURGE
    consent = aim != scene.target.id or not _needs_consent(scene)
    return find_room(scene.state(aim), scene.beside(aim), scene.policy, in_place, scene.now, consent)


def _without_clock(scene: Scene, revision: str, room: Room) -> tuple[RevisionState, ...]:
    """The states; nobody is late who only waits for room, or waited until now for what is over."""
    if not room.waits and not _is_relieved(scene, served=_is_served(scene)):
        return scene.states
    return tuple(
        replace(state, due=None, stuck=False) if state.revision == revision else state for state in scene.states
    )


def _analyze(scene: Scene) -> Analysis | None:
    """Where the canary is; None for every other type, and where there is nobody else to get the rest."""
    canary, status = scene.policy.canary, scene.snapshot.status
    if scene.policy.type is not RolloutType.CANARY or canary is None or not scene.replaces or not scene.wanted:
        return None
    same = status.model.target is not None and status.model.target.revision == scene.target.id
    before = status.rollout
    at = Remembered(before.step, before.step_started_at, before.steps, before.passed) if same else Remembered()
    goal = scene.state(scene.target.id)
    if scene.promoted:
        return passed(canary)
    return analyze(canary, scene.wanted, goal, at, _watched(scene), scene.now)


def _watched(scene: Scene) -> Watched:
    traffic = scene.snapshot.traffic
    pods = [pod for pod in scene.snapshot.pods if pod_revision(pod) == scene.target.id]
    new = {pod["metadata"]["name"] for pod in pods}
    answer = {pod["metadata"]["name"] for pod in pods if is_living(pod) and is_ready(pod)}
    return Watched(
        together(found for pod, found in traffic.items() if pod in new),
        together(found for pod, found in traffic.items() if pod not in new),
        min(answer - traffic.keys(), default=""),
    )


def _step(scene: Scene, aim: str, room: Room, canary: Analysis | None) -> Step:
    """The next sizes, by the type's own way."""
    states, wanted, serving = scene.states, scene.wanted, scene.serving
    if scene.policy.type is RolloutType.RECREATE:
        step = recreate_step(aim, wanted, states)
        stuck = sorted(pod["metadata"]["name"] for pod in _in_the_way(scene, aim)) if _is_overdue(scene, aim) else []
        return replace(step, because=f"{step.because}: {', '.join(stuck[:3])} should be gone") if stuck else step
    if _is_blue_green(scene, room):
        alone = selected_revision(scene.snapshot) == serving
        keeps = _kept_until(scene, aim) is not None or _way_back(scene, aim) is not None
        step = blue_green_step(aim, serving, wanted, states, keeps, alone)
        said = [_green(scene, aim), room.because]
        return replace(step, because="; ".join(filter(None, said)) or step.because)
    step = next_step(aim, serving, wanted, states, room, canary.limit if canary else None)
    said = [canary.because if canary else "", step.because, room.because]
    return replace(step, because="; ".join(filter(None, said)))


def _is_blue_green(scene: Scene, room: Room) -> bool:
    return scene.policy.type is RolloutType.BLUE_GREEN and room.surge


def _took_over(scene: Scene, aim: str) -> bool:
    """Whether the traffic has gone from the old pods to the new ones, at once."""
    return scene.policy.type is RolloutType.BLUE_GREEN and scene.serving == aim == scene.target.id


def _way_back(scene: Scene, aim: str) -> RevisionState | None:
    """What served until the new pods took over, if it could answer more requests than those do now.

    It has served: what nobody has promoted answers nothing, however many pods it has.
    """
    previous = scene.snapshot.status.model.previous
    old, goal = scene.state(previous.revision) if previous else None, scene.state(aim)
    if old is None or old.revision == aim or not _took_over(scene, aim):
        return None
    if goal is not None and goal.lack and goal.available and selected_revision(scene.snapshot) != old.revision:
        return None  # those that answer need the room
    return old if min(scene.wanted, old.available) > (goal.available if goal else 0) else None


def _kept_until(scene: Scene, aim: str) -> datetime | None:
    """How long the old pods stay after the traffic has left them; None when that is over."""
    current = scene.snapshot.status.model.current
    if not _took_over(scene, aim) or not current:
        return None
    goal = scene.state(aim)
    if goal is not None and goal.lack is not None:
        return None  # those that answer need the room
    since = datetime.fromisoformat(current.since) if current.revision == aim else scene.now
    until = since + timedelta(seconds=scene.policy.blue_green.scale_down_delay_seconds)
    return until if scene.now < until else None


def _green(scene: Scene, aim: str) -> str:
    if not any(old.wanted or old.existing for old in scene.beside(aim)):
        return ""
    if _way_back(scene, aim) is not None:
        return "not as many new pods answer as old ones could, which stay for that"
    until = _kept_until(scene, aim)
    if until is not None:
        return f"the new pods have the traffic, the old ones stay until {until:%H:%M:%S} UTC"
    if _awaits_switch(scene, aim):
        return "all new pods are available and wait to be promoted"
    return ""


def _awaits_switch(scene: Scene, aim: str) -> bool:
    """Whether only a person's word is missing for the traffic to go to the new pods."""
    goal = scene.state(aim)
    complete = goal is not None and goal.available >= scene.wanted > 0
    return complete and aim == scene.target.id and _needs_consent(scene)


def _needs_consent(scene: Scene) -> bool:
    """Whether the new pods may answer nothing before a person says so."""
    manual = scene.policy.type is RolloutType.BLUE_GREEN and scene.policy.blue_green.promotion is Promotion.MANUAL
    return manual and scene.replaces and not scene.promoted


def _most_new(scene: Scene, aim: str, room: Room) -> int | None:
    """How many new pods there may be that shall answer nothing yet; None for any number."""
    if _stands(scene, aim, room) and not scene.policy.paused and selected_revision(scene.snapshot) != scene.serving:
        goal = scene.state(aim)
        return goal.ready if goal else 0  # those answer already, as the Service is for all; nobody else shall
    yields = _yields_at(scene, aim, room)
    return 0 if yields is not None and yields <= scene.now else None


def _stands(scene: Scene, aim: str, room: Room) -> bool:
    """Whether new pods that are there may answer nothing, until a person says so."""
    given_up = not scene.policy.auto_rollback and _remembered_failure(scene) is not None
    waits = scene.policy.paused or _needs_consent(scene) or given_up
    return bool(waits and aim == scene.target.id and scene.replaces and scene.wanted and _is_blue_green(scene, room))


def _yields_at(scene: Scene, aim: str, room: Room) -> datetime | None:
    """When new pods that may answer nothing give their room to those that answer; None while nobody lacks any."""
    old = scene.state(scene.serving)
    if old is None or old.lack is None or not _stands(scene, aim, room):
        return None
    patience = scene.policy.capacity_timeout_seconds if old.available else 0
    return old.lack.since + timedelta(seconds=patience)


def _stopped_step(scene: Scene, failed: Verdict, alone: bool) -> Step:
    """The sizes as they are, for a rollout that has failed and is not taken back, or not yet."""
    because = f"the new revision has failed: {failed.reason.value}: {failed.message}"
    if scene.policy.type is RolloutType.RECREATE:
        return Step(_as_they_are(scene), done=False, because=because)
    if not scene.policy.auto_rollback and scene.replaces:
        step = paused_step(scene.target.id, scene.serving, scene.wanted, scene.states, alone)
        return replace(step, paused=False, because=because)
    return Step({state.revision: state.wanted for state in scene.states}, done=False, because=because)


def _as_they_are(scene: Scene) -> dict[str, int]:
    """The sizes that are; two revisions that must never run together are not made to."""
    return {state.revision: min(state.wanted, scene.wanted) for state in scene.states}


def _overruled(scene: Scene, step: Step, aim: str, prefetch: Prefetch | None, room: Room) -> Step:
    """The step, unless the rollout is paused, or has to wait for what its pods need."""
    paused = scene.policy.paused and scene.wanted and scene.serving != aim and scene.state(scene.serving) is not None
    alone = _is_blue_green(scene, room)
    if paused and scene.policy.type is RolloutType.RECREATE:
        because = "paused: no pod begins or ends; remove rollout.paused to go on"
        return Step(_as_they_are(scene), done=False, because=because, paused=True)
    if paused:
        return paused_step(aim, scene.serving, scene.wanted, scene.states, alone)
    because = missing_source(scene.snapshot, scene.target, scene.states, scene.wanted)
    if prefetch is not None and prefetch.holds:
        because = f"Job {prefetch.job} brings the model to its claim; no pod is touched before"
    if not because or aim != scene.target.id:
        return step
    return held_step(aim, scene.serving, scene.wanted, scene.states, because, alone)


def _only(scene: Scene, aim: str, room: Room, back: bool) -> str:
    """The revision that alone gets traffic; "" where all ready pods do."""
    selected = selected_revision(scene.snapshot)
    if back and scene.policy.type is RolloutType.CANARY:
        # A canary that has failed answers no longer than the others need it for.
        old = scene.state(scene.serving)
        least = 1 if selected == scene.serving else max(1, scene.wanted - scene.policy.max_unavailable)
        return scene.serving if old is not None and old.available >= least else ""
    answers = (state.revision for state in scene.states if state.revision == selected and state.ready)
    # Pods answer from the moment that they are ready, and serve for the status a little later.
    chosen = scene.serving or next(answers, aim)
    if scene.policy.type is not RolloutType.BLUE_GREEN or not (room.surge or scene.serving == aim):
        return ""
    state, old = scene.state(chosen), _way_back(scene, aim)
    if old is not None and (selected == old.revision or not (state and state.available)):
        # Nobody is there to answer in its place, or not everybody yet. Who makes room one by one cannot do it alone.
        return old.revision if room.surge else ""
    # Who turns to BlueGreen in the midst of another rollout has pods of both, and needs them all.
    enough = min(scene.wanted, sum(other.available for other in scene.states))
    return chosen if selected == chosen or (state.available if state else 0) >= enough else ""


def _look(scene: Scene, aim: str, room: Room, canary: Analysis | None) -> float | None:
    moments = (room.due, _kept_until(scene, aim), _yields_at(scene, aim, room), _gone_by(scene, aim))
    coming = (moment for moment in moments if moment is not None and moment > scene.now)
    waits = [max(1.0, (moment - scene.now).total_seconds()) for moment in coming]
    if canary is not None and canary.look is not None:
        waits.append(canary.look)
    if canary is not None and canary.at.step != scene.snapshot.status.rollout.step:
        waits.append(AT_ONCE_SECONDS)
    return min(waits, default=None)
