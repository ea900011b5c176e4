"""What a user adds to the pods, merged into what the operator built.

Maps merge by key and lists by the keys that Kubernetes itself merges them by; what the operator built stays wherever
both say something. `api.pod_rules` has refused before what could not be merged so.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmm_operator.api.pod_template import PodTemplate
from mmm_operator.snapshot import Manifest

# As the strictest Pod Security Standard wants it; a container of the user's may say more, but nothing else.
RESTRICTED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
PLACEMENT = ("affinity", "dnsConfig", "dnsPolicy", "hostAliases", "nodeSelector", "schedulerName")
_PLAIN = (*PLACEMENT, "runtimeClassName")


def apply_overlay(template: Manifest, overlay: PodTemplate, selector: Mapping[str, str]) -> Manifest:
    """`template` with `overlay`; `selector` are the labels of the pods of one revision."""
    meta, spec, extra = template["metadata"], template["spec"], overlay.spec
    merged = {
        **spec,
        **{field: extra[field] for field in _PLAIN if field in extra},
        "volumes": [*spec["volumes"], *extra.get("volumes", ())],
        # What the fetcher may need, a proxy for instance, has to run before it.
        "initContainers": _containers(extra.get("initContainers", ()), spec["initContainers"], first=True),
        "containers": _containers(extra.get("containers", ()), spec["containers"], first=False),
        "tolerations": _tolerations(spec.get("tolerations", []), extra.get("tolerations", ())),
        "topologySpreadConstraints": _spread(
            spec["topologySpreadConstraints"], extra.get("topologySpreadConstraints", ()), selector
        ),
    }
    return _labelled(meta, overlay, {key: value for key, value in merged.items() if value != [] or key in spec})


def place_as(template: Manifest, overlay: PodTemplate) -> Manifest:
    """`template`, of pods that only fetch, with as much of `overlay` as concerns where pods run and how they fetch.

    Its containers that run beside the server do not take part.
    """
    meta, spec, extra = template["metadata"], template["spec"], overlay.spec
    before, count = extra.get("initContainers", ()), len(spec["containers"])
    every = _containers(before, spec["containers"], first=True)
    placed = {
        **spec,
        **{field: extra[field] for field in PLACEMENT if field in extra},
        "volumes": [*spec["volumes"], *extra.get("volumes", ())],
        "initContainers": every[:-count],
        "containers": every[-count:],
        "tolerations": _tolerations(spec.get("tolerations", []), extra.get("tolerations", ())),
    }
    return _labelled(meta, overlay, {key: value for key, value in placed.items() if value != []})


def _labelled(meta: Manifest, overlay: PodTemplate, spec: Manifest) -> Manifest:
    labels = {**overlay.metadata.labels, **meta["labels"]}
    annotations = {**overlay.metadata.annotations, **meta["annotations"]}
    return {"metadata": {**meta, "labels": labels, "annotations": annotations}, "spec": spec}


def _containers(extra: Iterable[Manifest], ours: Sequence[Manifest], *, first: bool) -> list[Manifest]:
    own = {container["name"] for container in ours}
    mounts = {item["name"]: item.get("volumeMounts", []) for item in extra if item["name"] in own}
    grown = [
        {**container, "volumeMounts": [*container["volumeMounts"], *mounts.get(container["name"], ())]}
        for container in ours
    ]
    theirs = [_restricted(item) for item in extra if item["name"] not in own]
    return [*theirs, *grown] if first else [*grown, *theirs]


def _restricted(container: Manifest) -> Manifest:
    return {**container, "securityContext": {**RESTRICTED, **container.get("securityContext", {})}}


def _tolerations(ours: Sequence[Manifest], extra: Iterable[Manifest]) -> list[Manifest]:
    return [*ours, *(item for item in extra if item not in ours)]


def _spread(ours: Sequence[Manifest], extra: Iterable[Manifest], selector: Mapping[str, str]) -> list[Manifest]:
    # How the pods spread is a wish of ours, and no more: theirs wins.
    theirs = {_spread_key(item): {"labelSelector": {"matchLabels": dict(selector)}, **item} for item in extra}
    return [*(item for item in ours if _spread_key(item) not in theirs), *theirs.values()]


def _spread_key(constraint: Manifest) -> tuple[object, object]:
    return constraint.get("topologyKey"), constraint.get("whenUnsatisfiable")
