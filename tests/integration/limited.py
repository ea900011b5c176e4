"""Namespaces in which the operator lacks rights, what models go through there, and what became of them."""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from mmm_operator import names
from mmm_operator.kube.resources import RESOURCES, path
from mmm_operator.rbac import LEASE, OPERATOR, Grant
from mmm_operator.snapshot import Manifest, is_fetcher, is_living, is_ready
from tests.integration.objects import DONE, READY, STRATEGIC, Objects
from tests.integration.operator_process import NAMESPACE, rules

ACCOUNT = "limited"
RBAC = "rbac.authorization.k8s.io"
FULL = "every-right"
NODE = "limited"
# The kinds that are looked at, and the children among them.
OPTIONAL = ("HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy")
CHILDREN = ("Deployment", "Job", "Service", "PersistentVolumeClaim", *OPTIONAL)
KINDS = (names.KIND, "Pod", "Event", "ConfigMap", *CHILDREN)
SCALING = {"minReplicas": 1, "maxReplicas": 3}
CLAIM = {"type": "PersistentVolumeClaim", "claimTemplate": {"size": "1Gi"}}
# Every namespace has the certificate of the API server in this ConfigMap.
TRUST = {"caBundle": {"configMapKeyRef": {"name": "kube-root-ca.crt"}}}
# While both revisions are there, the new one has an address of its own.
SWITCH = {"type": "BlueGreen", "blueGreen": {"scaleDownDelaySeconds": 0}}
EVERYTHING = {
    "replicas": 2,
    "autoscaling": SCALING,
    "cache": CLAIM,
    "networkPolicy": {},
    "storage": TRUST,
    "rollout": SWITCH,
}
LESS = {"replicas": 1, "autoscaling": None, "networkPolicy": None, "revisionHistoryLimit": 0}

# Whose names are taken; behind the name of a Job that of a Deployment is not needed.
TAKEN = {"taken": ("Deployment", "Service", *OPTIONAL), "cached": ("PersistentVolumeClaim", "Job")}

# What it takes to tell running pods something.
TELLING = {("ConfigMap", "create"), ("ConfigMap", "patch"), ("Pod", "patch")}

Seen = Mapping[str, list[Manifest]]
"""The objects of one namespace, by kind."""


@dataclass(frozen=True)
class Right:
    """One verb of one resource."""

    grant: Grant
    verb: str

    @property
    def namespace(self) -> str:
        """The namespace in which this right is missing.

        The rights to write children are missing for all kinds at once, since no write stands in for another; but
        nobody tries to write a Deployment before there was a Job.
        """
        of_children = self.kind in CHILDREN and self.kind != "Job" and self.verb in ("create", "patch", "delete")
        return f"without-{self.verb}-{'children' if of_children else self.grant.resource.replace('/', '-')}"

    @property
    def kind(self) -> str:
        """The kind of object that it is about."""
        return next(kind for kind, found in RESOURCES.items() if found.plural == self.grant.resource.partition("/")[0])

    @property
    def model(self) -> str:
        """The one of the models that needs it."""
        if self.grant.resource == "events" and self.verb == "list":
            return "stuck"
        if (self.kind, self.verb) in TELLING:
            return "swapped"
        if self.verb == "get" and self.kind in CHILDREN:
            return next(name for name, kinds in TAKEN.items() if self.kind in kinds)
        return "small" if self.verb == "delete" else "clip"

    @property
    def refusal(self) -> str:
        """How the API server says that it is missing."""
        group = f'in API group "{self.grant.group}"'
        return f'cannot {self.verb} resource "{self.grant.resource}" {group} in the namespace "{self.namespace}"'


def all_rights(grants: Iterable[Grant]) -> list[Right]:
    return [Right(grant, verb) for grant in grants for verb in grant.verbs]


def without(missing: Collection[Right]) -> list[Manifest]:
    """The rules of a role that has all rights, of both tables, but these."""
    rest = [
        Grant(grant.group, grant.resource, kept, grant.named)
        for grant in (*OPERATOR, *LEASE)
        if (kept := {verb: because for verb, because in grant.because.items() if Right(grant, verb) not in missing})
    ]
    return rules(rest)


def by_namespace(rights: Iterable[Right]) -> dict[str, list[Right]]:
    """Which of the rights are missing where."""
    found: defaultdict[str, list[Right]] = defaultdict(list)
    for right in rights:
        found[right.namespace].append(right)
    return found


@contextmanager
def fake_node(api: httpx.Client) -> Iterator[None]:
    """A node that nothing is scheduled to."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "spec": {"unschedulable": True}}
    api.post("/api/v1/nodes", json=node).raise_for_status()
    yield
    api.delete(f"/api/v1/nodes/{NODE}").raise_for_status()


def set_role(api: httpx.Client, namespace: str, granted: list[Manifest]) -> None:
    """What the account may do in a namespace, from now on."""
    where = f"/apis/{RBAC}/v1/namespaces/{namespace}/roles/{ACCOUNT}"
    role = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": {"name": ACCOUNT, "namespace": namespace}}
    query = {"fieldManager": "test", "force": "true"}
    headers = {"Content-Type": "application/apply-patch+yaml"}
    answer = api.patch(where, json={**role, "rules": granted}, params=query, headers=headers)
    assert answer.is_success, answer.text


def bind(api: httpx.Client, namespace: str) -> None:
    """Gives the account its role in a namespace."""
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": ACCOUNT},
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": ACCOUNT},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }
    api.post(f"/apis/{RBAC}/v1/namespaces/{namespace}/rolebindings", json=binding).raise_for_status()


MODELS: dict[str, dict[str, object]] = {
    "clip": EVERYTHING,
    "small": EVERYTHING,
    "taken": {**EVERYTHING, "cache": {}},
    "cached": {"cache": CLAIM, "storage": TRUST},
    "stuck": {},
    "swapped": {"rollout": {"type": "HotSwap"}},
}
"""`clip` has everything; `small` loses everything that it can lose; `taken` and `cached` find their names taken; the
pods of `stuck` get a node and no volume, and those of `swapped` are told what to serve."""


def begin(objects: Objects, make_mmm: Callable[..., Manifest], name: str, taken: list[Manifest]) -> None:
    """Creates one of the models, after whatever of `taken` has its names."""
    for theirs in taken if name in TAKEN else ():
        if theirs["kind"] in TAKEN[name]:
            objects.create(theirs)
    objects.create(make_mmm(name=name, model={"uri": "s3://models/limited"}, **MODELS[name]))


def go_on(objects: Objects, seen: Seen) -> None:
    """Somebody meddles with the children of `clip`, `small` becomes small and `stuck` grows, wherever they are."""
    for kind, child in children(seen, "clip"):
        change = {"metadata": {"labels": {names.LABEL_INSTANCE: "meddled"}}}
        patch_if_there(objects, kind, child["metadata"]["name"], change)
    if ready(seen, "stuck"):
        objects.patch(names.KIND, "stuck", {"spec": {"replicas": 2}})
    if ready(seen, "small"):
        objects.patch(names.KIND, "small", {"spec": {**LESS, "model": {"version": "2"}}})


def look(api: httpx.Client) -> Mapping[str, Seen]:
    """All namespaces; one request per kind, since dozens of them are looked at again and again."""
    found: defaultdict[str, dict[str, list[Manifest]]] = defaultdict(lambda: {kind: [] for kind in KINDS})
    for kind in KINDS:
        for item in api.get(path(kind, None)).raise_for_status().json()["items"]:
            found[item["metadata"]["namespace"]][kind].append(item)
    return found


def play_kubelet(objects: Objects, seen: Seen) -> None:
    """Pods run, but those of `stuck` wait for a volume."""
    for pod in seen["Pod"]:
        name, model = pod["metadata"]["name"], pod["metadata"]["labels"].get(names.LABEL_MODEL)
        if model == "stuck" and "nodeName" not in pod["spec"]:
            # Else the scheduler would say again and again that there is no node.
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
            objects.api.post(path("Pod", objects.namespace, name, "binding"), json=binding)
            objects.create(mount_failure(pod))
        elif model != "stuck" and not is_ready(pod) and is_living(pod):
            patch_if_there(objects, "Pod", name, DONE if is_fetcher(pod) else READY, "status", STRATEGIC)


def patch_if_there(objects: Objects, kind: str, name: str, *change: Any) -> None:
    """Patch what a look over all namespaces saw: it may have gone since."""
    try:
        objects.patch(kind, name, *change)
    except AssertionError:
        if objects.get(kind, name) is not None:
            raise


def mount_failure(pod: Manifest) -> Manifest:
    """What a kubelet says of a volume that it cannot mount."""
    meta = pod["metadata"]
    about = {"apiVersion": "v1", "kind": "Pod", **{key: meta[key] for key in ("name", "namespace", "uid")}}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": "stuck-", "namespace": meta["namespace"]},
        "eventTime": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": "kubelet",
        "reportingInstance": "node",
        "action": "Mount",
        "type": "Warning",
        "reason": "FailedMount",
        "note": 'MountVolume.SetUp failed for volume "models": no such volume',
        "regarding": about,
    }


def children(seen: Seen, name: str) -> list[tuple[str, Manifest]]:
    """The children of one model with their kinds; by owner, since labels may be wrong."""
    return [
        (kind, item)
        for kind in CHILDREN
        for item in seen[kind]
        if any(owner["name"] == name for owner in item["metadata"].get("ownerReferences", ()))
    ]


def facts(seen: Seen) -> dict[str, bool]:
    """What the operator achieved for the models of this namespace; at the end of a good story all of it is true."""
    tellers = {"clip": of_clip, "small": of_small, "taken": of_taken, "cached": of_cached}
    tellers |= {"stuck": of_stuck, "swapped": of_swapped}
    there = [item["metadata"]["name"] for item in seen[names.KIND]]
    return {fact: true for name in there for fact, true in tellers[name](seen).items()}


def of_clip(seen: Seen) -> dict[str, bool]:
    clip = children(seen, "clip")
    made = {kind for kind, _ in clip}
    return {
        "clip is ready": ready(seen, "clip").get("status") == "True",
        **{f"{kind} is made": kind in made for kind in CHILDREN},
        **{f"{kind} is mended": mended(kind, clip) for kind in CHILDREN},
        "there are events": any(item["regarding"]["kind"] == names.KIND for item in seen["Event"]),
    }


def of_small(seen: Seen) -> dict[str, bool]:
    small = children(seen, "small")
    left = {kind for kind, _ in small}
    versions = [version_of(item) for kind, item in small if kind == "Deployment"]
    return {
        "small has its second version": "2" in versions,
        "Deployment is gone": "1" not in versions,
        "Job is gone": "1" not in [version_of(item["spec"]["template"]) for kind, item in small if kind == "Job"],
        "Service is gone": sum(kind == "Service" for kind, _ in small) <= 1,
        **{f"{kind} is gone": kind not in left for kind in OPTIONAL},
    }


def of_swapped(seen: Seen) -> dict[str, bool]:
    told = [pod["metadata"].get("annotations", {}) for pod in seen["Pod"] if model_of(pod) == "swapped"]
    return {
        "swapped is told": "swapped-rollout" in {item["metadata"]["name"] for item in seen["ConfigMap"]},
        "swapped listens": any(names.ANNOTATION_TOLD in annotations for annotations in told),
    }


def model_of(pod: Manifest) -> str:
    return str(pod["metadata"].get("labels", {}).get(names.LABEL_MODEL, ""))


def version_of(item: Manifest) -> str:
    return str(item["metadata"]["labels"][names.LABEL_VERSION])


def of_taken(seen: Seen) -> dict[str, bool]:
    return known_to_be_taken(seen, "taken")


def of_cached(seen: Seen) -> dict[str, bool]:
    return known_to_be_taken(seen, "cached")


def known_to_be_taken(seen: Seen, name: str) -> dict[str, bool]:
    blocked = ready(seen, name).get("message", "")
    return {f"{kind} is known to be taken": kind in blocked for kind in TAKEN[name]}


def of_stuck(seen: Seen) -> dict[str, bool]:
    sizes = [item["spec"]["replicas"] for kind, item in children(seen, "stuck") if kind == "Deployment"]
    return {
        "stuck tells why": "no such volume" in ready(seen, "stuck").get("message", ""),
        "stuck grows": sizes == [2],
    }


def mended(kind: str, found: list[tuple[str, Manifest]]) -> bool:
    instances = [item["metadata"]["labels"].get(names.LABEL_INSTANCE) for each, item in found if each == kind]
    return bool(instances) and "meddled" not in instances


def messages(seen: Seen) -> list[str]:
    """All that the conditions of the models of this namespace say."""
    conditions = [item for each in seen[names.KIND] for item in each.get("status", {}).get("conditions", ())]
    return [item["message"] for item in conditions]


def ready(seen: Seen, name: str) -> Manifest:
    """The condition Ready of one model; empty when it has none."""
    found = [item for item in seen[names.KIND] if item["metadata"]["name"] == name]
    conditions = [item for each in found for item in each.get("status", {}).get("conditions", ())]
    return next((item for item in conditions if item["type"] == "Ready"), {})


def copies(seen: Seen) -> list[Manifest]:
    """Objects of other people under the names that the models in `TAKEN` need, which had them free here."""
    return [
        {
            "apiVersion": RESOURCES[kind].api_version,
            "kind": kind,
            "metadata": {"name": item["metadata"]["name"]},
            "spec": bare(item["spec"]),
        }
        for name, kinds in TAKEN.items()
        for kind, item in children(seen, name)
        if kind in kinds
    ]


def bare(spec: Manifest) -> Manifest:
    """The spec, ready to be made again and without pods."""
    if "completions" in spec:
        return {"suspend": True, "template": {"spec": spec["template"]["spec"]}}
    given = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "volumeName")
    kept = {key: value for key, value in spec.items() if key not in given}
    return {**kept, "replicas": 0} if "template" in kept else kept
