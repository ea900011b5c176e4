"""What a real API server makes of the CRD: what it accepts, what it refuses and how it says so, what kubectl shows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from dev.localcluster import LocalCluster
from mmm_operator.api.crd import COLUMNS
from mmm_operator.api.v1alpha1 import MultimodalModel
from tests.unit.api.smuggled import ALLOWED, NAMES, NO_NAMES, VALUES

pytestmark = pytest.mark.integration

SAMPLES = Path(__file__).resolve().parents[2] / "manifests/samples"
PATH = "/apis/serving.multimodal.dev/v1alpha1/namespaces/default/multimodalmodels"

GPU = "ask for devices with accelerator: {resourceName: nvidia.com/gpu, count: 1}, not in resources"
NAME_ALONE = "write the name alone, without a namespace"
BELONGS = "belong to the operator: write a prefix of your own"
QUANTITY = "write a quantity above zero, for instance 500m, 2 or 4Gi"


def make_mmm(name: str = "clip", **spec: Any) -> dict[str, Any]:
    """A MultimodalModel that the API server accepts, unless `spec` breaks it."""
    return {
        "apiVersion": "serving.multimodal.dev/v1alpha1",
        "kind": "MultimodalModel",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"model": {"uri": "s3://models/clip", "version": "1"}, **spec},
    }


DIGEST = f"sha256:{'0' * 64}"


def model(**fields: Any) -> dict[str, Any]:
    return {"model": {"uri": "s3://models/clip", "version": "1", **fields}}


def claim(**fields: Any) -> dict[str, Any]:
    return {"cache": {"type": "PersistentVolumeClaim", **fields}}


def canary(steps: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {"rollout": {"type": "Canary", "canary": {"steps": steps, **fields}}}


def pods(**fields: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": fields}}


def refusal(api: httpx.Client, document: dict[str, Any]) -> str:
    """What the API server says against the object; empty if it accepts it."""
    answer = api.post(PATH, json=document, params={"dryRun": "All", "fieldValidation": "Strict"})
    return "" if answer.is_success else str(answer.json()["message"])


REFUSED = {
    "no model": ({"model": None}, "spec.model: Required value"),
    "uri without scheme": (model(uri="/models/clip"), "write s3://bucket/prefix"),
    "uri with a foreign scheme": (model(uri="https://models/clip"), "write s3://bucket/prefix"),
    "uri that ends with a slash": (model(uri="s3://models/clip/"), "write s3://bucket/prefix"),
    "uri with an empty segment": (model(uri="s3://models//clip"), "write s3://bucket/prefix"),
    "uri that climbs": (model(uri="s3://models/../clip"), "uri must not contain '..': write the whole path"),
    "uri with an upper-case bucket": (model(uri="s3://Models/clip"), "a name in lower case"),
    "uri of a claim with a trailing slash": (model(uri="pvc://models/", digest=DIGEST), "pvc://claim/path"),
    "uri of an image with a tag": (model(uri="oci://registry/clip:1", digest=DIGEST), "oci://registry/repository"),
    "a claim without a digest": (model(uri="pvc://models/clip"), "write digest, as `mmm publish`"),
    "an image without a digest": (model(uri="oci://registry/clip"), "write digest, as `mmm publish`"),
    "a claim that is followed": (
        {"model": {"uri": "pvc://models/clip", "updatePolicy": "Auto"}},
        "only a bucket can be followed",
    ),
    "a claim with an endpoint": (
        {**model(uri="pvc://models", digest=DIGEST), "storage": {"endpoint": "http://s3:9000"}},
        "this uri names none: remove storage",
    ),
    "an image with a cache": (
        {**model(uri="oci://registry/clip", digest=DIGEST), **claim(claimName="a")},
        "without a copy: remove cache",
    ),
    "no version": ({"model": {"uri": "s3://models/clip"}}, "write the version to serve, or updatePolicy: Auto"),
    "a version beside the newest": (model(updatePolicy="Auto"), "follows the newest version: remove version"),
    "a digest beside the newest": (
        {"model": {"uri": "s3://models/clip", "updatePolicy": "Auto", "digest": "sha256:" + "0" * 64}},
        "follows the newest version: remove version",
    ),
    "unknown update policy": (model(updatePolicy="Latest"), 'supported values: "Manual", "Auto"'),
    "certificates from nowhere": ({"storage": {"caBundle": {}}}, "write where the certificates are"),
    "certificates from two places": (
        {"storage": {"caBundle": {"configMapKeyRef": {"name": "a"}, "secretKeyRef": {"name": "b"}}}},
        "write where the certificates are",
    ),
    "version as a number": (model(version=2), "spec.model.version in body must be of type string"),
    "version with a slash": (model(version="1/2"), "write the name of the version's directory, for instance 2"),
    "version that is too long": (model(version="1" * 64), "spec.model.version: Too long"),
    "digest without algorithm": (model(digest="0" * 64), "write sha256: and 64 lower-case hex digits"),
    "poll interval of a second": (model(pollIntervalSeconds=1), "should be greater than or equal to 5"),
    "unknown task": (model(tasks=["Telepathy"]), 'supported values: "ImageEmbedding"'),
    "task named twice": (model(tasks=["TextEmbedding", "TextEmbedding"]), "Duplicate value"),
    "served name with a space": (model(servedName="my clip"), "for instance acme/clip-b32"),
    "misspelt field": (model(versoin="2"), 'unknown field "spec.model.versoin"'),
    "endpoint with a path": ({"storage": {"endpoint": "http://s3:9000/x"}}, "write http://host:port or https://"),
    "endpoint without scheme": ({"storage": {"endpoint": "s3:9000"}}, "write http://host:port or https://"),
    "endpoint with a password": ({"storage": {"endpoint": "http://a:b@s3"}}, "without a path, a user"),
    "region with a space": ({"storage": {"region": "eu central"}}, "write a region such as eu-central-1"),
    "unknown addressing style": ({"storage": {"addressingStyle": "path"}}, 'supported values: "Auto", "Path"'),
    "Secret of another namespace": ({"storage": {"credentialsSecretRef": {"name": "a/b"}}}, NAME_ALONE),
    "Secret without a name": ({"storage": {"credentialsSecretRef": {}}}, "credentialsSecretRef.name: Required"),
    "Secret key with a space": (
        {"storage": {"credentialsSecretRef": {"name": "s3", "accessKeyIDKey": "access key"}}},
        "write a key of the object",
    ),
    "unverified TLS without TLS": (
        {"storage": {"endpoint": "http://s3:9000", "insecureSkipTLSVerify": True}},
        "remove it, or write https:// in endpoint",
    ),
    "claim without a claim": (claim(), "needs claimName or claimTemplate, and not both"),
    "claim with both": (claim(claimName="a", claimTemplate={"size": "1Gi"}), "needs claimName or claimTemplate"),
    "claim of a type without claims": ({"cache": {"claimName": "a"}}, "need type: PersistentVolumeClaim"),
    "retention on a claim of the user's": (claim(claimName="a", retainVersions=3), "may belong to others"),
    "size limit of a claim": (claim(claimName="a", sizeLimit="1Gi"), "write the size in claimTemplate, or remove"),
    "claim of no size": (claim(claimTemplate={"size": 0}), QUANTITY),
    "claim of a strange size": (claim(claimTemplate={"size": "10 Gigs"}), QUANTITY),
    "claim of a fractional size": (claim(claimTemplate={"size": 1.5}), "must be of type integer,string"),
    "accelerator without a domain": ({"accelerator": {"resourceName": "gpu"}}, "for instance nvidia.com/gpu"),
    "no accelerators": ({"accelerator": {"count": 0}}, "should be greater than or equal to 1"),
    "accelerator twice": (
        {"accelerator": {}, "resources": {"limits": {"nvidia.com/gpu": 1}}},
        "accelerator already asks for the device: remove it from resources",
    ),
    "accelerator as a limit": ({"resources": {"limits": {"nvidia.com/gpu": "1"}}}, GPU),
    "accelerator as a request": ({"resources": {"requests": {"amd.com/gpu": 1}}}, GPU),
    "unknown quantization": ({"runtime": {"quantization": "Int4"}}, 'supported values: "None", "Int8"'),
    "unknown dtype": ({"runtime": {"dtype": "FP16"}}, 'supported values: "auto", "float32"'),
    "image with a space": ({"runtime": {"image": "a b"}}, "write an image reference without spaces"),
    "environment of the operator": (
        {"runtime": {"env": [{"name": "MMM_DTYPE", "value": "x"}]}},
        "belong to the operator: use the fields of spec.runtime",
    ),
    "arguments for our own server": (
        {"runtime": {"args": ["--verbose"]}},
        "use the other fields of spec.runtime, or write your own image",
    ),
    "an endless argument": (
        {"runtime": {"image": "own", "args": ["x" * 1025]}},
        "spec.runtime.args[0]: Too long: may not be more than 1024",
    ),
    "too fast an autoscaler": (
        {"autoscaling": {"maxReplicas": 2, "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1}]}}}},
        "periodSeconds: Required value",
    ),
    "a peer that is nobody": ({"networkPolicy": {"clients": [{}]}}, "namespaceSelector, podSelector or ipBlock"),
    "a peer that is pods and addresses": (
        {"networkPolicy": {"clients": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}},
        "write ipBlock in an item of its own",
    ),
    "addresses that are none": (
        {"networkPolicy": {"clients": [{"ipBlock": {"cidr": "10.0.0.0/99"}}]}},
        "write a range of addresses, for instance 10.0.0.0/8",
    ),
    "a pod on the network of its node": (pods(hostNetwork=True), "a server shares nothing with its node: remove it"),
    "a pod with another account": (pods(serviceAccountName="x"), "write spec.serviceAccountName instead"),
    "a pod that ends otherwise": (pods(terminationGracePeriodSeconds=5), "remove it, and raise that"),
    "a pod with other privileges": (pods(securityContext={"runAsUser": 0}), "the operator keeps pods restricted"),
    "another image for the server": (
        pods(containers=[{"name": "server", "image": "x"}]),
        "write only volumeMounts there, and the rest in the spec",
    ),
    "a privileged container": (
        pods(containers=[{"name": "a", "image": "x", "securityContext": {"privileged": True}}]),
        "the operator keeps pods restricted: remove privileged",
    ),
    "a container without an image": (pods(containers=[{"name": "a"}]), "write the image of the container"),
    "a container twice": (pods(initContainers=[{"name": "a", "image": "x"}] * 2), "Duplicate value"),
    "a volume of the operator": (pods(volumes=[{"name": "models"}]), "belong to the operator: write another name"),
    "a directory of the node": (
        pods(volumes=[{"name": "a", "hostPath": {"path": "/"}}]),
        "remove hostPath, and use another kind of volume",
    ),
    "a pod's label of the operator": (
        {"podTemplate": {"metadata": {"labels": {"serving.multimodal.dev/model": "x"}}}},
        BELONGS,
    ),
    "environment that is no name": ({"runtime": {"env": [{"name": "1A"}]}}, "and no digit first"),
    "environment named twice": ({"runtime": {"env": [{"name": "A"}, {"name": "A"}]}}, "Duplicate value"),
    "request above its limit": (
        {"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1500Mi"}}},
        "a request must not exceed its limit: raise the limit, or lower the request",
    ),
    "request that is no quantity": ({"resources": {"requests": {"cpu": "half"}}}, QUANTITY),
    "negative replicas": ({"replicas": -1}, "should be greater than or equal to 0"),
    "autoscaling without a maximum": ({"autoscaling": {}}, "spec.autoscaling.maxReplicas: Required value"),
    "minimum above the maximum": (
        {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}},
        "raise maxReplicas, or lower minReplicas",
    ),
    "autoscaling by CPU without a CPU request": (
        {"autoscaling": {"maxReplicas": 2}, "resources": {"requests": {"memory": "1Gi"}}},
        "add cpu to resources.requests, for instance cpu: 500m",
    ),
    "a deadline that nothing can meet": (
        {"rollout": {"minReadySeconds": 60, "progressDeadlineSeconds": 60}},
        "progressDeadlineSeconds must exceed minReadySeconds",
    ),
    "a canary without steps": ({"rollout": {"type": "Canary"}}, "canary"),
    "steps without a canary": ({"rollout": {"canary": {"steps": [{"weight": 10}]}}}, "canary"),
    "steps that shrink": (canary([{"weight": 50}, {"weight": 10}]), "sort steps by weight"),
    "the same step twice": (canary([{"weight": 10}, {"weight": 10}]), "write each weight once"),
    "a step to nowhere": (canary([{"weight": 100}]), "should be less than or equal to 99"),
    "agreement with nobody": (canary([{"weight": 10}], minAgreementPercent=99), "write mirror: true"),
    "a promotion of a version": ({"rollout": {"promote": "2"}}, "status.model.target.revision"),
    "replacing what may not be missing": ({"rollout": {"maxUnavailable": 0}}, "write maxUnavailable: 1"),
    "port that does not exist": ({"service": {"port": 65536}}, "should be less than or equal to 65535"),
    "label of the operator": ({"service": {"labels": {"serving.multimodal.dev/model": "x"}}}, BELONGS),
    "annotation of the operator": ({"service": {"annotations": {"serving.multimodal.dev/digest": "x"}}}, BELONGS),
    "label value with a space": ({"service": {"labels": {"team": "a b"}}}, "write letters and digits"),
    "ServiceAccount of another namespace": ({"serviceAccountName": "a/b"}, NAME_ALONE),
}


@pytest.mark.parametrize(("spec", "message"), REFUSED.values(), ids=REFUSED)
def test_a_mistake_is_refused_with_what_to_write_instead(api: httpx.Client, spec: dict[str, Any], message: str) -> None:
    assert message in refusal(api, make_mmm(**spec))


def test_nothing_is_smuggled_into_a_server(api: httpx.Client) -> None:
    """A name, a value or an argument that makes the server load, trust or reach something else."""
    variables = [{"name": name, "value": "x"} for name in (*NAMES, *NO_NAMES)]
    variables += [{"name": "A", "value": value} for value in VALUES]
    specs: list[dict[str, Any]] = [{"runtime": {"env": [variable]}} for variable in variables]
    specs += [{"runtime": {"image": "own", "args": [value]}} for value in VALUES]
    assert len(specs) >= 150
    assert not [spec for spec in specs if not refusal(api, make_mmm(**spec))]


def test_what_tunes_a_server_is_accepted(api: httpx.Client) -> None:
    runtime = {"env": [{"name": name, "value": "1"} for name in ALLOWED]}
    assert refusal(api, make_mmm(runtime=runtime)) == ""


@pytest.mark.parametrize(
    ("name", "message"),
    {"clip.v2": "and no '.'", "2clip": "a letter first", "c" * 41: "at most 40 characters"}.items(),
)
def test_a_name_that_cannot_name_a_service_is_refused(api: httpx.Client, name: str, message: str) -> None:
    assert message in refusal(api, make_mmm(name))


ACCEPTED: dict[str, dict[str, Any]] = {
    "the smallest object": {},
    "replicas beside autoscaling": {"replicas": 3, "autoscaling": {"maxReplicas": 5}},
    "nothing running": {"replicas": 0},
    "a CPU limit in the place of the request": {
        "autoscaling": {"maxReplicas": 2},
        "resources": {"requests": {"memory": "1Gi"}, "limits": {"cpu": 2, "memory": "1Gi"}},
    },
    "a MIG slice": {"accelerator": {"resourceName": "nvidia.com/mig-1g.10gb", "fallback": "CPU"}},
    "a claim of the operator's": claim(claimTemplate={"size": "10Gi", "accessMode": "ReadWriteOnce"}),
    "an IPv6 endpoint": {"storage": {"endpoint": "https://[::1]:9000", "insecureSkipTLSVerify": True}},
    "the newest version": {"model": {"uri": "s3://models/clip", "updatePolicy": "Auto"}},
    "a private CA": {"storage": {"caBundle": {"secretKeyRef": {"name": "trust", "key": "tls.crt"}}}},
    "a bucket without a prefix": model(uri="s3://models"),
    "a claim": model(uri="pvc://models", digest=DIGEST),
    "a directory on a claim": model(uri="pvc://models.shared/team/clip", digest=DIGEST),
    "an image": model(uri="oci://registry.example:5000/team/clip-b32", digest=DIGEST),
    "a canary in steps": canary(
        [{"weight": 10, "pauseSeconds": 60}, {"weight": 50}], mirror=True, minAgreementPercent=99
    ),
    "a canary of one step": canary([{"weight": 1, "minRequests": 100, "maxErrorPercent": 1}]),
    "a promotion by hand": {
        "rollout": {"type": "BlueGreen", "blueGreen": {"promotion": "Manual"}, "promote": "0123abcd"}
    },
    "no pod less": {"rollout": {"whenNoCapacity": "Wait", "maxUnavailable": 0}},
    "nothing for now": {"suspend": True, "rollout": {"paused": True}},
    "arguments for a server of one's own": {"runtime": {"image": "own", "args": ["--verbose"]}},
    "a closed network": {"networkPolicy": {}},
    "a network closed but for some": {
        "networkPolicy": {
            "clients": [{"namespaceSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
            "storagePorts": [9000],
        }
    },
    "a calm autoscaler": {
        "autoscaling": {"maxReplicas": 2, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 3600}}}
    },
    "more for the pods, in Kubernetes' own words": pods(
        affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        tolerations=[{"key": "spot", "operator": "Exists"}],
        volumes=[{"name": "ca", "configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}],
        containers=[
            {"name": "server", "volumeMounts": [{"name": "ca", "mountPath": "/ca"}]},
            {"name": "logs", "image": "logs:1", "resources": {"limits": {"memory": "64Mi"}}},
        ],
    ),
}


@pytest.mark.parametrize("spec", ACCEPTED.values(), ids=ACCEPTED)
def test_what_makes_sense_is_accepted(api: httpx.Client, spec: dict[str, Any]) -> None:
    assert refusal(api, make_mmm(**spec)) == ""


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.glob("*.yaml")))
def test_the_samples_are_accepted(cluster: LocalCluster, sample: str) -> None:
    cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", str(SAMPLES / sample))


@pytest.fixture
def stored(api: httpx.Client) -> Iterator[dict[str, Any]]:
    """A MultimodalModel in the cluster."""
    answer = api.post(PATH, json=make_mmm("stored", **claim(claimTemplate={"size": "10Gi"})))
    assert answer.is_success, answer.text
    yield answer.json()
    api.delete(f"{PATH}/stored").raise_for_status()


def test_what_is_left_out_gets_its_default(stored: dict[str, Any]) -> None:
    spec = stored["spec"]
    assert spec["replicas"] == 1
    assert spec["storage"] == {"addressingStyle": "Auto", "insecureSkipTLSVerify": False}
    assert spec["cache"]["claimTemplate"] == {"size": "10Gi", "accessMode": "ReadWriteMany"}
    assert spec["runtime"] == {"dtype": "auto", "maxQueueSeconds": 2, "quantization": "None"}
    assert spec["rollout"] == {
        **{"type": "RollingUpdate", "maxUnavailable": 1, "whenNoCapacity": "ReplaceInPlace"},
        **{"capacityTimeoutSeconds": 120, "autoRollback": True, "paused": False},
        **{"minReadySeconds": 0, "progressDeadlineSeconds": 900},
        "blueGreen": {"scaleDownDelaySeconds": 30, "promotion": "Automatic"},
    }
    assert spec["service"] == {"port": 80}
    assert "autoscaling" not in spec
    assert "accelerator" not in spec


def test_the_operator_reads_back_what_the_api_server_stored(stored: dict[str, Any]) -> None:
    mmm = MultimodalModel.model_validate(stored)
    assert mmm.metadata.name == "stored"
    assert mmm.spec.cache.claim_template is not None


def patch_refusal(api: httpx.Client, spec: dict[str, Any]) -> str:
    headers = {"Content-Type": "application/merge-patch+json"}
    answer = api.patch(f"{PATH}/stored", content=json.dumps({"spec": spec}), headers=headers, params={"dryRun": "All"})
    return "" if answer.is_success else str(answer.json()["message"])


@pytest.mark.usefixtures("stored")
def test_a_claim_may_grow_and_change_nothing_else(api: httpx.Client) -> None:
    assert patch_refusal(api, {"cache": {"claimTemplate": {"size": "11Gi"}}}) == ""
    back = {"cache": {"type": "PersistentVolumeClaim", "claimTemplate": {"size": "9Gi"}}}
    assert "write type: EmptyDir first and then the claimTemplate anew" in patch_refusal(api, back)
    without = {"cache": {"type": "EmptyDir", "claimTemplate": None}}
    headers = {"Content-Type": "application/merge-patch+json"}
    for spec in (without, back, without, {"cache": {**back["cache"], "claimTemplate": {"size": "10Gi"}}}):
        answer = api.patch(f"{PATH}/stored", content=json.dumps({"spec": spec}), headers=headers)
        assert answer.is_success, answer.text
    fast = patch_refusal(api, {"cache": {"claimTemplate": {"storageClassName": "fast"}}})
    assert "make another claim and write its name in claimName" in fast


@pytest.mark.usefixtures("stored")
def test_kubectl_scales_it_and_the_autoscaler_finds_its_pods(cluster: LocalCluster, api: httpx.Client) -> None:
    cluster.kubectl("scale", "mmm/stored", "--replicas=3")
    set_status(api, replicas=2, selector="serving.multimodal.dev/model=stored")
    scale = api.get(f"{PATH}/stored/scale").json()
    assert scale["spec"]["replicas"] == 3
    assert scale["status"] == {"replicas": 2, "selector": "serving.multimodal.dev/model=stored"}


def set_status(api: httpx.Client, **status: Any) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    api.patch(f"{PATH}/stored/status", content=json.dumps({"status": status}), headers=headers).raise_for_status()


MODEL_STATE = {
    "digest": "sha256:" + "0123456789ab" + "0" * 52,
    "shortDigest": "0123456789ab",
    "revision": "1a2b3c4d",
    "since": "2026-01-01T00:00:00Z",
}


def condition(type_: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


@pytest.mark.usefixtures("stored")
def test_kubectl_shows_every_column(cluster: LocalCluster, api: httpx.Client) -> None:
    set_status(
        api,
        readySummary="1/2",
        model={"current": {"version": "1", **MODEL_STATE}, "target": {"version": "2", **MODEL_STATE}},
        rollout={"summary": "1/2"},
        conditions=[
            condition("Ready", "False", "RollingOut", "Version 2 comes up beside version 1."),
            condition("Available", "True", "Serving", "1 pod answers."),
        ],
        acceleration={"device": "cpu", "dtype": "float32"},
        url="http://stored.default.svc",
    )
    header, row = cluster.kubectl("get", "mmm", "stored", "-o", "wide").splitlines()
    assert header.split() == ["NAME", *(column.name.upper() for column in COLUMNS)]
    cells = ["stored", "1/2", "1", "2", "1/2", "RollingOut", None, "True", "0123456789ab", "cpu", "float32"]
    for title, cell in zip(header.split(), cells, strict=False):
        if cell is not None:  # the age moves on
            start = header.index(title)
            assert row[start:].split()[0] == cell, title
    assert row.rstrip().endswith("http://stored.default.svc   Version 2 comes up beside version 1.")


@pytest.mark.usefixtures("stored")
def test_it_is_found_by_short_name_category_and_model(cluster: LocalCluster) -> None:
    assert "stored" in cluster.kubectl("get", "models")
    selector = "--field-selector=spec.model.uri=s3://models/clip,spec.model.version=1"
    assert "stored" in cluster.kubectl("get", "mmm", selector, "-o", "name")
    assert cluster.kubectl("get", "mmm", "--field-selector=spec.model.version=2", "-o", "name") == ""


def test_kubectl_explains_every_field(cluster: LocalCluster) -> None:
    text = " ".join(cluster.kubectl("explain", "mmm.spec.model.uri").split())
    assert "Where the versions of the model live: `s3://bucket/prefix`; `pvc://claim/path`, on a claim" in text
    assert "<no description>" not in cluster.kubectl("explain", "mmm", "--recursive=false")


def test_the_install_manifest_is_accepted(cluster: LocalCluster) -> None:
    manifest = SAMPLES.parent / "install.yaml"
    # The Namespace has to exist, or the API server refuses what is in it even in a dry run.
    namespace = next(iter(yaml.safe_load_all(manifest.read_text())))
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", str(manifest))
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", str(manifest.parent))
