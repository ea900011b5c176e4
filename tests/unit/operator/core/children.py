"""The children of a MultimodalModel as the planner makes them, by kind."""

import copy
from pathlib import Path
from typing import Any

import yaml

from mmm_operator.planner import plan
from mmm_operator.snapshot import Manifest
from tests.unit.operator.core.build import NOW, SETTINGS, Draft, make_mmm, make_snapshot

ROOT = Path(__file__).parents[4]
SAMPLES = ROOT / "manifests" / "samples"


def children_of(draft: Draft) -> dict[str, Manifest]:
    """Everything that the first plan for `draft` creates."""
    made = plan(make_snapshot(draft), SETTINGS, NOW)
    assert all(step.create for step in made.apply)
    return copy.deepcopy({step.manifest["kind"]: step.manifest for step in made.apply})


def pod_of(draft: Draft) -> Manifest:
    """The pod that the Deployment of `draft` makes."""
    template: Manifest = children_of(draft)["Deployment"]["spec"]["template"]
    return {"apiVersion": "v1", "kind": "Pod", **template}


def container_of(draft: Draft, name: str) -> Manifest:
    """One container of that pod."""
    spec = pod_of(draft)["spec"]
    return next(item for item in (*spec["initContainers"], *spec["containers"]) if item["name"] == name)


def environment_of(draft: Draft, container: str) -> dict[str, str]:
    """The variables of a container that have a literal value."""
    variables = container_of(draft, container)["env"]
    assert len({item["name"] for item in variables}) == len(variables), "a name is there twice"
    return {item["name"]: item["value"] for item in variables if "value" in item}


def sample(name: str) -> Draft:
    """One of the samples that people start from."""
    content: dict[str, Any] = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text())
    return Draft(content["metadata"]["name"], content["spec"])


# Every field of the spec that reaches a child, used at once.
EVERYTHING = (
    make_mmm("everything")
    .having(
        model={"tasks": ["ImageEmbedding", "TextEmbedding"], "servedName": "acme/clip", "digest": None},
        storage={
            "endpoint": "https://s3:9000",
            "region": "eu-central-1",
            "addressingStyle": "Path",
            "credentialsSecretRef": {
                "name": "s3",
                "accessKeyIDKey": "id",
                "secretAccessKeyKey": "secret",
                "sessionTokenKey": "token",
            },
            "insecureSkipTLSVerify": True,
        },
        cache={"type": "PersistentVolumeClaim", "claimTemplate": {"size": "20Gi", "storageClassName": "fast"}},
        runtime={
            "image": "registry/own:2",
            "imagePullPolicy": "Always",
            "dtype": "bfloat16",
            "maxBatchSize": 16,
            "maxQueueSeconds": 3,
            "env": [{"name": "HF_HUB_OFFLINE", "value": "1"}, {"name": "EMPTY"}],
        },
        resources={"requests": {"cpu": 2, "memory": "4Gi"}, "limits": {"memory": "8Gi"}},
        replicas=2,
        rollout={"minReadySeconds": 5, "progressDeadlineSeconds": 600},
        service={"port": 8000, "annotations": {"team": "vision"}, "labels": {"team": "vision"}},
        serviceAccountName="models",
        imagePullSecrets=[{"name": "pull"}],
        priorityClassName="high",
    )
    .on_gpu(2, "CPU")
    .autoscaled(1, 4)
)
DRAFTS = {
    "clip": sample("clip"),
    "clip-gpu": sample("clip-gpu"),
    "clip-autoscaled": sample("clip-autoscaled"),
    "everything": EVERYTHING,
}
