"""What a Deployment was built with, as an annotation on it.

The pods of a revision must not restart because a newer operator would build them a little differently, and a revision
that the spec speaks of no more cannot be built again at all. So each Deployment carries what it was built with. The
desired state is read from there and never from the live spec, so that an edit of any field is found and undone.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmm_operator import names
from mmm_operator.revision import canonical_json
from mmm_operator.snapshot import Manifest, revision_id

# Anybody may edit an annotation: what unpacks to more than this is none of ours.
MOST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Built:
    """The fields of a Deployment that stay as they were built.

    `record` are the annotations from which this was read, if it was: another zlib would pack it into other bytes.
    """

    template: Manifest
    min_ready_seconds: int
    progress_deadline_seconds: int
    record: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The model version that the pods serve."""
        return str(self.template["metadata"].get("labels", {}).get(names.LABEL_VERSION, ""))

    @property
    def digest(self) -> str:
        """The digest of that version."""
        return str(self.template["metadata"].get("annotations", {}).get(names.ANNOTATION_DIGEST, ""))

    def timed(self, min_ready_seconds: int, progress_deadline_seconds: int) -> "Built":
        """The same pods with these times."""
        if (min_ready_seconds, progress_deadline_seconds) == (self.min_ready_seconds, self.progress_deadline_seconds):
            return self
        return Built(self.template, min_ready_seconds, progress_deadline_seconds)

    def annotations(self) -> Mapping[str, str]:
        """The annotations that say so."""
        return self.record or self._record()

    def _record(self) -> Mapping[str, str]:
        content = {
            "minReadySeconds": self.min_ready_seconds,
            "progressDeadlineSeconds": self.progress_deadline_seconds,
            "template": self.template,
        }
        packed = base64.b64encode(zlib.compress(canonical_json(content), 9)).decode()
        return {names.ANNOTATION_BUILT: packed, names.ANNOTATION_TEMPLATE: _hash(packed)}


def read_built(live: Manifest | None) -> Built | None:
    """What `live` was built with; None when it does not say so, or somebody edited what it says."""
    if live is None:
        return None
    annotations = live["metadata"].get("annotations") or {}
    packed, proof = annotations.get(names.ANNOTATION_BUILT, ""), annotations.get(names.ANNOTATION_TEMPLATE, "")
    content = _unpack(packed) if proof == _hash(packed) else None
    if content is None:
        return None
    try:
        # A hash proves no origin: a template of another revision is none of this Deployment's.
        if content["template"]["metadata"]["labels"][names.LABEL_REVISION] != revision_id(live):
            return None
        times = (content["minReadySeconds"], content["progressDeadlineSeconds"])
    except (KeyError, TypeError):
        return None
    return Built(content["template"], *times, {names.ANNOTATION_BUILT: packed, names.ANNOTATION_TEMPLATE: proof})


def take_as_built(live: Manifest) -> Built:
    """What is there, as if it had been built so: all that is left of a record that somebody destroyed."""
    spec = live["spec"]
    return Built(spec["template"], spec.get("minReadySeconds", 0), spec.get("progressDeadlineSeconds", 600))


def _hash(packed: str) -> str:
    return hashlib.sha256(packed.encode()).hexdigest()[:16]


def _unpack(text: str) -> dict[str, Any] | None:
    try:
        content = json.loads(zlib.decompressobj().decompress(base64.b64decode(text, validate=True), MOST_BYTES))
    except (ValueError, zlib.error, RecursionError):
        return None
    return content if isinstance(content, dict) else None
