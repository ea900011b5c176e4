"""The Deployment of one revision."""

from mmm_operator import names
from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.builders.metadata import build_metadata
from mmm_operator.builders.pod import build_pod_template
from mmm_operator.revision import Revision, content_hash
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Manifest


def build_deployment(
    mmm: MultimodalModel, revision: Revision, replicas: int, settings: Settings, live: Manifest | None
) -> Manifest:
    """The Deployment of `revision` at `replicas` pods.

    A revision names everything that its pods run, so a `live` Deployment whose template another
    version of this operator built keeps that template: an upgrade of the operator restarts no pod.
    """
    template = build_pod_template(mmm, revision, settings)
    built_by = content_hash(template)
    if live is not None and _template_hash(live) not in ("", built_by):
        template, built_by = live["spec"]["template"], _template_hash(live)
    annotations = {names.ANNOTATION_DIGEST: revision.digest, names.ANNOTATION_TEMPLATE: built_by}
    labels = {names.LABEL_REVISION: revision.id, names.LABEL_VERSION: revision.version}
    rollout = mmm.spec.rollout
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": build_metadata(
            mmm.metadata, names.deployment_name(mmm.metadata.name, revision.id), labels, annotations
        ),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": names.revision_selector(mmm.metadata.name, revision.id)},
            "minReadySeconds": rollout.min_ready_seconds,
            "progressDeadlineSeconds": rollout.progress_deadline_seconds,
            # Templates never change, so there is no history to keep inside a Deployment.
            "revisionHistoryLimit": 0,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": template,
        },
    }


def resize_deployment(live: Manifest, replicas: int) -> Manifest:
    """A Deployment of another revision exactly as it is, but with `replicas` pods.

    Its spec cannot be built again, for the object speaks of another revision now; applying what is
    there changes nothing else and keeps our ownership of its fields.
    """
    meta = live["metadata"]
    kept = {key: meta[key] for key in ("name", "namespace", "labels", "annotations", "ownerReferences") if key in meta}
    kept["annotations"] = {
        key: value for key, value in kept.get("annotations", {}).items() if key.startswith(names.GROUP)
    }
    return {
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        "metadata": kept,
        "spec": {**live["spec"], "replicas": replicas},
    }


def _template_hash(live: Manifest) -> str:
    return str(live["metadata"].get("annotations", {}).get(names.ANNOTATION_TEMPLATE, ""))
