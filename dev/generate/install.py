"""The install manifest: the chart as Helm renders it, for people without Helm."""

import subprocess
from typing import Any

import yaml

from dev.generate.chart import CHART
from dev.generate.text import block, yaml_note
from dev.tools import tool

NAMESPACE = "multimodal-operator-system"
RELEASE = "multimodal-operator"


def render_chart(*arguments: str, namespace: str = NAMESPACE) -> str:
    """What `helm template` prints for the chart; raises CalledProcessError with what it complains about."""
    command = [str(tool("helm")), "template", RELEASE, str(CHART), f"--namespace={namespace}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def install_manifest() -> str:
    """The Namespace, then the chart with its default values."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": {
                "app.kubernetes.io/part-of": RELEASE,
                "pod-security.kubernetes.io/enforce": "restricted",
            },
        },
    }
    objects = map(_without_helm, filter(None, yaml.safe_load_all(render_chart("--skip-tests"))))
    documents = [block(document) for document in [namespace, *objects]]
    return yaml_note("charts/multimodal-operator with its default values") + "---\n".join(documents)


def _without_helm(document: dict[str, Any]) -> dict[str, Any]:
    """The object without what only Helm reads: it is kubectl that manages it."""
    metadata = document["metadata"]
    for part in ("labels", "annotations"):
        kept = {key: value for key, value in metadata.pop(part, {}).items() if not _is_helms(key)}
        metadata.update({part: kept} if kept else {})
    return document


def _is_helms(key: str) -> bool:
    return key.startswith("helm.sh/") or key == "app.kubernetes.io/managed-by"


def kustomization() -> str:
    """A base for kustomize."""
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["install.yaml"],
    }
    return yaml_note("dev.generate") + block(document)
