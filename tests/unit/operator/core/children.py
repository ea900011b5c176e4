"""The children of a MultimodalModel as the planner makes them, by kind."""

import copy
from pathlib import Path
from typing import Any

import yaml

from mmm_operator.planner import plan
from mmm_operator.prefetch import claim_to_read
from mmm_operator.snapshot import Manifest
from tests.unit.operator.core.build import NOW, SETTINGS, Draft, make_mmm, make_snapshot
from tests.unit.operator.core.stored import as_stored, completed

ROOT = Path(__file__).parents[4]
SAMPLES = ROOT / "manifests" / "samples"


def children_of(draft: Draft) -> dict[str, Manifest]:
    """Everything that is created for `draft`: by the first plan, and once the model is on its claim."""
    claim = shared_claim() if claim_to_read(draft.build().spec) else None
    first = plan(make_snapshot(draft, claim=claim), SETTINGS, NOW).apply
    stored = [as_stored(step.manifest, None) for step in first]
    fetched = [completed(item) if item["kind"] == "Job" else item for item in stored]
    then = plan(make_snapshot(draft, fetched, claim=claim), SETTINGS, NOW).apply
    assert all(step.create for step in (*first, *then))
    return copy.deepcopy({step.manifest["kind"]: step.manifest for step in (*first, *then)})


def shared_claim(*modes: str) -> Manifest:
    """A claim that the user made; without `modes` any number of nodes can mount it."""
    meta = {"name": "shared", "namespace": "shop", "uid": "u"}
    spec = {"accessModes": list(modes or ("ReadWriteMany",))}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


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
            "env": [{"name": "OMP_NUM_THREADS", "value": "1"}, {"name": "EMPTY"}],
        },
        resources={"requests": {"cpu": 2, "memory": "4Gi"}, "limits": {"memory": "8Gi"}},
        replicas=2,
        rollout={"minReadySeconds": 5, "progressDeadlineSeconds": 600},
        service={"port": 8000, "annotations": {"team": "vision"}, "labels": {"team": "vision"}},
        serviceAccountName="models",
        imagePullSecrets=[{"name": "pull"}],
        priorityClassName="high",
        networkPolicy={
            "clients": [
                {"namespaceSelector": {"matchLabels": {"team": "vision"}}},
                {"ipBlock": {"cidr": "10.0.0.0/8"}},
            ],
            "storagePorts": [9000],
        },
        podTemplate={
            "metadata": {"labels": {"team": "vision"}, "annotations": {"team.example/note": "hello"}},
            "spec": {
                "nodeSelector": {"disk": "fast"},
                "tolerations": [{"key": "spot", "operator": "Exists"}],
                "topologySpreadConstraints": [
                    {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
                ],
                "volumes": [{"name": "tokens", "configMap": {"name": "tokens"}}],
                "initContainers": [
                    {"name": "proxy", "image": "registry/proxy:1", "restartPolicy": "Always"},
                    {"name": "model-fetcher", "volumeMounts": [{"name": "tokens", "mountPath": "/tokens"}]},
                ],
                "containers": [
                    {"name": "server", "volumeMounts": [{"name": "tokens", "mountPath": "/tokens"}]},
                    {"name": "logs", "image": "registry/logs:1", "volumeMounts": []},
                ],
                "runtimeClassName": "nvidia",
            },
        },
    )
    .on_gpu(2, "CPU")
    .having(
        autoscaling={
            "minReplicas": 1,
            "maxReplicas": 4,
            "behavior": {
                "scaleUp": {"policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}]},
                "scaleDown": {"stabilizationWindowSeconds": 600, "selectPolicy": "Min"},
            },
        }
    )
)
DRAFTS = {
    "clip-cached": sample("clip-cached"),
    "clip-image": sample("clip-image"),
    "clip": sample("clip"),
    "clip-gpu": sample("clip-gpu"),
    "clip-autoscaled": sample("clip-autoscaled"),
    "everything": EVERYTHING,
}
