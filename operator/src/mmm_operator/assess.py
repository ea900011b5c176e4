"""What is true of the object: ordered checks, the first that has something to say decides a condition."""

from collections.abc import Callable, Iterator

from mmm_operator.api.conditions import REASONS, ConditionStatus, ConditionType, Finding, Reason
from mmm_operator.api.source import mounted_source
from mmm_operator.api.storage import CacheType
from mmm_operator.api.v1alpha1 import Fallback
from mmm_operator.diagnose import OWN_WORDS, has_fetched
from mmm_operator.facts import Facts
from mmm_operator.prefetch import is_on_one_node
from mmm_operator.snapshot import pod_revision

__all__ = ["Facts", "assess"]

UNVERIFIED = "unverified: it has no manifest, so nobody vouches for its content; `mmm publish` it to have that"

Check = Callable[[Facts], tuple[ConditionStatus, Reason, str] | None]


def assess(facts: Facts) -> tuple[Finding, ...]:
    """Every condition of the object, in the order in which people read them."""
    return tuple(_findings(facts))


def _findings(facts: Facts) -> Iterator[Finding]:
    for condition, checks in CHECKS.items():
        verdict = next((found for check in checks if (found := check(facts))), None)
        if verdict is not None:
            status, reason, message = verdict
            yield Finding(type=condition, status=status, reason=reason, message=message)


# Blockers: each says why the spec cannot be applied. They make Accepted and Ready False alike.


def _invalid(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    if facts.snapshot.mmm is None:
        return "False", Reason.INVALID_SPEC, facts.snapshot.invalid
    return None


def _name_conflict(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    if not facts.taken:
        return None
    taken = ", ".join(str(ref) for ref in sorted(facts.taken))
    message = f"{taken} exists and belongs to somebody else: delete it, or give this object another name"
    return "False", Reason.NAME_CONFLICT, message


def _refused(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    if facts.snapshot.refused:
        return "False", Reason.REJECTED, facts.snapshot.refused
    return None


def _unresolved(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    resolution = facts.snapshot.resolution
    if resolution is None or facts.resolved:
        return None
    status: ConditionStatus = "Unknown" if resolution.reason is Reason.RESOLVING else "False"
    return status, resolution.reason, resolution.message


# Ready


def _unready(check: Check) -> Check:
    def verdict(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
        found = check(facts)
        return ("False", found[1], found[2]) if found else None

    return verdict


def _ready(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    if not facts.settled:
        return None
    if facts.wanted == 0:
        reason, why = _nothing_wanted(facts)
        return "True", reason, f"{why}, as asked for"
    return "True", Reason.READY, f"{facts.wanted} of {facts.wanted} pods serve"


def _given_up(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    failed = facts.course.failed
    return ("False", failed.reason, failed.message) if failed else None


def _troubled(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    trouble = facts.trouble
    return ("False", trouble.reason, trouble.message) if trouble else None


def _deadline(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    if not facts.stalled:
        return None
    return "False", Reason.PROGRESS_DEADLINE_EXCEEDED, facts.step.because


def _under_way(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    return "False", _movement(facts), facts.because


def _paused(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    return ("False", Reason.PAUSED, facts.step.because) if facts.step.paused else None


def _movement(facts: Facts) -> Reason:
    if facts.step.held:
        return Reason.DOWNLOADING if facts.prefetch else Reason.WAITING_FOR_VOLUME
    if facts.course.awaits:
        return Reason.AWAITING_PROMOTION
    if facts.course.canary is not None and facts.course.canary.limit is not None:
        return Reason.ANALYZING
    replacing = facts.course.swap is not None or (bool(facts.serving) and facts.serving != facts.target)
    if replacing or any(pod_revision(pod) != facts.target for pod in facts.living):
        return Reason.ROLLING_OUT
    return Reason.SCALING if facts.available or facts.step.done else Reason.STARTING


# Available


def _serving(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    if facts.available:
        return "True", Reason.SERVING, "requests are answered"
    return None


def _nobody_serves(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    if facts.wanted == 0:
        return "False", *_nothing_wanted(facts)
    return "False", Reason.NO_READY_REPLICAS, "no pod answers requests"


def _nothing_wanted(facts: Facts) -> tuple[Reason, str]:
    if _is_suspended(facts):
        return Reason.SUSPENDED, "suspend is true"
    return Reason.SCALED_TO_ZERO, "replicas is 0"


def _is_suspended(facts: Facts) -> bool:
    return facts.snapshot.mmm is not None and facts.snapshot.mmm.spec.suspend


# Progressing and Stalled


def _at_rest(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    blocked = _blocker(facts)
    if blocked is not None:
        return "False", blocked[1], blocked[2]
    return ("False", Reason.SETTLED, "") if facts.settled else None


def _story(facts: Facts) -> str:
    """What was tried, why it failed, and who serves."""
    failed, target = facts.course.failed, facts.snapshot.resolution
    current = facts.snapshot.status.model.current
    known = current.version if current and current.revision == facts.serving else ""
    back = known or next((state.version for state in facts.states if state.revision == facts.serving), "")
    why = f"{failed.reason.value}: {failed.message}" if failed else ""
    return f"version {target.version if target else ''} was given up, version {back} serves: {why}"


def _progressing(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    return "True", _movement(facts), facts.because


def _stalled(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    blocked = _invalid(facts) or _name_conflict(facts)
    if blocked is not None:
        return "True", blocked[1], blocked[2]
    if facts.rolled_back:
        return "True", Reason.ROLLED_BACK, _story(facts)
    if not facts.stalled:
        return None
    failed = facts.course.failed
    if failed is not None:
        return "True", failed.reason, failed.message
    trouble = facts.trouble
    because = f"{trouble.reason.value}: {trouble.message}" if trouble else facts.step.because
    return "True", Reason.PROGRESS_DEADLINE_EXCEEDED, because


def _not_stalled(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    if facts.step.paused:
        return "False", Reason.PAUSED, ""
    return "False", Reason.SETTLED if facts.settled else _movement(facts), ""


# The rest


def _accepted(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    return "True", Reason.ACCEPTED, ""


def _resolved(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    resolution = facts.snapshot.resolution
    if resolution is None:
        return None
    found = f"version {resolution.version} is {resolution.digest}"
    if _is_mounted(facts):
        return "True", Reason.RESOLVED, f"{found}: each pod checks that before it serves"
    if resolution.reason is not Reason.RESOLVED_WITHOUT_MANIFEST:
        return "True", Reason.RESOLVED, found
    return "True", resolution.reason, f"{found}; {UNVERIFIED}"


def _is_mounted(facts: Facts) -> bool:
    return facts.snapshot.mmm is not None and mounted_source(facts.snapshot.mmm.spec.model.uri) is not None


def _not_on_volume(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    trouble = facts.trouble
    if trouble is None or _is_fetched(facts) or not (facts.step.held or trouble.reason.value in OWN_WORDS):
        return None
    return "False", trouble.reason, trouble.message


def _on_volume(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    status = facts.snapshot.status
    remembered = any(c.type == ConditionType.MODEL_CACHED and c.status == "True" for c in status.conditions)
    same = status.model.target is not None and status.model.target.revision == facts.target
    if not _is_fetched(facts) and not (remembered and same and not facts.step.held):
        return None
    mmm = facts.snapshot.mmm
    one = mmm is not None and is_on_one_node(mmm.spec, facts.snapshot.claim)
    where = "; the claim is ReadWriteOnce: all pods run on the node that has it" if one else ""
    return "True", Reason.CACHED, f"the target lies on the volume, whole{where}"


def _is_fetched(facts: Facts) -> bool:
    """Whether the Job has done its work, or a pod of the target has found the model or put it there."""
    done = facts.prefetch is not None and facts.prefetch.done
    return done or any(map(has_fetched, facts.fetching))


def _downloading(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    if facts.step.held:
        return "False", Reason.DOWNLOADING, facts.step.because
    if not facts.fetching:
        return "Unknown", Reason.DOWNLOADING, "no pod of the target has looked yet"
    return "False", Reason.DOWNLOADING, "no pod of the target has fetched the model yet"


def _with_claim(check: Check) -> Check:
    def verdict(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
        mmm = facts.snapshot.mmm
        has_claim = mmm is not None and mmm.spec.cache.type is CacheType.PERSISTENT_VOLUME_CLAIM
        return check(facts) if has_claim else None

    return verdict


def _no_capacity(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    shortage = facts.shortage
    return ("False", shortage.reason, shortage.message) if shortage else None


def _capacity(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    return "True", Reason.SCHEDULED, ""


def _autoscaler(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    mmm = facts.snapshot.mmm
    if mmm is None or mmm.spec.autoscaling is None or mmm.spec.suspend:
        return None
    scalers = facts.snapshot.of_kind("HorizontalPodAutoscaler")
    conditions = {c["type"]: c for s in scalers for c in s.get("status", {}).get("conditions", ())}
    for name in ("AbleToScale", "ScalingActive"):
        condition = conditions.get(name)
        said = condition.get("reason") if condition is not None else ""
        disabled = said == "ScalingDisabled"
        # What it says of pods that are not there yet, say that they have no metrics, is no news; nor is that it looked
        # before our status named them.
        early = said == "InvalidSelector" or not (disabled or facts.available)
        if condition is None or (condition["status"] != "True" and early):
            return "Unknown", Reason.AUTOSCALER_PENDING, "the autoscaler has nothing to go by before a pod is ready"
        if condition["status"] != "True":
            reason = Reason.SCALED_TO_ZERO if disabled else Reason.METRICS_UNAVAILABLE
            return "False", reason, condition.get("message", "")
    limit = conditions.get("ScalingLimited", {})
    if limit.get("status") == "True" and limit.get("reason") == "TooManyReplicas":
        return "True", Reason.LIMITED_BY_MAXIMUM, limit.get("message") or ""
    return "True", Reason.AUTOSCALER_ACTIVE, ""


def _unheard(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    # Not looked yet: what an earlier process saw is still the best that is known.
    if facts.snapshot.mmm is None or facts.snapshot.update is not None or facts.snapshot.moved or _is_mounted(facts):
        return None
    listed = facts.snapshot.status.conditions
    stored = next((c for c in listed if c.type == ConditionType.UPDATE_AVAILABLE and c.reason in REASONS), None)
    if stored is None:
        return None
    resolution, latest = facts.snapshot.resolution, facts.snapshot.status.model.latest
    if stored.reason == Reason.NEW_VERSION and latest and resolution and latest.version == resolution.version:
        return "False", Reason.UP_TO_DATE, ""  # what was new then has been asked for since
    return stored.status, REASONS[stored.reason], stored.message


def _content_changed(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    resolution, update = facts.snapshot.resolution, facts.snapshot.update
    if update is None or resolution is None or not update.changed:
        return None
    message = (
        f"version {resolution.version} was {resolution.digest} and now is {update.changed}; the first one goes on "
        "serving: publish what is new under a version of its own"
    )
    return "True", Reason.CONTENT_CHANGED, message


def _newer_version(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    resolution, update = facts.snapshot.resolution, facts.snapshot.update
    if update is None or resolution is None or not update.newer:
        return None
    message = f"version {update.newer} is there: write it in spec.model.version to serve it instead of "
    return "True", Reason.NEW_VERSION, message + resolution.version


def _cannot_look(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    update = facts.snapshot.update
    return ("Unknown", *update.trouble) if update is not None and update.trouble else None


def _up_to_date(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    update = facts.snapshot.update
    if update is None or not facts.resolved:
        return None
    waiting = f"without a manifest yet: {', '.join(update.incomplete)}" if update.incomplete else ""
    return "False", Reason.UP_TO_DATE, waiting


def _update_blocked(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    asked = facts.snapshot.mmm is not None and facts.resolved
    swapping = facts.course.swap is not None
    if not facts.available or (asked and facts.serving == facts.target and not swapping):
        return None
    blocked = _blocker(facts)
    if blocked is None and facts.rolled_back:
        return "True", Reason.ROLLED_BACK, _story(facts)
    blocked = blocked or _stalled(facts)
    if blocked is None or blocked[0] == "Unknown":
        return None
    return "True", Reason.UPDATE_BLOCKED, f"an older revision serves: {blocked[1].value}: {blocked[2]}"


def _on_cpu(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    mmm = facts.snapshot.mmm
    if mmm is None or mmm.spec.accelerator is None or mmm.spec.accelerator.fallback is not Fallback.CPU:
        return None
    acceleration = facts.snapshot.status.acceleration
    devices = {report.device for report in facts.snapshot.reports.values()}
    if "cpu" in (devices or {acceleration.device if acceleration else ""}):
        wanted = mmm.spec.accelerator.resource_name
        return "True", Reason.ACCELERATOR_FALLBACK, f"the pods run on the CPU although {wanted} is asked for"
    return None


def _replicas_failing(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    trouble = facts.trouble
    if trouble is None or not facts.available or facts.serving != facts.target:
        return None
    if facts.course.swap is not None and facts.course.swap.trouble is not None:
        return None  # the version before serves, and does not fail
    return "True", Reason.REPLICAS_FAILING, f"{trouble.reason.value}: {trouble.message}"


def _as_asked(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    return "False", Reason.AS_ASKED, ""


def _blocker(facts: Facts) -> tuple[ConditionStatus, Reason, str] | None:
    return next((found for check in BLOCKERS if (found := check(facts))), None)


ADMISSION: tuple[Check, ...] = (_invalid, _name_conflict, _refused)
BLOCKERS: tuple[Check, ...] = (*ADMISSION, _unresolved)

CHECKS: dict[ConditionType, tuple[Check, ...]] = {
    ConditionType.READY: (*map(_unready, BLOCKERS), _ready, _given_up, _troubled, _deadline, _paused, _under_way),
    ConditionType.AVAILABLE: (_serving, _nobody_serves),
    ConditionType.PROGRESSING: (_at_rest, _unready(_stalled), _paused, _progressing),
    ConditionType.STALLED: (_stalled, _not_stalled),
    ConditionType.ACCEPTED: (*ADMISSION, _accepted),
    ConditionType.MODEL_RESOLVED: (_unresolved, _resolved),
    ConditionType.MODEL_CACHED: tuple(map(_with_claim, (_not_on_volume, _on_volume, _downloading))),
    ConditionType.CAPACITY_AVAILABLE: (_no_capacity, _capacity),
    ConditionType.AUTOSCALING_ACTIVE: (_autoscaler,),
    ConditionType.UPDATE_AVAILABLE: (_unheard, _content_changed, _newer_version, _cannot_look, _up_to_date),
    ConditionType.DEGRADED: (_update_blocked, _on_cpu, _replicas_failing, _as_asked),
}
