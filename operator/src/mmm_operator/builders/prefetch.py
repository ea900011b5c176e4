"""The Job that brings one digest to the cache claim."""

from mmm_operator.api.v1alpha1 import MultimodalModel
from mmm_operator.builders.metadata import build_metadata
from mmm_operator.builders.pod import build_fetch_template
from mmm_operator.builders.together import SharedVolume
from mmm_operator.revision import Revision
from mmm_operator.settings import Settings
from mmm_operator.snapshot import Manifest

# A pod that fails is restarted by its node, ever more slowly; only pods that are lost count here.
MOST_PODS = 1_000_000


def build_prefetch_job(
    mmm: MultimodalModel, revision: Revision, settings: Settings, job: str, volume: SharedVolume, live: Manifest | None
) -> Manifest:
    """The Job of that name, which fetches `revision` to the volume.

    A Job's template can never change: a `live` one keeps what it has.
    """
    template = live["spec"]["template"] if live is not None else build_fetch_template(mmm, revision, settings, volume)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": build_metadata(mmm.metadata, job),
        "spec": {
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": MOST_PODS,
            "suspend": False,
            "template": template,
        },
    }
