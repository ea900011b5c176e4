"""How stored objects become a snapshot, also when they are not what they should be."""

from typing import Any

import pytest

from mmm_operator import names
from mmm_operator.api.v1alpha1 import ObjectMeta
from mmm_operator.errors import Conflict, Forbidden, KubeError, Transient
from mmm_operator.kube import answers, resources
from mmm_operator.kube.observe import controller_uid, is_of_its_time, parse, parse_status, sort_out
from mmm_operator.kube.store import key_of
from mmm_operator.snapshot import Key, Manifest, Ref

GOOD: Manifest = {
    "metadata": {"name": "clip", "namespace": "default", "uid": "u"},
    "spec": {"model": {"uri": "s3://models/clip", "version": "1"}},
}


def make_child(kind: str, *owners: dict[str, Any], **labels: str) -> Manifest:
    meta = {"name": kind.lower(), "namespace": "default", "ownerReferences": list(owners), "labels": labels}
    return {"apiVersion": resources.RESOURCES[kind].api_version, "kind": kind, "metadata": meta}


def owner(uid: str = "u", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": "clip", "uid": uid, **fields}


def test_a_good_object_is_parsed_whatever_its_status_holds() -> None:
    for status in ({}, {"replicas": "many"}, {"conditions": 7}, None):
        mmm, invalid = parse({**GOOD, "status": status})
        assert mmm is not None
        assert invalid == ""


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"model": {"uri": "s3://models/clip"}}, "spec.model: "),
        ({"model": {"uri": "s3://models/clip", "version": "1", "updatePolicy": "Auto"}}, "spec.model: "),
        ({"model": {"uri": "file:///etc", "version": "1"}}, "spec.model.uri: "),
        ({**GOOD["spec"], "runtime": {"env": [{"name": "1 2"}]}}, "spec.runtime.env[0].name: "),
        ({**GOOD["spec"], "replicas": -1}, "spec.replicas: "),
        (None, "spec: "),
    ],
)
def test_an_object_that_does_not_fit_names_the_field(spec: Any, field: str) -> None:
    mmm, invalid = parse({**GOOD, "spec": spec})
    assert mmm is None
    assert field in invalid


def test_a_stored_status_that_does_not_fit_counts_as_none() -> None:
    assert parse_status({"status": {"replicas": "many"}}).replicas == 0
    assert parse_status({"status": {"replicas": 2}}).replicas == 2
    assert parse_status({}).replicas == 0


def test_pods_of_an_earlier_object_of_the_name_are_not_ours() -> None:
    meta = ObjectMeta(name="clip", namespace="default", creation_timestamp="2026-01-01T00:00:10Z")
    born = [{"metadata": {"creationTimestamp": f"2026-01-01T00:00:{second}Z"}} for second in ("09", "10", "11")]
    assert [is_of_its_time(pod, meta) for pod in born] == [False, True, True]


def test_children_are_ours_only_if_this_very_object_controls_them() -> None:
    ours = make_child("Service", owner(controller=True))
    others = [
        make_child("Deployment", owner(uid="namesake", controller=True)),
        make_child("HorizontalPodAutoscaler", owner()),
        make_child("PodDisruptionBudget"),
    ]
    controlled, foreign = sort_out("u", [ours, *others])
    assert controlled == {Ref.of(ours): ours}
    assert foreign == {Ref.of(child) for child in others}
    assert controller_uid(ours) == "u"


@pytest.mark.parametrize(
    ("child", "key"),
    [
        (make_child("Service", owner(controller=True)), Key("default", "clip")),
        (make_child("Pod", {"kind": "ReplicaSet", "apiVersion": "apps/v1", "controller": True, "name": "r"}), None),
        (make_child("Pod", **{names.LABEL_MODEL: "blip"}), Key("default", "blip")),
        (make_child("Service", owner(controller=True, apiVersion="other.example/v1")), None),
        (make_child("Service"), None),
    ],
)
def test_a_change_of_a_child_is_its_models_business(child: Manifest, key: Key | None) -> None:
    assert key_of(child["kind"], child["metadata"]) == key


@pytest.mark.parametrize(
    ("status", "error"),
    [(409, Conflict), (403, Forbidden), (401, Transient), (429, Transient), (500, Transient), (503, Transient)],
)
def test_each_refusal_is_the_error_that_says_what_to_do(status: int, error: type[KubeError]) -> None:
    found = answers.failure("get Service clip", status, "7", b'{"kind": "Status", "message": "the reason"}')
    assert type(found) is error
    assert str(found) == f"get Service clip: {status} the reason"
    assert found.retry_after == (7.0 if error is Transient else None)


def test_a_page_of_a_proxy_is_quoted() -> None:
    assert "Bad Gateway" in str(answers.failure("get Pod a", 502, None, b"<h1>Bad Gateway</h1>"))


def test_half_an_answer_is_worth_another_try() -> None:
    for text in (b'{"kind": "Ser', b"[]", b""):
        with pytest.raises(Transient):
            answers.parse(text)


def test_paths_follow_the_api_groups() -> None:
    assert resources.path("Pod", None) == "/api/v1/pods"
    assert resources.path("Deployment", "ns", "d") == "/apis/apps/v1/namespaces/ns/deployments/d"
    assert resources.path(names.KIND, "ns", "m", "status").endswith("/namespaces/ns/multimodalmodels/m/status")
