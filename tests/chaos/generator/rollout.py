"""What the fields of `rollout` need beside them, and what shows them while nothing is replaced."""

from typing import Any

from tests.chaos.generator.became import Shown, nowhere
from tests.chaos.generator.schema import Spec

_IDLE = nowhere("it decides how a change of version goes, and is shown while one does")
ROLLOUT_FIELDS: dict[str, Shown] = {
    f"rollout.{field}": _IDLE
    for field in (
        *("type", "maxUnavailable", "whenNoCapacity", "capacityTimeoutSeconds", "autoRollback", "promote"),
        *("canary.mirror", "canary.minAgreementPercent", "blueGreen.scaleDownDelaySeconds", "blueGreen.promotion"),
        *(f"canary.steps.[].{name}" for name in ("weight", "pauseSeconds", "minRequests")),
        *(f"canary.steps.[].{name}" for name in ("maxErrorPercent", "maxP95Milliseconds")),
    )
}
# HotSwap needs servers that answer, and there are none here; tests/server and e2e have them.
KNOWN_OF_ROLLOUT: dict[str, tuple[Any, ...]] = {
    "rollout.type": ("RollingUpdate", "BlueGreen", "Recreate"),
    "rollout.promote": ("0123abcd", "89abcdef"),
}


def fit_rollout(spec: Spec, field: str) -> None:
    """Make the policy agree with `field`, and end by itself: nobody is there to promote anything."""
    rollout: Spec | None = spec.get("rollout")
    if rollout is None:
        return
    _fit_canary(rollout, field)
    if field == "rollout.whenNoCapacity":
        rollout.pop("maxUnavailable", None)
    elif rollout.get("maxUnavailable") == 0:
        rollout["whenNoCapacity"] = "Wait"
    green: Spec = rollout.get("blueGreen", {})
    if field != "rollout.blueGreen.promotion":
        green.pop("promotion", None)
    if rollout.get("type") == "BlueGreen" and field != "rollout.blueGreen.scaleDownDelaySeconds":
        rollout["blueGreen"] = {**green, "scaleDownDelaySeconds": 0}


def _fit_canary(rollout: Spec, field: str) -> None:
    if not field.startswith("rollout.canary"):
        rollout.pop("canary", None)
        if rollout.get("type") == "Canary":
            rollout.pop("type")
        return
    canary: Spec = rollout.setdefault("canary", {})
    rollout["type"] = "Canary"
    steps = canary.setdefault("steps", [{"weight": 20}])
    canary["steps"] = [{"weight": 20, **step} for step in steps[:1]]
    if "minAgreementPercent" in canary:
        canary["mirror"] = True
