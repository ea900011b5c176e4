"""Where the pods find the model: the volume, and how it is mounted."""

from mmm_operator import names
from mmm_operator.api.source import ClaimSource, ImageSource, mounted_source
from mmm_operator.api.storage import CacheType
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.builders.environment import MODEL_ROOT
from mmm_operator.quantity import times
from mmm_operator.revision import Revision
from mmm_operator.snapshot import Manifest

# Where versions are swapped the follower keeps two beside the one that is wanted.
VERSIONS_SIDE_BY_SIDE = 3


def build_model_volume(mmm: MultimodalModel, revision: Revision) -> Manifest:
    """The volume with the model: a cache that is filled, or the source itself."""
    source = mounted_source(mmm.spec.model.uri)
    if isinstance(source, ImageSource):
        policy = mmm.spec.runtime.image_pull_policy
        image = {"reference": source.reference(revision.version), **({"pullPolicy": policy.value} if policy else {})}
        return {"name": names.VOLUME_MODELS, "image": image}
    if isinstance(source, ClaimSource):
        claim = {"claimName": source.claim, "readOnly": True}
        return {"name": names.VOLUME_MODELS, "persistentVolumeClaim": claim}
    return {"name": names.VOLUME_MODELS, **_cache_volume(mmm, revision)}


def build_model_mount(mmm: MultimodalModel, revision: Revision, *, writes: bool) -> Manifest:
    """How a container sees the model: under its digest, below the model root. A source is never written to."""
    source = mounted_source(mmm.spec.model.uri)
    if source is None:
        mount: Manifest = {"name": names.VOLUME_MODELS, "mountPath": MODEL_ROOT}
        return mount if writes else {**mount, "readOnly": True}
    place = f"{MODEL_ROOT}/{revision.digest.removeprefix('sha256:')}"
    mount = {"name": names.VOLUME_MODELS, "mountPath": place, "readOnly": True}
    return {**mount, "subPath": source.directory(revision.version)} if isinstance(source, ClaimSource) else mount


def _cache_volume(mmm: MultimodalModel, revision: Revision) -> Manifest:
    cache = mmm.spec.cache
    if cache.type is CacheType.PERSISTENT_VOLUME_CLAIM:
        return {"persistentVolumeClaim": {"claimName": cache.claim_name or names.claim_name(mmm.metadata.name)}}
    if not cache.size_limit:
        return {"emptyDir": {}}
    limit = times(cache.size_limit, VERSIONS_SIDE_BY_SIDE) if revision.swaps else str(cache.size_limit)
    return {"emptyDir": {"sizeLimit": limit}}
