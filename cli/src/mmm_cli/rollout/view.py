"""What the status of a MultimodalModel tells of a rollout, in the words of people."""

from collections.abc import Iterator

from mmm_operator.api.conditions import Condition, ConditionType, Reason
from mmm_operator.api.rollout import RolloutType
from mmm_operator.api.status import ModelState
from mmm_operator.api.v1alpha1 import MultimodalModel

UNSEEN = "the operator has not looked at the latest change yet"


def is_over(mmm: MultimodalModel) -> bool | None:
    """True when what was asked for serves, False when that has failed, None while nobody knows."""
    if not is_seen(mmm):
        return None
    ready, stalled = condition(mmm, ConditionType.READY), condition(mmm, ConditionType.STALLED)
    if any(found is not None and found.reason == Reason.ROLLED_BACK for found in mmm.status.conditions):
        return False
    if ready is not None and ready.status == "True":
        return True
    return False if stalled is not None and stalled.status == "True" else None


def is_seen(mmm: MultimodalModel) -> bool:
    """Whether the status speaks of the spec as it is now."""
    return mmm.status.observed_generation >= mmm.metadata.generation


def condition(mmm: MultimodalModel, kind: ConditionType) -> Condition | None:
    """The condition of this type."""
    return next((found for found in mmm.status.conditions if found.type == kind), None)


def facts_of(mmm: MultimodalModel) -> dict[str, str]:
    """What serves, what shall, how far it is and what it waits for: names and values, in the order of reading."""
    return dict(_facts(mmm))


def news_of(mmm: MultimodalModel) -> str:
    """The state of the rollout in one line, for those who watch it."""
    summary = mmm.status.rollout.summary or mmm.status.ready_summary or "-"
    return f"{summary}  {_state(mmm)}"


def rows_of(mmm: MultimodalModel) -> list[tuple[str, ...]]:
    """The revisions that are there as cells of a table, newest first."""
    return [
        (item.revision, item.version, item.short_digest, item.state, f"{item.ready}/{item.replicas}", item.created_at)
        for item in mmm.status.revisions
    ]


def _facts(mmm: MultimodalModel) -> Iterator[tuple[str, str]]:
    status = mmm.status
    current, target, rollout = status.model.current, status.model.target, status.rollout
    yield "state", _state(mmm)
    yield "serves", _model(current) if current else "nothing yet"
    if target is not None and (current is None or current.revision != target.revision):
        yield "target", _model(target)
    yield "pods", f"{status.ready_summary or '0/0'} ready"
    yield "rollout", ", ".join(_course(mmm))
    if rollout.mirror is not None:
        yield "mirror", f"{rollout.mirror.compared} answers compared, {rollout.mirror.differing} differ"
    if rollout.message and rollout.message not in _state(mmm):
        yield "waits for", rollout.message
    for number, failed in enumerate(status.model.failed):
        text = (
            f"version {failed.version}, revision {failed.revision}, at {failed.at}: {failed.reason}: {failed.message}"
        )
        yield f"failed{f' {number + 1}' if number else ''}", text


def _state(mmm: MultimodalModel) -> str:
    ready = condition(mmm, ConditionType.READY)
    if not is_seen(mmm) or ready is None:
        return UNSEEN
    return f"{ready.reason}: {ready.message}" if ready.message else ready.reason


def _model(state: ModelState) -> str:
    return f"version {state.version} ({state.short_digest}), revision {state.revision}, since {state.since}"


def _course(mmm: MultimodalModel) -> Iterator[str]:
    """Of which type the rollout is, and how far."""
    spec, rollout = mmm.spec.rollout, mmm.status.rollout
    yield rollout.type or spec.type.value
    if spec.type is RolloutType.CANARY and spec.canary is not None and rollout.step:
        yield f"step {rollout.step} of {len(spec.canary.steps)}"
    if rollout.weight is not None:
        yield f"{rollout.weight} % of the pods are new"
    if rollout.summary:
        yield rollout.summary
    if rollout.strategy_in_effect:
        yield rollout.strategy_in_effect
    if spec.paused and "Paused" not in rollout.summary:
        yield "paused"
