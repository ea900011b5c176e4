"""What pods answer: as many requests a second as one says, with as many errors and as slowly as their version does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmm_operator.offline.simulation.pod import Pod
from mmm_operator.traffic import Traffic

USUAL_MILLISECONDS = 50


@dataclass
class Answers:
    """The requests of all pods together, and how each version answers them.

    `errors` and `differing` are percent by version, `slow` is the 95th percentile in milliseconds.
    """

    per_second: int = 20
    errors: dict[str, int] = field(default_factory=dict)
    differing: dict[str, int] = field(default_factory=dict)
    slow: dict[str, int] = field(default_factory=dict)
    _since: str | None = None
    _counted: dict[str, float] = field(default_factory=dict)

    def count(self, seconds: int, pods: Sequence[Pod], since: str | None) -> None:
        """So many seconds passed in which these pods shared the requests; a new `since` begins at none."""
        if since != self._since:
            self._since, self._counted = since, {}
        for pod in pods:
            self._counted[pod.name] = self._counted.get(pod.name, 0.0) + self.per_second * seconds / len(pods)

    def traffic(self, pods: Sequence[Pod], since: str | None, mirrored_to: str | None) -> Mapping[str, Traffic]:
        """What each pod has answered since then, by name; copies of that went to the version that is named."""
        if since is None:
            return {}
        counted = self._counted if since == self._since else {}
        return {pod.name: self._of(pod, int(counted.get(pod.name, 0)), mirrored_to) for pod in pods}

    def heal(self, version: str) -> None:
        """The version answers as it should."""
        for ills in (self.errors, self.differing, self.slow):
            ills.pop(version, None)

    def _of(self, pod: Pod, requests: int, mirrored_to: str | None) -> Traffic:
        mirrored = requests if mirrored_to not in (None, pod.version) else 0
        return Traffic(
            requests=requests,
            errors=requests * self.errors.get(pod.version, 0) // 100,
            p95_ms=float(self.slow.get(pod.version, USUAL_MILLISECONDS)) if requests else None,
            mirrored=mirrored,
            differing=mirrored * self.differing.get(mirrored_to or "", 0) // 100,
        )
