"""What counts as a difference between an object as built and as it is."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from mmm_operator import names
from mmm_operator.builders.autoscaler import build_autoscaler
from mmm_operator.builders.claim import build_claim
from mmm_operator.builders.deployment import build_deployment
from mmm_operator.builders.disruption import build_disruption_budget
from mmm_operator.builders.service import build_service
from mmm_operator.drift import first_difference, with_applied_hash
from mmm_operator.snapshot import Manifest
from tests.unit.operator.core.build import SETTINGS, Draft, make_mmm
from tests.unit.operator.core.stored import as_stored

SPREAD = {"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 1}
FULL = (
    make_mmm()
    .having(
        storage={"endpoint": "http://s3:9000", "credentialsSecretRef": {"name": "s3"}},
        cache={"sizeLimit": "1024Mi"},
        resources={"requests": {"cpu": "1000m", "memory": "0.5Gi"}, "limits": {"memory": "2048Mi"}},
        runtime={"env": [{"name": "EMPTY"}, {"name": "LEVEL", "value": "1.0"}]},
        rollout={"minReadySeconds": 3},
        serviceAccountName="models",
        priorityClassName="high",
        imagePullSecrets=[{"name": "pull"}],
        service={"annotations": {"team": "vision"}, "labels": {"team": "vision"}},
    )
    .on_gpu(1)
    .autoscaled(1, 4)
)
CACHED = make_mmm().having(
    cache={"type": "PersistentVolumeClaim", "claimTemplate": {"size": "20480Mi", "storageClassName": "fast"}}
)


def children(draft: Draft) -> list[Manifest]:
    mmm = draft.build()
    built = [
        build_deployment(mmm, draft.revision(), 2, SETTINGS, None),
        build_service(mmm),
        build_disruption_budget(mmm),
    ]
    if mmm.spec.autoscaling:
        built.append(build_autoscaler(mmm, mmm.spec.autoscaling))
    if mmm.spec.cache.claim_template:
        built.append(build_claim(mmm, mmm.spec.cache.claim_template))
    return [with_applied_hash(item) for item in built]


EVERY_CHILD = [*children(FULL), *children(CACHED)]
KINDS = [f"{item['kind']} {number}" for number, item in enumerate(EVERY_CHILD)]

Path = tuple[str | int, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every value that is no dict and no list."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path
        return
    for key, item in items:
        yield from leaves(item, (*path, key))


def put(value: Any, path: Path, new: Any) -> Any:
    """A copy of `value` with `new` at `path`; None takes away what is there."""
    edited = copy.deepcopy(value)
    inner = edited
    for key in path[:-1]:
        inner = inner[key]
    if new is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return edited


def other(value: object) -> object:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"x{value}"


def at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def present(value: Any, path: Path) -> bool:
    try:
        at(value, path)
    except KeyError:
        return False
    return True


@pytest.mark.parametrize("desired", EVERY_CHILD, ids=KINDS)
def test_what_the_api_server_fills_in_or_writes_in_its_own_form_is_no_difference(desired: Manifest) -> None:
    assert first_difference(desired, as_stored(desired, None)) is None


@pytest.mark.parametrize("desired", EVERY_CHILD, ids=KINDS)
def test_every_edited_field_is_found(desired: Manifest) -> None:
    live = as_stored(desired, None)
    for path in leaves(desired):
        if not present(live, path):
            continue  # empty, so the API server left it out
        edited = put(live, path, other(at(live, path)))
        assert first_difference(desired, edited) is not None, path


@pytest.mark.parametrize("desired", EVERY_CHILD, ids=KINDS)
def test_every_field_that_was_taken_away_is_found(desired: Manifest) -> None:
    live = as_stored(desired, None)
    for path in leaves(desired):
        if not at(desired, path):
            continue  # to Kubernetes, empty and absent are the same
        assert first_difference(desired, put(live, path, None)) is not None, path


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        ({"resources": {"limits": {"cpu": "1000m"}}}, {"resources": {"limits": {"cpu": "1"}}}),
        ({"resources": {"requests": {"memory": "1024Mi"}}}, {"resources": {"requests": {"memory": "1Gi"}}}),
        ({"resources": {"requests": {"a.b/gpu": "1"}}}, {"resources": {"requests": {"a.b/gpu": 1}}}),
        ({"emptyDir": {"sizeLimit": "2Ei"}}, {"emptyDir": {"sizeLimit": "2048Pi"}}),
        ({"value": ""}, {}),
        ({"emptyDir": {}}, {}),
        ({"items": []}, {}),
        ({"wait": 0}, {}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "B"}, {"name": "A", "value": "1"}]}),
    ],
)
def test_forms_that_mean_the_same(desired: Manifest, live: Manifest) -> None:
    assert first_difference(desired, live) is None


@pytest.mark.parametrize(
    ("desired", "live", "sentence"),
    [
        ({"size": 3}, {"size": 2}, "size is 2 instead of 3"),
        ({"a": {"b": "x"}}, {"a": {}}, "a.b is absent instead of x"),
        ({"a": {"b": "x"}}, {}, "a is absent instead of {'b': 'x'}"),
        ({"args": ["serve"]}, {"args": ["serve", "-v"]}, "args has 2 items instead of 1"),
        ({"args": ["serve"]}, {"args": ["fetch"]}, "args[0] is fetch instead of serve"),
        (
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "value": "2"}]},
            "env.A.value is 2 instead of 1",
        ),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, "limits.cpu is 2 instead of 1"),
        (
            {"mounts": [{"name": "a", "mountPath": "/x"}, {"name": "a", "mountPath": "/y"}]},
            {"mounts": [{"name": "b", "mountPath": "/x"}, {"name": "a", "mountPath": "/y"}]},
            "mounts./x.name is b instead of a",
        ),
        # Outside of resources, words that look like the same number are different words, and none is a mistake.
        ({"version": "1"}, {"version": "1.0"}, "version is 1.0 instead of 1"),
        ({"version": "1.2.3"}, {"version": "1.2.4"}, "version is 1.2.4 instead of 1.2.3"),
        ({"on": False}, {"on": True}, "on is True instead of False"),
        ({"note": "x" * 61}, {"note": "y" * 60}, f"note is {'y' * 60} instead of {'x' * 57}…"),
    ],
)
def test_a_difference_is_a_sentence(desired: Manifest, live: Manifest, sentence: str) -> None:
    assert first_difference(desired, live) == sentence


def test_a_field_that_we_set_once_and_want_no_more_is_found_by_the_hash() -> None:
    plain = make_mmm()
    before = as_stored(with_applied_hash(build_service(plain.having(service={"labels": {"a": "b"}}).build())), None)
    difference = first_difference(with_applied_hash(build_service(plain.build())), before)
    assert difference is not None
    assert names.ANNOTATION_APPLIED in difference


def test_what_somebody_else_added_is_theirs() -> None:
    desired = with_applied_hash(build_service(make_mmm().build()))
    live = as_stored(desired, None)
    live["metadata"]["annotations"]["somebody.else/note"] = "hello"
    live["spec"]["loadBalancerClass"] = "fast"
    assert first_difference(desired, live) is None


@pytest.mark.parametrize("field", ["automountServiceAccountToken", "enableServiceLinks"])
def test_a_false_that_is_gone_is_a_difference_since_absent_means_true(field: str) -> None:
    desired = {"spec": {field: False}}
    assert first_difference(desired, {"spec": {}}) == f"spec.{field} is absent instead of False"
    assert first_difference(desired, desired) is None


@pytest.mark.parametrize(
    ("field", "ours", "theirs"),
    [
        ("topologySpreadConstraints", SPREAD, {**SPREAD, "whenUnsatisfiable": "DoNotSchedule"}),
        ("hostAliases", {"ip": "10.0.0.1", "hostnames": ["a"]}, {"ip": "10.0.0.2", "hostnames": ["b"]}),
        ("ports", {"name": "http", "containerPort": 80}, {"name": "more", "containerPort": 81}),
        ("volumeMounts", {"name": "a", "mountPath": "/a"}, {"name": "a", "mountPath": "/b"}),
    ],
)
def test_what_others_add_to_a_list_that_is_merged_is_theirs(field: str, ours: Manifest, theirs: Manifest) -> None:
    desired = {field: [ours]}
    assert first_difference(desired, {field: [theirs, ours]}) is None
    assert field in (first_difference(desired, {field: [theirs]}) or "")
    changed = {**ours, next(reversed(ours)): "other"}
    assert field in (first_difference(desired, {field: [theirs, changed]}) or "")


def test_a_list_that_is_applied_as_a_whole_is_all_ours() -> None:
    ours, theirs = {"name": "ndots", "value": "2"}, {"name": "timeout", "value": "1"}
    desired = {"dnsConfig": {"options": [ours]}}
    assert first_difference(desired, {"dnsConfig": {"options": [ours, theirs]}}) is not None
