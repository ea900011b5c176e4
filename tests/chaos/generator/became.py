"""A MultimodalModel and its children side by side, and the ways in which a field of the one shows in the others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmm_operator import names
from mmm_operator.snapshot import Manifest
from tests.chaos.essence import target
from tests.chaos.generator.schema import Spec

TEMPLATE = "spec.template.spec"
SERVER = f"{TEMPLATE}.containers.server"
FETCHER = f"{TEMPLATE}.initContainers.model-fetcher"


@dataclass(frozen=True)
class Became:
    """A MultimodalModel as the API server stores it, and its children by kind; of Deployments the target's only."""

    mmm: Manifest
    children: Mapping[str, Manifest]

    @classmethod
    def of(cls, mmm: Manifest, found: list[Manifest]) -> "Became":
        """The same from all children."""
        goal = target(mmm)
        by_kind = {
            item["kind"]: item
            for item in found
            if item["kind"] != "Deployment" or item["metadata"]["labels"][names.LABEL_REVISION] == goal
        }
        return cls(mmm, by_kind)

    @property
    def spec(self) -> Spec:
        """The spec with its defaults."""
        return dict(self.mmm["spec"])

    def at(self, kind: str, path: str) -> Any:
        """What stands at a dotted path of a child; lists are entered by name or number."""
        here: Any = self.children.get(kind)
        for part in path.split("."):
            here = step(here, part.replace("~", "."))
        return here

    def lacks(self, kind: str) -> bool:
        """Whether there is no child of a kind because the object rests."""
        return kind == "HorizontalPodAutoscaler" and bool(self.spec.get("suspend"))

    def env(self, container: str, name: str) -> Any:
        """The value of an environment variable, or the Secret's key that it comes from."""
        found = self.at("Deployment", f"{container}.env.{name}")
        if found is None:
            return None
        return found.get("value", found.get("valueFrom", {}).get("secretKeyRef"))


def step(here: Any, part: str) -> Any:
    """What stands under a key, or in a list under a name or number; None when nothing does."""
    if isinstance(here, list):
        if part.isdecimal():
            return here[int(part)] if int(part) < len(here) else None
        return next((item for item in here if item.get("name") == part), None)
    return here.get(part) if isinstance(here, dict) else None


Shown = Callable[[Became, Any], tuple[Any, Any]]
"""What a child says, and what it should say, given the field's value in the spec (None when it is absent)."""


def in_child(kind: str, path: str) -> Shown:
    """The value itself, at a place of a child."""

    def shown(became: Became, value: Any) -> tuple[Any, Any]:
        return (None, None) if became.lacks(kind) else (became.at(kind, path), value)

    return shown


def if_given(kind: str, path: str) -> Shown:
    """The same, of what has another default there or none here: only what the spec says is compared."""

    def shown(became: Became, value: Any) -> tuple[Any, Any]:
        silent = value is None or became.lacks(kind)
        return (None, None) if silent else (became.at(kind, path), value)

    return shown


def nowhere(because: str) -> Shown:
    """No child shows it, and why."""
    assert because
    return lambda became, value: (None, None)
