"""What makes a revision: everything that pods run, and nothing else."""

from typing import Any, ClassVar

import pytest
from pydantic import Field

from mmm_operator.api.storage import Cache, Storage
from mmm_operator.api.v1alpha1 import Runtime, Spec
from mmm_operator.revision import canonical_json, content_hash, revision_of
from tests.unit.operator.core.build import IMAGE, Draft, digest_of, make_mmm

BASE = make_mmm()
CLAIM = {"type": "PersistentVolumeClaim", "claimTemplate": {"size": "20Gi"}}


def revision(draft: Draft, digest: str = digest_of("1"), image: str = IMAGE) -> str:
    return revision_of(draft.build().spec, draft.pinned, digest, image).id


@pytest.mark.parametrize(
    "fields",
    [
        {"model": {"uri": "s3://models/other"}},
        {"model": {"version": "2"}},
        {"model": {"tasks": ["ImageEmbedding"]}},
        {"model": {"servedName": "acme/clip"}},
        {"storage": {"endpoint": "http://s3:9000"}},
        {"storage": {"region": "eu-central-1"}},
        {"storage": {"addressingStyle": "Path"}},
        {"storage": {"credentialsSecretRef": {"name": "s3"}}},
        {"storage": {"credentialsSecretRef": {"name": "s3", "sessionTokenKey": "token"}}},
        {"storage": {"insecureSkipTLSVerify": True}},
        {"cache": {"sizeLimit": "1Gi"}},
        {"cache": CLAIM},
        {"cache": {"type": "PersistentVolumeClaim", "claimName": "shared"}},
        {"accelerator": {}},
        {"accelerator": {"count": 2}},
        {"accelerator": {"resourceName": "amd.com/gpu"}},
        {"accelerator": {"fallback": "CPU"}},
        {"runtime": {"dtype": "float16"}},
        {"runtime": {"quantization": "Int8"}},
        {"runtime": {"maxBatchSize": 8}},
        {"runtime": {"maxQueueSeconds": 5}},
        {"runtime": {"imagePullPolicy": "Always"}},
        {"runtime": {"env": [{"name": "A", "value": "1"}]}},
        {"resources": {"requests": {"cpu": "1"}}},
        {"resources": {"limits": {"memory": "1Gi"}}},
        {"serviceAccountName": "models"},
        {"imagePullSecrets": [{"name": "pull"}]},
        {"priorityClassName": "high"},
        {"runtime": {"args": ["--verbose"]}},
        {"podTemplate": {"metadata": {"labels": {"team": "vision"}}}},
        {"podTemplate": {"spec": {"nodeSelector": {"disk": "fast"}}}},
    ],
    ids=str,
)
def test_what_pods_run_makes_another_revision(fields: dict[str, Any]) -> None:
    assert revision(BASE.having(**fields)) != revision(BASE)


def test_each_of_these_revisions_is_its_own() -> None:
    drafts = [BASE, *(BASE.having(accelerator=a) for a in ({}, {"count": 2}, {"fallback": "CPU"}))]
    assert len({revision(draft) for draft in drafts}) == len(drafts)


def test_other_bytes_or_another_image_make_another_revision() -> None:
    assert len({revision(BASE), revision(BASE, digest=digest_of("2")), revision(BASE, image="other")}) == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"replicas": 7},
        {"autoscaling": {"minReplicas": 1, "maxReplicas": 4}},
        {"rollout": {"minReadySeconds": 5, "progressDeadlineSeconds": 60}},
        {"service": {"port": 8080, "annotations": {"a": "b"}, "labels": {"a": "b"}}},
        {"revisionHistoryLimit": 0},
        {"model": {"digest": digest_of("1")}},
        {"model": {"pollIntervalSeconds": 5}},
        {"runtime": {"image": IMAGE}},  # what the operator's own default is
        # Defaults that somebody writes down.
        {"storage": {"addressingStyle": "Auto", "insecureSkipTLSVerify": False}},
        {"cache": {"type": "EmptyDir"}},
        {"runtime": {"dtype": "auto", "quantization": "None", "maxQueueSeconds": 2, "env": []}},
        {"resources": {"requests": {}, "limits": {}}},
        {"model": {"tasks": []}},
        {"podTemplate": {}},
        {"podTemplate": {"metadata": {"labels": {}}, "spec": {}}},
        {"suspend": True},
        {"rollout": {"paused": True}},
        {"networkPolicy": {}},
    ],
    ids=str,
)
def test_nothing_else_restarts_pods(fields: dict[str, Any]) -> None:
    assert revision(BASE.having(**fields)) == revision(BASE)


def test_a_claim_that_grows_restarts_no_pods() -> None:
    cached = BASE.having(cache=CLAIM)
    assert revision(cached.having(cache={"claimTemplate": {"size": "40Gi"}})) == revision(cached)


@pytest.mark.parametrize("field", ["requests", "limits"])
def test_a_number_and_its_text_are_one_quantity(field: str) -> None:
    one, other = (BASE.having(resources={field: {"cpu": amount}}) for amount in (1, "1"))
    assert revision(one) == revision(other)


def test_the_order_of_tasks_means_nothing() -> None:
    tasks = ["TextEmbedding", "ImageEmbedding"]
    assert revision(BASE.having(model={"tasks": tasks})) == revision(BASE.having(model={"tasks": tasks[::-1]}))


class NewerStorage(Storage):
    flavour: str = "vanilla"


class NewerCache(Cache):
    retain_versions: int = 2


class NewerRuntime(Runtime):
    engine: str = "Builtin"
    warmth: str | None = None


class NewerSpec(Spec):
    """The spec of an operator of tomorrow, with more defaults."""

    storage: Storage = Field(default=NewerStorage())
    cache: Cache = Field(default=NewerCache())
    runtime: Runtime = Field(default=NewerRuntime())
    tomorrow: ClassVar[bool] = True


def test_a_newer_api_with_more_defaults_restarts_no_pods() -> None:
    newer = NewerSpec.model_validate({"model": BASE.spec["model"]})
    assert revision_of(newer, "1", digest_of("1"), IMAGE).id == revision(BASE)


def test_the_hash_stays_the_same_for_ever() -> None:
    """If this fails, every running pod restarts with the next operator: do not edit the value, undo the change."""
    full = BASE.having(
        model={"tasks": ["ImageEmbedding"], "servedName": "acme/clip"},
        storage={"endpoint": "http://s3:9000", "credentialsSecretRef": {"name": "s3"}},
        cache={"sizeLimit": "2Gi"},
        runtime={"dtype": "bfloat16", "env": [{"name": "A", "value": "1"}]},
        resources={"requests": {"cpu": "1"}},
    ).on_gpu(1)
    assert revision(BASE) == "5c3c4af0"
    assert revision(full) == "0aedf9c0"


def test_a_revision_remembers_what_it_was_made_of() -> None:
    made = revision_of(BASE.build().spec, "1", digest_of("1"), IMAGE)
    assert (made.version, made.digest, made.image) == ("1", digest_of("1"), IMAGE)


def test_equal_values_have_equal_bytes() -> None:
    assert canonical_json({"b": [1], "a": "ü"}) == '{"a":"ü","b":[1]}'.encode()
    assert content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    assert len(content_hash({})) == 16
