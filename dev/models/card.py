"""The model card: what a directory says about itself, and what publishing hands on as metadata."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from dev.models.captions import TEMPLATE
from dev.models.shapes import CLASSES

CARD = "model_card.json"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class ModelCard:
    """What a model version is and how well it does; field names are those of the JSON document."""

    accuracy: float  # zero-shot on held-out pictures, 0 to 1
    trainedSteps: int  # noqa: N815
    parameters: int
    task: str = "ZeroShotImageClassification"
    framework: str = "transformers"
    architecture: str = "CLIPModel"
    classes: tuple[str, ...] = CLASSES
    template: str = TEMPLATE
    created: str = field(default_factory=_now)

    def write(self, directory: Path) -> None:
        """Write the card into a version directory."""
        (directory / CARD).write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n")


def read_card(directory: Path) -> ModelCard:
    """Give the card of a version directory."""
    fields = json.loads((directory / CARD).read_text())
    return ModelCard(**(fields | {"classes": tuple(fields["classes"])}))
