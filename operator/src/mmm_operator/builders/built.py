"""What a Deployment was built with, as an annotation on it.

The pods of a revision must not restart because a newer operator would build them a little differently, and a revision
that the spec speaks of no more cannot be built again at all. So each Deployment carries what it was built with. The
desired state is read from there and never from the live spec, so that an edit of any field is found and undone.
"""

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

from mmm_operator import names
from mmm_operator.revision import canonical_json, content_hash
from mmm_operator.snapshot import Manifest, revision_id

# Anybody may edit an annotation: what unpacks to more than this is none of ours.
MOST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Built:
    """The fields of a Deployment that stay as they were built."""

    template: Manifest
    min_ready_seconds: int
    progress_deadline_seconds: int

    @property
    def version(self) -> str:
        """The model version that the pods serve."""
        return str(self.template["metadata"].get("labels", {}).get(names.LABEL_VERSION, ""))

    @property
    def digest(self) -> str:
        """The digest of that version."""
        return str(self.template["metadata"].get("annotations", {}).get(names.ANNOTATION_DIGEST, ""))

    def annotations(self, live: Manifest | None) -> dict[str, str]:
        """The annotations that say so; the packed text of `live` stays if it says the same."""
        content = self._content()
        packed = _annotations(live).get(names.ANNOTATION_BUILT, "") if live else ""
        # Another zlib may pack the same content into other bytes.
        text = packed if packed and _unpack(packed) == content else _pack(content)
        return {names.ANNOTATION_BUILT: text, names.ANNOTATION_TEMPLATE: content_hash(content)}

    def _content(self) -> dict[str, Any]:
        return {
            "minReadySeconds": self.min_ready_seconds,
            "progressDeadlineSeconds": self.progress_deadline_seconds,
            "template": self.template,
        }


def read_built(live: Manifest | None) -> Built | None:
    """What `live` was built with; None when it does not say so, or somebody edited what it says."""
    annotations = _annotations(live) if live else {}
    content = _unpack(annotations.get(names.ANNOTATION_BUILT, ""))
    if live is None or content is None or content_hash(content) != annotations.get(names.ANNOTATION_TEMPLATE):
        return None
    try:
        # A hash proves no origin: a template of another revision is none of this Deployment's.
        if content["template"]["metadata"]["labels"][names.LABEL_REVISION] != revision_id(live):
            return None
        return Built(content["template"], content["minReadySeconds"], content["progressDeadlineSeconds"])
    except (KeyError, TypeError):
        return None


def take_as_built(live: Manifest) -> Built:
    """What is there, as if it had been built so: all that is left of a record that somebody destroyed."""
    spec = live["spec"]
    return Built(spec["template"], spec.get("minReadySeconds", 0), spec.get("progressDeadlineSeconds", 600))


def _annotations(live: Manifest) -> dict[str, str]:
    return live["metadata"].get("annotations") or {}


def _pack(content: dict[str, Any]) -> str:
    return base64.b64encode(zlib.compress(canonical_json(content), 9)).decode()


def _unpack(text: str) -> dict[str, Any] | None:
    try:
        content = json.loads(zlib.decompressobj().decompress(base64.b64decode(text, validate=True), MOST_BYTES))
    except (ValueError, zlib.error, RecursionError):
        return None
    return content if isinstance(content, dict) else None
