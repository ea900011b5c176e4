"""The rollouts that are looked at: one for each policy, with what each needs of the node."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ON_GPU = {"accelerator": {"count": 1, "fallback": "CPU"}}
STEPS = [{"weight": 25, "pauseSeconds": 15}, {"weight": 50, "pauseSeconds": 15}]


@dataclass(frozen=True)
class Plan:
    """One rollout; `spec` is that of the MultimodalModel beyond its model."""

    policy: str
    setting: str
    replicas: int
    rollout: Mapping[str, Any]
    gpus: int = 0
    spec: Mapping[str, Any] = field(default_factory=dict)


PLANS = {
    plan.policy: plan
    for plan in (
        Plan("RollingUpdate", "2 replicas, room for a third pod", 2, {"type": "RollingUpdate"}),
        Plan("Recreate", "2 replicas", 2, {"type": "Recreate"}),
        Plan(
            "BlueGreen",
            "2 replicas, the old ones stay for 15 s",
            2,
            {"type": "BlueGreen", "blueGreen": {"scaleDownDelaySeconds": 15}},
        ),
        Plan("Canary", "4 replicas, 25 % and 50 % for 15 s each", 4, {"type": "Canary", "canary": {"steps": STEPS}}),
        Plan("HotSwap", "1 replica, the only GPU", 1, {"type": "HotSwap"}, gpus=1, spec=ON_GPU),
        Plan(
            "ReplaceInPlace",
            "1 replica, the only GPU, given up on after 5 s",
            1,
            {"type": "RollingUpdate", "whenNoCapacity": "ReplaceInPlace", "capacityTimeoutSeconds": 5},
            gpus=1,
            spec=ON_GPU,
        ),
    )
}
