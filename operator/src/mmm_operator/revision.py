"""The revision: a hash of everything that a pod runs, and nothing else.

Defaults are resolved before hashing and absent values are left out, so a field that the API gains
later changes no existing hash. Replicas, autoscaling, rollout policy and service do not take part:
changing them must not restart a pod.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from mmm_operator import names
from mmm_operator.api.v1alpha1 import Spec


@dataclass(frozen=True, slots=True)
class Revision:
    """What the pods of one Deployment run."""

    id: str
    version: str
    digest: str
    image: str


def revision_of(spec: Spec, digest: str, image: str) -> Revision:
    """The revision that `spec` asks for, given the resolved digest and server image."""
    content = {"digest": digest, "image": image, **_pod_inputs(spec)}
    hashed = hashlib.sha256(canonical_json(content)).hexdigest()
    return Revision(hashed[: names.REVISION_LENGTH], spec.model.version, digest, image)


def canonical_json(content: Any) -> bytes:
    """One byte string per value: sorted keys, no spaces, UTF-8."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def content_hash(content: Any) -> str:
    """Sixteen hex digits that name a JSON value."""
    return hashlib.sha256(canonical_json(content)).hexdigest()[:16]


def _pod_inputs(spec: Spec) -> dict[str, Any]:
    parts = {
        "model": {"uri": spec.model.uri, "version": spec.model.version, "tasks": sorted(spec.model.tasks)},
        "servedName": spec.model.served_name,
        "storage": spec.storage.to_json(),
        "cache": spec.cache.to_json(),
        "accelerator": spec.accelerator.to_json() if spec.accelerator else None,
        "runtime": {k: v for k, v in spec.runtime.to_json().items() if k != "image"},
        "resources": spec.resources.to_json(),
        "serviceAccountName": spec.service_account_name,
        "imagePullSecrets": [item.name for item in spec.image_pull_secrets],
        "priorityClassName": spec.priority_class_name,
    }
    return {key: value for key, value in parts.items() if value not in (None, [], {})}
