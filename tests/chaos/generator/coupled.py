"""Moves of fields that depend on each other: every pair of their values, judged by rules written down once more."""

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from tests.chaos.generator.fitting import fit
from tests.chaos.generator.moves import Move, Verdict, brief
from tests.chaos.generator.offer import SECRETS, UNSEEN, URIS, VERSIONS, Offer
from tests.chaos.generator.schema import Schema, Spec

CLAIM = {"size": "1Gi"}
DEVICE = "nvidia.com/gpu"


def coupled_moves(schema: Schema, offer: Offer) -> Iterator[Move]:
    """All pairs of all groups."""
    yield from _bounds()
    yield from _caches()
    yield from _amounts()
    yield from _sizes()
    yield from _pins(offer)
    yield from _switches(schema)
    yield from _deadlines()


def _group(field: str, value: Any, good: bool) -> Move:
    """`field`, an object of the spec, as a whole."""
    verdict = Verdict.VALID if good else Verdict.INVALID

    def change(spec: Spec) -> Spec | None:
        changed = copy.deepcopy(spec)
        changed[field] = copy.deepcopy(value)
        return fit(changed, "") if good else changed

    return Move(f"{field} = {brief(value)}", field, verdict, change)


def _bounds() -> Iterator[Move]:
    for low, high in itertools.product((1, 2, 3), (1, 2, 3)):
        yield _group("autoscaling", {"minReplicas": low, "maxReplicas": high}, low <= high)


def _caches() -> Iterator[Move]:
    kinds: tuple[Spec, ...] = ({}, {"type": "EmptyDir"}, {"type": "PersistentVolumeClaim"})
    parts: tuple[Spec, ...] = ({"claimName": "shared"}, {"claimTemplate": CLAIM}, {"sizeLimit": "1Gi"})
    for kind in kinds:
        for chosen in itertools.chain.from_iterable(itertools.combinations(parts, n) for n in range(3)):
            cache = {**kind, **{name: value for part in chosen for name, value in part.items()}}
            claims = len({"claimName", "claimTemplate"} & cache.keys())
            on_claim = cache.get("type") == "PersistentVolumeClaim"
            good = (claims == 1 and "sizeLimit" not in cache) if on_claim else claims == 0
            yield _group("cache", cache, good)


def _amounts() -> Iterator[Move]:
    cases: tuple[tuple[Spec, bool], ...] = (
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "500m"}}, False),
        ({"requests": {"cpu": "1"}, "limits": {"cpu": "1000m"}}, True),
        ({"requests": {"memory": "1Gi"}, "limits": {"memory": "1024Mi"}}, True),
        ({"requests": {"memory": "1Gi"}, "limits": {"memory": "1G"}}, False),
        ({"requests": {"memory": "1e9"}, "limits": {"memory": "1G"}}, True),
        ({"limits": {"cpu": "100m", "memory": "64Mi"}}, True),
        ({"requests": {DEVICE: 1}}, False),
        ({"limits": {"amd.com/gpu": "1"}}, False),
        ({"requests": {"ephemeral-storage": "1Gi"}, "limits": {"ephemeral-storage": "2Gi"}}, True),
        ({}, True),
    )
    for resources, good in cases:
        yield _group("resources", resources, good)
    for device in (DEVICE, "example.com/device"):
        yield _accelerated(device, {"limits": {device: 1}}, False)
        yield _accelerated(device, {"limits": {"memory": "2Gi"}}, True)
    yield _scaled_without_request()


def _accelerated(device: str, resources: Spec, good: bool) -> Move:
    def change(spec: Spec) -> Spec | None:
        changed = {**copy.deepcopy(spec), "accelerator": {"resourceName": device}, "resources": resources}
        return fit(changed, "accelerator") if good else changed

    verdict = Verdict.VALID if good else Verdict.INVALID
    return Move(f"accelerator {device} with {brief(resources)}", "accelerator.resourceName", verdict, change)


def _scaled_without_request() -> Move:
    def change(spec: Spec) -> Spec | None:
        only_memory = {"requests": {"memory": "1Gi"}}
        return {**copy.deepcopy(spec), "autoscaling": {"maxReplicas": 2}, "resources": only_memory}

    return Move("autoscaling on CPU without a request of it", "autoscaling", Verdict.INVALID, change)


def _sizes() -> Iterator[Move]:
    for replicas, scaling in itertools.product(
        (0, 1, 3), (None, {"maxReplicas": 3}, {"minReplicas": 2, "maxReplicas": 4})
    ):
        yield _sized(replicas, scaling)


def _sized(replicas: int, scaling: Spec | None) -> Move:
    def change(spec: Spec) -> Spec | None:
        changed = {**copy.deepcopy(spec), "replicas": replicas}
        changed.pop("autoscaling", None)
        if scaling is not None:
            changed["autoscaling"] = dict(scaling)
        return fit(changed, "replicas")

    return Move(f"replicas = {replicas} with autoscaling {scaling}", "replicas", Verdict.VALID, change)


def _pins(offer: Offer) -> Iterator[Move]:
    for uri, version in itertools.product(URIS, VERSIONS[:2]):
        yield _pinned(uri, version, offer.digests[uri, version], Verdict.VALID)
    other = offer.digests[URIS[0], VERSIONS[2]]
    yield _pinned(URIS[0], VERSIONS[0], other, Verdict.HOPELESS)


def _pinned(uri: str, version: str, digest: str, verdict: Verdict) -> Move:
    def change(spec: Spec) -> Spec | None:
        changed = copy.deepcopy(spec)
        changed["model"] |= {"uri": uri, "version": version, "digest": digest}
        changed["model"].pop("updatePolicy", None)
        return fit(changed, "model.digest")

    return Move(f"{uri} version {version} pinned to {digest[:15]}", "model.digest", verdict, change)


def _switches(schema: Schema) -> Iterator[Move]:
    """On and off, with and without pods, of what stops a MultimodalModel or its rollout."""
    known = schema["properties"]
    for replicas in (0, 2):
        if "suspend" in known:
            yield from (_switched(("suspend",), on, replicas) for on in (True, False))
        if "paused" in known["rollout"]["properties"]:
            yield from (_switched(("rollout", "paused"), on, replicas) for on in (True, False))


def _switched(path: tuple[str, ...], on: bool, replicas: int) -> Move:
    def change(spec: Spec) -> Spec | None:
        changed = {**copy.deepcopy(spec), "replicas": replicas}
        changed.pop("autoscaling", None)
        parent = changed if len(path) == 1 else changed.setdefault(path[0], {})
        parent[path[-1]] = on
        return changed

    return Move(f"{'.'.join(path)} = {on} with {replicas} replicas", ".".join(path), Verdict.VALID, change)


def _deadlines() -> Iterator[Move]:
    for ready, deadline in ((0, 600), (2, 300), (600, 600), (601, 600)):
        good = deadline > ready
        yield _group("rollout", {"minReadySeconds": ready, "progressDeadlineSeconds": deadline}, good)


Wishes = dict[str, tuple[str, Callable[[Spec], None]]]


def hopeless_moves(schema: Schema, offer: Offer) -> Iterator[Move]:
    """What the API server takes although it cannot come true, each of another kind."""
    for name, (field, wish) in {**_not_stored(offer), **_not_to_be_run()}.items():
        yield Move(name, field, Verdict.HOPELESS, _wishing(wish))


def _not_stored(offer: Offer) -> Wishes:
    return {
        "a version that is not there": ("model.version", lambda spec: _model(spec, version="no-such-version")),
        "a model that is not there": ("model.uri", lambda spec: _model(spec, uri="s3://models/no-such-model")),
        "a bucket that is not there": ("model.uri", lambda spec: _model(spec, uri="s3://no-such-bucket/model")),
        "an endpoint that nobody answers": (
            "storage.endpoint",
            lambda spec: _storage(spec, endpoint="http://127.0.0.1:1"),
        ),
        "another version in a region that is not there": (
            "storage.region",
            lambda spec: _elsewhere(spec, region="nowhere-1"),
        ),
        "another version with a Secret that is not there": (
            "storage.credentialsSecretRef.name",
            lambda spec: _elsewhere(spec, credentialsSecretRef={"name": "nobody"}),
        ),
        "another version with a key that the Secret lacks": (
            "storage.credentialsSecretRef.accessKeyIDKey",
            lambda spec: _elsewhere(spec, credentialsSecretRef={"name": SECRETS[0], "accessKeyIDKey": "nothing"}),
        ),
        "another version in a bucket that is a host name": (
            "storage.addressingStyle",
            lambda spec: _elsewhere(spec, addressingStyle="Virtual"),
        ),
        "TLS where there is none": (
            "storage.insecureSkipTLSVerify",
            lambda spec: _storage(spec, endpoint=_https(offer), insecureSkipTLSVerify=True),
        ),
    }


def _not_to_be_run() -> Wishes:
    return {
        "a priority class that is not there": (
            "priorityClassName",
            lambda spec: _top(spec, "priorityClassName", "nobody"),
        ),
        "a service account that is not there": (
            "serviceAccountName",
            lambda spec: _top(spec, "serviceAccountName", "nobody"),
        ),
        "a scheduler that is not there": (
            "podTemplate.spec.schedulerName",
            lambda spec: _pods(spec, schedulerName="nobody"),
        ),
        "a runtime class that is not there": (
            "podTemplate.spec.runtimeClassName",
            lambda spec: _pods(spec, runtimeClassName="nobody"),
        ),
        "a toleration of an effect that is not there": (
            "podTemplate.spec.tolerations",
            lambda spec: _pods(spec, tolerations=[{"operator": "Exists", "effect": "Never"}]),
        ),
        "a volume that is mounted nowhere": (
            "podTemplate.spec.containers.[].name",
            lambda spec: _pods(spec, containers=[{"name": "server", "volumeMounts": [{"name": "no"}]}]),
        ),
        "half a device": (
            "resources.limits.*",
            lambda spec: _top(spec, "resources", {"limits": {"example.com/x": "0.5"}}),
        ),
        "a resource with an impossible name": (
            "resources.requests.*",
            lambda spec: _top(spec, "resources", {"requests": {"cpu": "1", "no resource!": "1"}}),
        ),
        "a label with an impossible key": ("service.labels.*", lambda spec: _service(spec, "labels", {"no key!": "x"})),
        "an annotation with an impossible key": (
            "service.annotations.*",
            lambda spec: _service(spec, "annotations", {"no key!": "x"}),
        ),
    }


def _wishing(wish: Callable[[Spec], None]) -> Callable[[Spec], Spec | None]:
    def change(spec: Spec) -> Spec | None:
        if spec.get("replicas", 1) == 0 or spec.get("suspend") or spec.get("rollout", {}).get("paused"):
            return None  # who wants nothing, or nothing new, lacks nothing
        changed = copy.deepcopy(spec)
        wish(changed)
        return changed

    return change


def _model(spec: Spec, **fields: str) -> None:
    spec["model"] |= fields
    spec["model"].pop("digest", None)
    if "version" in fields:
        spec["model"].pop("updatePolicy", None)


def _storage(spec: Spec, **fields: object) -> None:
    spec["storage"] |= fields


def _elsewhere(spec: Spec, **fields: object) -> None:
    # Versions that serve or served are not asked for again.
    _model(spec, version=UNSEEN)
    _storage(spec, **fields)


def _https(offer: Offer) -> str:
    return offer.bucket.server.endpoint.replace("http:", "https:")


def _top(spec: Spec, field: str, value: Any) -> None:
    spec[field] = value
    if field == "resources":
        spec.pop("accelerator", None)
        spec.pop("autoscaling", None)


def _pods(spec: Spec, **fields: Any) -> None:
    spec.setdefault("podTemplate", {}).setdefault("spec", {}).update(fields)


def _service(spec: Spec, field: str, value: dict[str, str]) -> None:
    spec.setdefault("service", {})[field] = value
