"""The fetch of the target's bytes into the cache claim, before any pod that serves is touched: whether, and how far.

One Job per digest does it. Its name is a hash of all that decides what it does, so a changed credential makes another
Job, and the one that is done stays as the record that the bytes are there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mmm_operator import names
from mmm_operator.api.source import ClaimSource, mounted_source
from mmm_operator.api.storage import Cache, CacheType
from mmm_operator.api.v1alpha1 import MultimodalModel, Spec
from mmm_operator.builders.overlay import PLACEMENT
from mmm_operator.builders.together import SharedVolume
from mmm_operator.diagnose import has_fetched
from mmm_operator.revision import Revision, content_hash
from mmm_operator.revisions import RevisionState
from mmm_operator.snapshot import Manifest, Snapshot
from mmm_operator.target import Target

# A claim for one pod at a time cannot be written to beside a pod that serves, and one for readers not at all.
SHARED_MODES = frozenset({"ReadWriteMany", "ReadWriteOnce"})
DEFAULT_RETAINED = 2
_JOB_NAME = "batch.kubernetes.io/job-name"
_FETCHING = ("initContainers", "tolerations", "volumes")


@dataclass(frozen=True, slots=True)
class Prefetch:
    """The Job that brings the target to the claim.

    `live` is the Job as it is. The target may not begin while this `holds`. `due` is when the fetch should have made
    progress again, and `stuck` says that this moment has passed.
    """

    job: str
    live: Manifest | None
    done: bool
    holds: bool
    due: datetime | None = None
    stuck: bool = False


def plan_prefetch(
    snapshot: Snapshot, target: Target, states: Sequence[RevisionState], wanted: int, now: datetime
) -> Prefetch | None:
    """The prefetch of `target`; None where pods fetch for themselves, or nobody knows what to fetch."""
    mmm, revision = snapshot.mmm, target.revision
    if mmm is None or revision is None or not is_shared(mmm.spec.cache, snapshot.claim):
        return None
    together = is_on_one_node(mmm.spec, snapshot.claim)
    job = names.fetch_job_name(mmm.metadata.name, fetch_id(mmm.spec, revision, on_one_node=together))
    live = next((item for item in snapshot.of_kind("Job") if item["metadata"]["name"] == job), None)
    done = live is not None and (is_complete(live) or _has_fetched(job, snapshot.fetchers))
    holds = wanted > 0 and not _begun(target, states) and not done
    if not holds or live is None:
        return Prefetch(job, live, done, holds)
    due = _due(live, snapshot, target.id, mmm.spec.rollout.progress_deadline_seconds)
    return Prefetch(job, live, done, holds, due, stuck=due is not None and due <= now)


def missing_source(snapshot: Snapshot, target: Target, states: Sequence[RevisionState], wanted: int) -> str:
    """That the claim with the model is not there, as a sentence; empty if it is, or nobody needs it now.

    How it can be mounted decides where pods may run, and a Deployment keeps what it was built with.
    """
    source = mounted_source(snapshot.mmm.spec.model.uri) if snapshot.mmm else None
    if not isinstance(source, ClaimSource) or snapshot.claim is not None or not wanted or _begun(target, states):
        return ""
    return f"there is no claim {source.claim} in this namespace: create it, or correct model.uri"


def _begun(target: Target, states: Sequence[RevisionState]) -> bool:
    goal = next((state for state in states if state.revision == target.id), None)
    return goal is not None and (goal.wanted > 0 or goal.existing > 0)


def is_shared(cache: Cache, claim: Manifest | None) -> bool:
    """Whether several pods can have the cache at once, as far as is known of the claim."""
    if cache.type is not CacheType.PERSISTENT_VOLUME_CLAIM:
        return False
    modes = access_modes(cache, claim)
    return not modes or bool(modes & SHARED_MODES)


def is_on_one_node(spec: Spec, claim: Manifest | None) -> bool:
    """Whether all pods that mount the model's volume must run on one node."""
    mounted = isinstance(mounted_source(spec.model.uri), ClaimSource)
    if not mounted and spec.cache.type is not CacheType.PERSISTENT_VOLUME_CLAIM:
        return False
    modes = access_modes(spec.cache, claim)
    # A source is only read; a cache is written to, so that many may read it does not help.
    elsewhere = {"ReadWriteMany", "ReadOnlyMany"} if mounted else {"ReadWriteMany"}
    return "ReadWriteOnce" in modes and not modes & elsewhere


def claim_to_read(spec: Spec) -> str | None:
    """The name of the claim that the user made: only the API server knows how it can be mounted."""
    source = mounted_source(spec.model.uri)
    return source.claim if isinstance(source, ClaimSource) else spec.cache.claim_name


def access_modes(cache: Cache, claim: Manifest | None) -> set[str]:
    """How the claim may be mounted; empty while nobody knows."""
    if cache.claim_template is not None:
        return {cache.claim_template.access_mode.value}
    return set(claim["spec"].get("accessModes", ())) if claim is not None else set()


def fetch_id(spec: Spec, revision: Revision, *, on_one_node: bool = False) -> str:
    """A name for all that decides what a fetch does and where it runs, and nothing else."""
    overlay = spec.pod_template.spec if spec.pod_template else {}
    content: dict[str, Any] = {
        "uri": spec.model.uri,
        "version": revision.version,
        "digest": revision.digest,
        "image": revision.image,
        "imagePullPolicy": spec.runtime.image_pull_policy,
        "storage": spec.storage.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "claim": spec.cache.claim_name or "",
        "serviceAccountName": spec.service_account_name,
        "imagePullSecrets": [item.name for item in spec.image_pull_secrets],
        "priorityClassName": spec.priority_class_name,
        "tolerated": spec.accelerator.resource_name if spec.accelerator else None,
        "onOneNode": on_one_node,
        "metadata": spec.pod_template.metadata.to_json() if spec.pod_template else {},
        "podTemplate": {key: overlay[key] for key in (*PLACEMENT, *_FETCHING) if key in overlay},
    }
    return content_hash(content)[: names.REVISION_LENGTH]


def shared_volume(snapshot: Snapshot, states: Sequence[RevisionState]) -> SharedVolume:
    """What pods must know of the volume that they share; empty where they share none."""
    if snapshot.mmm is None or not (claim := claim_of(snapshot.mmm)):
        return SharedVolume()
    cache, together = snapshot.mmm.spec.cache, is_on_one_node(snapshot.mmm.spec, snapshot.claim)
    if cache.claim_template is None:
        return SharedVolume(claim, together)  # what lies on a claim of the user's own may belong to others
    in_use = {state.digest for state in states if state.wanted or state.existing}
    if (current := snapshot.status.model.current) is not None:
        in_use.add(current.digest)
    keep = tuple(sorted(filter(None, in_use)))
    return SharedVolume(claim, together, cache.retain_versions or DEFAULT_RETAINED, keep)


def claim_of(mmm: MultimodalModel) -> str:
    """The claim that the pods mount; empty where they mount none."""
    own = names.claim_name(mmm.metadata.name) if mmm.spec.cache.claim_template is not None else ""
    return claim_to_read(mmm.spec) or own


def is_complete(job: Manifest) -> bool:
    """Whether the Job has done its work, and is not on its way out."""
    return "deletionTimestamp" not in job["metadata"] and _is(job, "Complete")


def _has_fetched(job: str, fetchers: Sequence[Manifest]) -> bool:
    """Whether a pod of the Job has done the work, even if a container that others put there runs on."""
    own = (pod for pod in fetchers if pod["metadata"].get("labels", {}).get(_JOB_NAME) == job)
    return any(map(has_fetched, own))


def has_failed(job: Manifest) -> bool:
    """Whether the Job will never be done: somebody gave it a limit that it hit."""
    return _is(job, "Failed")


def _is(job: Manifest, kind: str) -> bool:
    conditions = job.get("status", {}).get("conditions") or ()
    return any(item["type"] == kind and item["status"] == "True" for item in conditions)


def _due(job: Manifest, snapshot: Snapshot, target: str, deadline: int) -> datetime | None:
    """When the fetch should have come further: so long after it began, or after its last bytes."""
    moments = [job["metadata"].get("creationTimestamp")]
    state, rollout = snapshot.status.model.target, snapshot.status.rollout
    if state is not None and state.revision == target:
        moments.append(rollout.last_progress_at)
    last = max(filter(None, moments), default=None)
    return datetime.fromisoformat(last) + timedelta(seconds=deadline) if last else None
