"""Pods that share a volume: which of them may run where, and what stays on it."""

from dataclasses import dataclass
from typing import Any

from mmm_operator import names
from mmm_operator.revision import content_hash
from mmm_operator.snapshot import Manifest

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class SharedVolume:
    """What pods of several versions must know of the volume that they share.

    `claim` is its name, empty where there is none. Only one node can mount it if it is `on_one_node`. It keeps
    `versions` in all, 0 for any number, and the digests in `keep` whatever happens.
    """

    claim: str = ""
    on_one_node: bool = False
    versions: int = 0
    keep: tuple[str, ...] = ()


def bind_to_volume(template: Manifest, volume: SharedVolume) -> Manifest:
    """`template`, whose pods say which claim they mount, and go where it is if only one node can mount it."""
    if not volume.claim:
        return template
    label = {names.LABEL_VOLUME: content_hash(volume.claim)}
    meta = template["metadata"]
    labelled = {**template, "metadata": {**meta, "labels": {**meta["labels"], **label}}}
    return keep_together(labelled, label) if volume.on_one_node else labelled


def keep_together(template: Manifest, labels: dict[str, str]) -> Manifest:
    """`template`, whose pods go only where other pods with these labels are, or anywhere while there are none."""
    spec = template["spec"]
    affinity: dict[str, Any] = spec.get("affinity", {})
    pods: dict[str, Any] = affinity.get("podAffinity", {})
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    together = {**affinity, "podAffinity": {**pods, _REQUIRED: [*pods.get(_REQUIRED, ()), term]}}
    return {**template, "spec": {**spec, "affinity": together}}
