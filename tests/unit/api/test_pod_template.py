"""What an overlay of the pods may hold, and what is said against the rest."""

from typing import Any

import pytest

from mmm_operator.api.pod_rules import MOST_BYTES, REFUSED, pod_mistakes
from mmm_operator.api.pod_template import PodTemplate
from mmm_operator.kube.observe import parse
from tests.unit.operator.core.build import make_mmm

Spec = dict[str, Any]


def container(**fields: Any) -> Spec:
    return {"containers": [{"name": "logs", "image": "logs:1", **fields}]}


def secured(**fields: Any) -> Spec:
    return container(securityContext=fields)


def ours(**fields: Any) -> Spec:
    return {"volumes": [{"name": "more", "emptyDir": {}}], "containers": [{"name": "server", **fields}]}


def mounted(**fields: Any) -> Spec:
    return ours(volumeMounts=[{"name": "more", **fields}])


MISTAKES: dict[str, tuple[Spec, str]] = {
    **{field: ({field: "x"}, f"{field}: {instead}") for field, (_, instead) in REFUSED.items()},
    "an unknown field": ({"ephemeralContainers": []}, "ephemeralContainers: it is none of affinity"),
    "the server's image": (ours(image="x"), "containers[server]: the operator builds server and model-fetcher"),
    "the server's variables": (ours(env=[]), "containers[server]: the operator builds server"),
    "the server as init container": (
        {"initContainers": [{"name": "server", "image": "x"}]},
        "initContainers[server]: this name belongs to the operator: write another one",
    ),
    "the fetcher beside the server": (
        {"containers": [{"name": "model-fetcher", "image": "x"}]},
        "containers[model-fetcher]: this name belongs to the operator",
    ),
    "a container without an image": ({"containers": [{"name": "a"}]}, "containers[a]: write its image"),
    "a container without a name": ({"containers": [{"image": "a"}]}, "containers: every item needs a name"),
    "a container twice": ({"containers": [{"name": "a", "image": "a"}] * 2}, "containers[a]: is there twice"),
    "containers that are no list": ({"containers": {"name": "a"}}, "containers: write a list of objects"),
    "containers that are words": ({"initContainers": ["a"]}, "initContainers: write a list of objects"),
    "mounts that are no list": (container(volumeMounts=7), "containers[logs].volumeMounts: write a list of objects"),
    "our volume": (
        {"volumes": [{"name": "models", "emptyDir": {}}]},
        "volumes[models]: the volumes models, tmp and rollout",
    ),
    "a directory of the node": ({"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}, "volumes[a]: a server shares"),
    "a network file system": ({"volumes": [{"name": "a", "nfs": {}}]}, "volumes[a]: nfs is not restricted: use one of"),
    "a token of Kubernetes": (
        {"volumes": [{"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
        "volumes[a]: a server needs no token of Kubernetes: remove serviceAccountToken",
    ),
    "a mount of nothing": (ours(volumeMounts=[{"name": "x", "mountPath": "/x"}]), "volumeMounts: add x to volumes"),
    "a mount over the model": (mounted(mountPath="/models/x"), "volumeMounts[/models/x]: belongs to the operator"),
    "a mount over tmp": (mounted(mountPath="/tmp/"), "volumeMounts[/tmp]: belongs to the operator"),
    "a mount over everything": (mounted(mountPath="/"), "volumeMounts[/]: belongs to the operator"),
    "a mount over the devices": (mounted(mountPath="/dev/shm"), "volumeMounts[/dev/shm]: belongs to the operator"),
    "a mount that climbs": (mounted(mountPath="/x/../models"), "volumeMounts[/x/../models]: write an absolute path"),
    "a mount from nowhere": (mounted(mountPath="models"), "volumeMounts[models]: write an absolute path"),
    "a writer of the model": (
        container(volumeMounts=[{"name": "models", "mountPath": "/m"}]),
        "volumeMounts[/m]: only others may mount models: write readOnly: true there",
    ),
    "our tmp elsewhere": (
        container(volumeMounts=[{"name": "tmp", "mountPath": "/t", "readOnly": True}]),
        "tmp belongs to the operator's containers",
    ),
    "our port": (
        container(ports=[{"containerPort": 8080}]),
        "containers[logs].ports: 8080, 8081, 8082, http, operations",
    ),
    "our port's name": (container(ports=[{"containerPort": 1, "name": "http"}]), "belong to the server: use others"),
    "a port of the node": (container(ports=[{"containerPort": 1, "hostPort": 1}]), "remove hostPort"),
    "privileged": (secured(privileged=True), "containers[logs].securityContext.privileged: the operator keeps"),
    "escalation": (secured(allowPrivilegeEscalation=True), "securityContext.allowPrivilegeEscalation: the operator"),
    "root": (secured(runAsUser=0), "securityContext.runAsUser: the operator keeps pods restricted"),
    "perhaps root": (secured(runAsNonRoot=False), "securityContext.runAsNonRoot: the operator keeps pods restricted"),
    "more capabilities": (secured(capabilities={"add": ["SYS_ADMIN"]}), "securityContext.capabilities: the operator"),
    "kept capabilities": (secured(capabilities={"drop": ["KILL"]}), "securityContext.capabilities: the operator"),
    "no seccomp": (secured(seccompProfile={"type": "Unconfined"}), "securityContext.seccompProfile: the operator"),
    "no AppArmor": (secured(appArmorProfile={"type": "Unconfined"}), "securityContext.appArmorProfile: the operator"),
    "all of /proc": (secured(procMount="Unmasked"), "securityContext.procMount: the operator keeps pods restricted"),
    "another SELinux type": (secured(seLinuxOptions={"type": "spc_t"}), "securityContext.seLinuxOptions: the operator"),
    "a host process": (secured(windowsOptions={"hostProcess": True}), "securityContext.windowsOptions: the operator"),
    "a stop hook of the server": (ours(lifecycle={}), "containers[server]: the operator builds server"),
    "too much": ({"affinity": {"x": "y" * MOST_BYTES}}, "it is larger than 64 KiB or too deep: remove"),
}


@pytest.mark.parametrize(("spec", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_a_sentence_that_says_what_to_do(spec: Spec, sentence: str) -> None:
    (found,) = pod_mistakes(spec)
    assert sentence in found


FINE: dict[str, Spec] = {
    "where to run": {"nodeSelector": {"disk": "fast"}, "affinity": {"nodeAffinity": {}}, "schedulerName": "volcano"},
    "how names are resolved": {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.1"]}, "hostAliases": []},
    "a sidecar with care": secured(
        runAsUser=1000,
        runAsNonRoot=True,
        privileged=False,
        readOnlyRootFilesystem=False,
        capabilities={"drop": ["ALL"]},
    ),
    "a reader of the model": container(volumeMounts=[{"name": "models", "mountPath": "/m", "readOnly": True}]),
    "certificates for the server": {
        "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "containers": [{"name": "server", "volumeMounts": [{"name": "ca", "mountPath": "/etc/ssl/certs"}]}],
        "initContainers": [{"name": "model-fetcher", "volumeMounts": [{"name": "ca", "mountPath": "/etc/ssl/certs"}]}],
    },
    "nothing": {},
}


@pytest.mark.parametrize("spec", FINE.values(), ids=FINE)
def test_what_makes_sense_is_allowed(spec: Spec) -> None:
    assert list(pod_mistakes(spec)) == []
    assert PodTemplate.model_validate({"spec": spec}).spec == spec


def test_an_object_with_a_mistake_is_an_invalid_spec_that_names_path_and_remedy() -> None:
    draft = make_mmm().having(podTemplate={"spec": {"hostNetwork": True, "schedulerName": "{braces}"}})
    raw = {"metadata": {"name": "clip", "namespace": "shop"}, "spec": dict(draft.spec)}
    mmm, invalid = parse(raw)
    assert mmm is None
    assert invalid == "spec.podTemplate.spec: hostNetwork: a server shares nothing with its node: remove it"


def test_of_very_many_mistakes_the_first_are_enough() -> None:
    raw = {"metadata": {"name": "clip", "namespace": "shop"}}
    spec = {"x" * 50 + str(number): 1 for number in range(500)}
    _, invalid = parse({**raw, "spec": {**make_mmm().spec, "podTemplate": {"spec": spec}}})
    assert len(invalid) < 4096


def test_very_deep_nesting_is_refused() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"x": deep}
    assert [*pod_mistakes({"affinity": deep})] == ["it is larger than 64 KiB or too deep: remove what is not needed"]
    while deep:  # so that it is not taken down recursively
        deep = deep.get("x")
