"""What running pods are told: a ConfigMap that each of them mounts, and how they are made to look at it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from mmm_operator import names
from mmm_operator.api.v1alpha1 import ObjectMeta
from mmm_operator.builders.metadata import build_metadata
from mmm_operator.revision import content_hash
from mmm_operator.snapshot import Manifest

WANTED, MIRROR = "wanted.json", "mirror.json"


@dataclass(frozen=True, slots=True)
class Told:
    """What pods shall do: serve (version, digest), and send copies of their requests to a Service. None: do not."""

    wanted: tuple[str, str] | None = None
    mirror: str | None = None

    def files(self) -> Mapping[str, str]:
        """The keys of the ConfigMap, which are files in the pods."""
        found = {}
        if self.wanted is not None:
            version, digest = self.wanted
            found[WANTED] = json.dumps({"version": version, "digest": digest}, sort_keys=True)
        if self.mirror is not None:
            found[MIRROR] = json.dumps({"url": self.mirror})
        return found


def build_rollout_config(owner: ObjectMeta, told: Told) -> Manifest:
    """The ConfigMap that says it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": build_metadata(owner, names.rollout_config_name(owner.name)),
        "data": dict(told.files()),
    }


def build_touch(pod: Manifest, told: Told) -> Manifest | None:
    """The annotation that makes the kubelet look into the ConfigMap now, and not within a minute; None if it has it."""
    word, meta = content_hash(told.files()), pod["metadata"]
    before = (meta.get("annotations") or {}).get(names.ANNOTATION_TOLD)
    if before == word or (before is None and not told.files()):
        return None
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
            "annotations": {names.ANNOTATION_TOLD: word},
        },
    }


def read_wanted(config: Manifest | None) -> tuple[str, str] | None:
    """What pods are told to serve now; None when nothing is said."""
    try:
        document = json.loads((config or {}).get("data", {}).get(WANTED, "null"))
        return (str(document["version"]), str(document["digest"])) if document else None
    except (ValueError, TypeError, KeyError):
        return None
