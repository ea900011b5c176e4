"""The Deployment of one revision."""

from mmm_operator import names
from mmm_operator.api.v1alpha1 import MultimodalModel, ObjectMeta
from mmm_operator.builders.built import Built, read_built, take_as_built
from mmm_operator.builders.metadata import build_metadata
from mmm_operator.builders.pod import build_pod_template
from mmm_operator.builders.together import SharedVolume
from mmm_operator.revision import Revision
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Manifest, revision_id

NO_VOLUME = SharedVolume()


def build_deployment(
    mmm: MultimodalModel,
    revision: Revision,
    replicas: int,
    settings: Settings,
    live: Manifest | None,
    volume: SharedVolume = NO_VOLUME,
) -> Manifest:
    """The Deployment of `revision` at `replicas` pods, which mount `volume` if there is one.

    A revision names everything that its pods run, so a `live` Deployment keeps the template that it was built
    with, by whatever version of this operator: an upgrade of the operator restarts no pod.
    """
    times = (mmm.spec.rollout.min_ready_seconds, mmm.spec.rollout.progress_deadline_seconds)
    before = read_built(live)
    built = before.timed(*times) if before else Built(build_pod_template(mmm, revision, settings, volume), *times)
    origin = names.IMAGE_FROM_SPEC if mmm.spec.runtime.image is not None else ""
    return _build(mmm.metadata, revision.id, built, replicas, origin)


def rebuild_deployment(owner: ObjectMeta, live: Manifest, replicas: int) -> Manifest:
    """The Deployment of another revision as it was built, at `replicas` pods.

    Its spec cannot be built again, for the object speaks of another revision now. One that does not say how it was
    built is taken as it is.
    """
    built = read_built(live) or take_as_built(live)
    origin = live["metadata"].get("annotations", {}).get(names.ANNOTATION_IMAGE_FROM, "")
    return _build(owner, revision_id(live), built, replicas, origin)


def _build(owner: ObjectMeta, revision: str, built: Built, replicas: int, image_from: str) -> Manifest:
    labels = {names.LABEL_REVISION: revision, names.LABEL_VERSION: built.version}
    annotations = {names.ANNOTATION_DIGEST: built.digest, **built.annotations()}
    if image_from:
        annotations[names.ANNOTATION_IMAGE_FROM] = image_from
    name = names.deployment_name(owner.name, revision)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": build_metadata(owner, name, labels, annotations),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": names.revision_selector(owner.name, revision)},
            "minReadySeconds": built.min_ready_seconds,
            "progressDeadlineSeconds": built.progress_deadline_seconds,
            # Templates never change, so there is no history to keep inside a Deployment.
            "revisionHistoryLimit": 0,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": built.template,
        },
    }
