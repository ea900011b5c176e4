"""Pods that share a volume: which of them may run where, and what stays on it."""

from dataclasses import dataclass
from typing import Any

from mmm_operator import names
from mmm_operator.snapshot import Manifest

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class SharedVolume:
    """What pods of several versions must know of the volume that they share.

    Only one node can mount it if it is `on_one_node`. It keeps `versions` in all, 0 for any number, and the digests in
    `keep` whatever happens.
    """

    on_one_node: bool = False
    versions: int = 0
    keep: tuple[str, ...] = ()


def keep_together(template: Manifest, name: str) -> Manifest:
    """`template`, whose pods go only where other pods of the model `name` are, or anywhere while there are none."""
    spec = template["spec"]
    affinity: dict[str, Any] = spec.get("affinity", {})
    pods: dict[str, Any] = affinity.get("podAffinity", {})
    # Pods that fetch and pods that serve have this label in common.
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {names.LABEL_MODEL: name}}}
    together = {**affinity, "podAffinity": {**pods, _REQUIRED: [*pods.get(_REQUIRED, ()), term]}}
    return {**template, "spec": {**spec, "affinity": together}}
