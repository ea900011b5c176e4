"""The revision: a hash of everything that a pod runs, and nothing else.

Absent values and defaults are left out, so a field that the API gains later changes no existing
hash. Replicas, autoscaling, rollout policy and service do not take part: changing them must not
restart a pod.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from mmm_operator import names
from mmm_operator.api.base import ApiModel
from mmm_operator.api.rollout import RolloutType
from mmm_operator.api.v1alpha1 import Accelerator, Spec


@dataclass(frozen=True, slots=True)
class Revision:
    """What the pods of one Deployment run. Where one `swaps`, they go over to other versions without being replaced."""

    id: str
    version: str
    digest: str
    image: str
    swaps: bool = False
    first: str = ""


def revision_of(spec: Spec, version: str, digest: str, image: str, first: str = "") -> Revision:
    """The revision that `spec` asks for, given the resolved version and digest and the server image.

    With HotSwap the version is no part of what pods are: `first` is the digest that they began with where that had to
    be a revision of its own, because both versions did not fit into one pod.
    """
    swaps = spec.rollout.type is RolloutType.HOT_SWAP
    inputs = {"hotSwap": first, **_pod_inputs(spec, "")} if swaps else {"digest": digest, **_pod_inputs(spec, version)}
    hashed = hashlib.sha256(canonical_json({"image": image, **inputs})).hexdigest()
    return Revision(hashed[: names.REVISION_LENGTH], version, digest, image, swaps, first)


def canonical_json(content: Any) -> bytes:
    """One byte string per value: sorted keys, no spaces, UTF-8."""
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


def content_hash(content: Any) -> str:
    """Sixteen hex digits that name a JSON value."""
    return hashlib.sha256(canonical_json(content)).hexdigest()[:16]


def _pod_inputs(spec: Spec, version: str) -> dict[str, Any]:
    parts = {
        "model": {"uri": spec.model.uri, "version": version, "tasks": sorted(spec.model.tasks)},
        "servedName": spec.model.served_name,
        "storage": _departures(spec.storage),
        # A claim that grows, or keeps more, is still the same claim to the pods.
        "cache": _departures(spec.cache, "claim_template", "retain_versions"),
        "accelerator": _accelerator(spec.accelerator) if spec.accelerator else None,
        "runtime": _departures(spec.runtime, "image"),
        "resources": _departures(spec.resources),
        "serviceAccountName": spec.service_account_name,
        "imagePullSecrets": [item.name for item in spec.image_pull_secrets],
        "priorityClassName": spec.priority_class_name,
        "podTemplate": _departures(spec.pod_template) if spec.pod_template else None,
    }
    return {key: value for key, value in parts.items() if value not in (None, [], {})}


def _accelerator(accelerator: Accelerator) -> dict[str, Any]:
    # To have one with all its defaults is not the same as to have none.
    always = {"resourceName": accelerator.resource_name, "count": accelerator.count}
    return {**always, **_departures(accelerator)}


def _departures(part: ApiModel, *apart_from: str) -> dict[str, Any]:
    """What `part` says that is not a default, so that a new field with a default is no change."""
    return part.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=set(apart_from))
