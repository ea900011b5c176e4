"""Which files are generated, and from what."""

from collections.abc import Callable
from pathlib import Path

from dev.generate import chart, install
from dev.generate.commands import commands_reference
from dev.generate.metrics import metrics_reference
from dev.generate.rights import rights_reference, rules_template
from dev.generate.text import markdown_note, yaml_text
from mmm_operator.api.crd import crd
from mmm_operator.api.docs import api_reference, conditions_reference

REPOSITORY = Path(__file__).resolve().parents[2]


def _api_reference() -> str:
    sample = (REPOSITORY / "manifests/samples/clip.yaml").read_text()
    return markdown_note("mmm_operator.api") + "\n" + api_reference(sample)


def _conditions_reference() -> str:
    return markdown_note("mmm_operator.api.conditions") + "\n" + conditions_reference()


# In this order: the install manifest is rendered from the chart, whose parts have to be there first.
_FILES: dict[str, Callable[[], str]] = {
    "crds/multimodalmodels.serving.multimodal.dev.yaml": lambda: yaml_text(crd(), source="mmm_operator.api"),
    "docs/api.md": _api_reference,
    "docs/cli.md": commands_reference,
    "docs/conditions.md": _conditions_reference,
    "docs/metrics.md": metrics_reference,
    "docs/rbac.md": rights_reference,
    "charts/multimodal-operator/templates/crd.yaml": chart.crd_template,
    "charts/multimodal-operator/templates/_rules.tpl": rules_template,
    "charts/multimodal-operator/VALUES.md": chart.values_table,
    "manifests/install.yaml": install.install_manifest,
    "manifests/kustomization.yaml": install.kustomization,
}


def generated() -> dict[str, str]:
    """The text of every generated file, by its path in the repository."""
    return {name: render() for name, render in _FILES.items()}


def write(root: Path = REPOSITORY) -> list[str]:
    """The paths of the files, all of which are written."""
    for name, render in _FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(render().encode())
    return list(_FILES)


def stale(root: Path = REPOSITORY) -> list[str]:
    """The paths of the files that are not, byte for byte, what the code says."""
    return [name for name, text in generated().items() if _bytes(root / name) != text.encode()]


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
